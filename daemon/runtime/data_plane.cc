// Routing of transfers and bookkeeping of links.
#include "daemon/runtime/data_plane.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/runtime/random.h"

namespace weightmesh {

DataPlane::DataPlane(NodeInfo self, RemoteTransport remote, Executor* executor,
                     std::function<void(const Event&)> feed)
    : self_(std::move(self)),
      remote_(std::move(remote)),
      local_(local_hub_),
      remote_events_(executor, feed),
      local_events_(executor, feed) {}

DataPlane::~DataPlane() { Stop(); }

absl::Status DataPlane::Start() {
  if (absl::Status started = remote_.transport->Start(&remote_events_); !started.ok()) {
    return started;
  }
  if (absl::Status started = local_.Start(&local_events_); !started.ok()) {
    remote_.transport->Stop();
    return started;
  }
  running_ = true;
  const uint64_t token = RandomBits();
  local_.Connect(PeerLink{self_.node_id, local_.address(), token, token});
  return absl::OkStatus();
}

void DataPlane::Stop() {
  if (!running_) return;
  running_ = false;
  remote_.transport->Stop();
  local_.Stop();
}

Transport& DataPlane::TransportTo(NodeId peer) {
  return peer == self_.node_id ? static_cast<Transport&>(local_) : *remote_.transport;
}

LinkOffer DataPlane::OfferTo(NodeId peer) {
  uint64_t& token = receive_tokens_[peer];
  if (token == 0) token = RandomBits();
  return LinkOffer{self_, remote_.transport->address(), remote_.kind, token};
}

absl::Status DataPlane::Link(const LinkOffer& theirs) {
  const NodeId peer = theirs.self.node_id;
  if (theirs.transport_kind != remote_.kind) {
    return absl::FailedPreconditionError(
        absl::StrCat("daemon ", theirs.self.control_address, " moves segments over ",
                     theirs.transport_kind, " and ", self_.control_address, " over ", remote_.kind,
                     "; set transport.kind alike on all daemons"));
  }
  if (absl::Status address = remote_.transport->CheckAddress(theirs.transport_address);
      !address.ok()) {
    return address;
  }
  const auto known = links_.find(peer);
  if (known != links_.end() && known->second.address == theirs.transport_address &&
      known->second.send_token == theirs.token) {
    known->second.session = theirs.self.session;
    return absl::OkStatus();
  }
  links_[peer] = KnownLink{theirs.transport_address, theirs.token, theirs.self.session};
  remote_.transport->Connect(
      PeerLink{peer, theirs.transport_address, theirs.token, OfferTo(peer).token});
  return absl::OkStatus();
}

absl::Status DataPlane::Accept(const LinkOffer& theirs) {
  const auto known = links_.find(theirs.self.node_id);
  if (known != links_.end() && known->second.session == theirs.self.session &&
      (known->second.address != theirs.transport_address ||
       known->second.send_token != theirs.token)) {
    return absl::AlreadyExistsError(
        absl::StrCat("node ", theirs.self.node_id.ToString(),
                     " has told another transport address or token in this session; it is asked "
                     "again at its control address"));
  }
  return Link(theirs);
}

void DataPlane::Cut(NodeId peer) {
  const auto known = links_.find(peer);
  if (known == links_.end()) return;
  const PeerLink link{peer, known->second.address, known->second.send_token, OfferTo(peer).token};
  remote_.transport->Disconnect(peer, /*force=*/true);
  remote_.transport->Connect(link);
}

void DataPlane::Forget(NodeId peer) {
  receive_tokens_.erase(peer);
  if (links_.erase(peer) > 0) remote_.transport->Disconnect(peer, /*force=*/true);
}

absl::Status DataPlane::Register(absl::Span<std::byte> memory, MemoryKind kind) {
  if (absl::Status done = remote_.transport->Register(memory, kind); !done.ok()) return done;
  absl::Status done = local_.Register(memory, kind);
  if (!done.ok()) remote_.transport->Unregister(memory);
  return done;
}

void DataPlane::Unregister(absl::Span<std::byte> memory) {
  remote_.transport->Unregister(memory);
  local_.Unregister(memory);
}

void DataPlane::Pull(const PullRequest& request, absl::Span<std::byte> landing) {
  TransportTo(request.peer).Pull(request, landing);
}

// Request ids are unique over both transports; the one that does not know it ignores the cancel.
void DataPlane::Cancel(RequestId request_id) {
  remote_.transport->Cancel(request_id);
  local_.Cancel(request_id);
}

void DataPlane::Answer(const PullAnswer& answer) { TransportTo(answer.peer).Answer(answer); }

void DataPlane::Send(const PullAnswer& answer, absl::Span<const std::byte> data, SendId send_id) {
  TransportTo(answer.peer).Send(answer, data, send_id);
}

std::vector<PathReport> DataPlane::Paths() const {
  std::vector<PathReport> paths = remote_.transport->Paths();
  paths.push_back(PathReport{self_.node_id, "local copy", "memory", ""});
  return paths;
}

std::map<NodeId, FrameRefusals> DataPlane::frames_refused() const {
  std::map<NodeId, FrameRefusals> refused = remote_events_.refused();
  for (const auto& [node, counts] : local_events_.refused()) {
    FrameRefusals& sums = refused[node];
    for (size_t reason = 0; reason < counts.size(); ++reason) sums[reason] += counts[reason];
  }
  return refused;
}

uint64_t DataPlane::answers_unasked() const {
  return remote_.transport->answers_unasked() + local_.answers_unasked();
}

}  // namespace weightmesh
