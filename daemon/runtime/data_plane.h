// DataPlane: the transports of a node and the tokens of its links. Lives on the executor's thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "daemon/control/link_offer.h"
#include "daemon/core/events.h"
#include "daemon/runtime/data_events.h"
#include "daemon/runtime/executor.h"
#include "daemon/transport/fault.h"
#include "daemon/transport/loopback.h"
#include "daemon/transport/transport.h"

namespace weightmesh {

// A transport to other daemons, and its name in the control plane.
struct RemoteTransport {
  std::string kind;  // "ucx", "loopback"
  std::unique_ptr<Transport> transport;
  std::map<std::string, std::string> settings;  // in force, for GetConfig
  const FaultTransport* faults = nullptr;       // `transport`, when it is told to misbehave
};

// Pulls between replicas of this daemon are copies; all others go over the remote transport.
class DataPlane {
 public:
  // `feed` runs on the executor's thread. `executor` must outlive this.
  DataPlane(NodeInfo self, RemoteTransport remote, Executor* executor,
            std::function<void(const Event&)> feed);
  ~DataPlane();  // Stop()

  absl::Status Start();
  // Ends every transfer; what they report is still posted. Idempotent.
  void Stop();

  // What `peer` must know to reach this node. The token is the same for each call.
  LinkOffer OfferTo(NodeId peer);
  // Makes the peer, which was asked at its own control address, reachable; nothing happens when it
  // is, at the same address and token. FailedPrecondition when its transport is of another kind,
  // InvalidArgument when its address is none of that kind.
  absl::Status Link(const LinkOffer& theirs);
  // The same for one that offers itself, and whose word is worth less. AlreadyExists when it
  // contradicts what its session has told before.
  absl::Status Accept(const LinkOffer& theirs);
  void Cut(NodeId peer);
  // Drops the peer's link and tokens. Its next link has new ones.
  void Forget(NodeId peer);

  absl::Status Register(absl::Span<std::byte> memory, MemoryKind kind);
  void Unregister(absl::Span<std::byte> memory);

  void Pull(const PullRequest& request, absl::Span<std::byte> landing);
  void Cancel(RequestId request_id);
  void Answer(const PullAnswer& answer);
  void Send(const PullAnswer& answer, absl::Span<const std::byte> data, SendId send_id);

  std::vector<PathReport> Paths() const;
  // Frames refused so far, by who sent them; zero: unknown.
  std::map<NodeId, FrameRefusals> frames_refused() const;
  uint64_t answers_unasked() const;
  const std::map<std::string, std::string>& settings() const { return remote_.settings; }

  // The control plane has learned where this node is reached.
  void set_self(const NodeInfo& self) { self_ = self; }

 private:
  struct KnownLink {
    std::string address;
    uint64_t send_token = 0;
    SessionId session = 0;
  };

  Transport& TransportTo(NodeId peer);

  NodeInfo self_;
  RemoteTransport remote_;
  LoopbackHub local_hub_;
  LoopbackTransport local_;
  DataEvents remote_events_;
  DataEvents local_events_;
  std::map<NodeId, uint64_t> receive_tokens_;
  std::map<NodeId, KnownLink> links_;
  bool running_ = false;
};

}  // namespace weightmesh
