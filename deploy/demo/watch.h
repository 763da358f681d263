// Watch: asks the daemons for their statistics and events, over gRPC. Used from one thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "proto/weightmesh/v1/mesh.pb.h"

namespace weightmesh::demo {

class Watch {
 public:
  // `addresses`: of the daemons, "host:port".
  explicit Watch(const std::vector<std::string>& addresses);
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  // One answer for each daemon, in order; nullopt for one that did not answer within half a second.
  // All are asked at once. `run_id` as in GetStatsRequest.
  std::vector<std::optional<v1::Stats>> Poll(const std::string& run_id);

  // Daemon `node` is at another address from now on.
  void Follow(int node, const std::string& address);

  // What happened since the last call, as daemon `node` saw it; nothing when it does not answer
  // within half a second.
  std::vector<v1::Event> NewEvents(int node);

 private:
  struct Daemon;
  std::vector<std::unique_ptr<Daemon>> daemons_;
};

}  // namespace weightmesh::demo
