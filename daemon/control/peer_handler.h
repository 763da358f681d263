// PeerHandler: what PeerService asks of the daemon; the seam between gRPC's threads and the core's.
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "daemon/control/indirect_probe.h"
#include "daemon/control/link_offer.h"
#include "daemon/control/schema_part.h"
#include "daemon/core/sync_message.h"

namespace weightmesh {

// Methods are called on gRPC's threads, at once from several, with messages that passed every check
// of convert_peer.h; they must not block. Each calls `done` at most once, on any thread, also
// before it returns: ResourceExhausted when the core's queue is full. A `done` that is destroyed
// uncalled answers UNAVAILABLE.
class PeerHandler {
 public:
  template <typename T>
  using Done = std::function<void(absl::StatusOr<T>)>;

  virtual ~PeerHandler() = default;

  // Answered with this node's own sync, the message taken in. AlreadyExists: the sender's node_id
  // is another live process's.
  virtual void OnSync(SyncMessage message, Done<SyncMessage> done) = 0;
  // Answered with what the failure detector says to it. AlreadyExists as for OnSync; Aborted as
  // PeerService.Gossip says.
  virtual void OnGossip(swim::Message message, Done<swim::Message> done) = 0;
  // Answered once the target was probed. Errors as OnGossip's.
  virtual void OnIndirectProbe(IndirectProbeQuery query, Done<IndirectProbeResult> done) = 0;
  // Answered with this node's own identity.
  virtual void OnProbe(NodeInfo peer, Done<NodeInfo> done) = 0;
  // Answered with this node's own offer. FailedPrecondition when the kinds of transport differ;
  // AlreadyExists as for OnSync.
  virtual void OnConnect(LinkOffer offer, Done<LinkOffer> done) = 0;
  // Answered with a part of a schema. NotFound: no replica here has it.
  virtual void OnGetSchema(SchemaQuery query, Done<SchemaPart> done) = 0;
  // Answered with the blob that a trainer of the run has given here. NotFound: none has.
  virtual void OnGetBlob(std::string run_id, Done<std::string> done) = 0;
};

}  // namespace weightmesh
