// Watches: the streaming half of MeshService: WatchTopology and WatchStats; lives on gRPC's
// threads.
//
// Includes gRPC: for the .cc files of services only.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "daemon/control/mesh_source.h"
#include "daemon/control/watch_call.h"
#include "daemon/control/watch_feed.h"
#include "daemon/control/watch_limits.h"

namespace weightmesh {

class Watches {
 public:
  using Reactor = grpc::ServerWriteReactor<grpc::ByteBuffer>;

  // `source` must live until End has returned.
  Watches(MeshSource* source, const WatchOptions& options);

  // The two methods, from the request's bytes.
  Reactor* WatchTopology(const grpc::ByteBuffer& request);
  Reactor* WatchStats(const grpc::ByteBuffer& request);

  // Ends all watches as UNAVAILABLE; later ones are refused so. Idempotent. `source` is not asked
  // any more when it returns, but by calls that began before.
  void End();

 private:
  // Lets `call` join `feed`, or ends it with the reason. The intervals are the request's and what
  // its 0 stands for; they go into `filter`.
  void Admit(WatchFilter filter, uint64_t interval_ms, uint64_t default_ms,
             const std::shared_ptr<WatchFeed>& feed, const std::shared_ptr<WatchCall>& call);

  MeshSource* const source_;
  const WatchOptions options_;
  const std::shared_ptr<WatcherCount> count_;
  const std::shared_ptr<WatchFeed> topology_;
  const std::shared_ptr<WatchFeed> stats_;
};

}  // namespace weightmesh
