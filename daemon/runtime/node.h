// Node: the composition root: one daemon's parts, put together, started and stopped in order.
//
// Threads: the caller's (Start, Stop), the core's (executor, core, trainers), one for each
// transport, one that looks up seeds where these are names, and gRPC's own. Everything but gRPC's
// callbacks and the transports' sinks runs on the core's.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/core/ids.h"
#include "daemon/core/last_member.h"
#include "daemon/runtime/data_plane.h"
#include "proto/weightmesh/v1/daemon_config.pb.h"

namespace weightmesh {

struct NodeOptions {
  v1::DaemonConfig config;  // validated, defaults filled in
  NodeId node_id;
  std::string version;
  RemoteTransport transport;
  // The members that an earlier process of the daemon last knew.
  std::vector<LastMember> last_members;
  // Called on the core's thread with those that are known now, at most every few seconds.
  std::function<void(std::vector<LastMember> members)> on_members;
  // Called at most once, on the core's thread, when the daemon must not go on; it should be stopped
  // soon. The reason names the thing and the cure.
  std::function<void(std::string reason)> on_end;
};

class Node {
 public:
  // Listens and serves when it returns. Errors name the address, socket or limit, and the cure.
  static absl::StatusOr<std::unique_ptr<Node>> Start(NodeOptions options);
  ~Node();  // Stop()
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  // Control address with the port that was taken.
  const std::string& address() const;

  // The replicas of this daemon leave in order, each from a round that is announced ahead, and then
  // the daemon leaves the mesh. Calls `done` once, on the core's thread when that is so or
  // `deadline` is over, and before it returns where the core takes nothing any more. To be called
  // before Stop, at most once.
  void Drain(absl::Duration deadline, std::function<void()> done);

  // Refuses new work, cuts off the trainers (they train on alone), ends all transfers and threads.
  // Idempotent.
  void Stop();

 private:
  class Impl;
  explicit Node(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace weightmesh
