// Events: all that can happen to a node. The driver turns the world into these; plain data.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "daemon/core/ids.h"
#include "daemon/core/pull.h"
#include "daemon/core/run_config.h"
#include "daemon/core/swim_actions.h"
#include "daemon/core/sync_message.h"
#include "proto/outcome.h"

namespace weightmesh {

// --- trainers ---

// A trainer asks to join a run, and its arena is made. Answered by AdmitReplica and later
// StartReplica, or RefuseAttach.
struct AttachRequested {
  AttachId attach{};
  std::string run_id;
  std::string replica_name;
  FoundingRecord founding;
  std::vector<uint64_t> segment_bytes;  // that a pull of each segment moves; founding.segments rows
  absl::Duration start_timeout;
  // It joins a run that has started: it catches up from the others and takes part later. Otherwise
  // it is to be one of the founders.
  bool joins = false;
};
// The trainer's socket closed: the replica dies, in any state.
struct TrainerGone {
  AttachId attach{};
};
// The trainer leaves in order. Answered by FinishLeave.
struct LeaveRequested {
  AttachId attach{};
};
// Slot `slot` holds the snapshot of `round`.
struct Published {
  AttachId attach{};
  Round round{};
  SlotId slot{};
};
struct PublishSkipped {
  AttachId attach{};
  Round round{};
};
struct CollectRequested {
  AttachId attach{};
  Round round{};
};
// A replica that joins has taken over all segments: it may take part.
struct CaughtUp {
  AttachId attach{};
};
// `round`, which the trainer publishes next, is exchanged without training, until all replicas
// agree within `distance` (core/agreement.h).
struct AgreementWanted {
  AttachId attach{};
  Round round{};
  double distance = 0;  // of consensus, >= 0; infinity: whatever it is
  bool first = false;   // of an agreement
};
// What the trainer's mix made of one delivered segment.
struct MixedSegmentResult {
  Outcome outcome =
      Outcome::kNone;  // kArrived, kCorrupt or kRefused; kNone where none was delivered
  double difference_squared = 0;
};
struct Mixed {
  AttachId attach{};
  Round round{};
  absl::Span<const MixedSegmentResult> segments;  // one for each; valid during Step
};

// --- data plane (transport.h) ---

struct PullRequested {
  PullRequest request;
};
struct PullCancelled {
  NodeId peer;
  RequestId request_id{};
};
struct PullAnswered {
  PullAnswer answer;
};
struct PullEnded {
  RequestId request_id{};
  PullEnd end{};
};
struct SendEnded {
  SendId send_id{};
  bool sent = false;
};
struct LinkDown {
  NodeId peer;
  std::string reason;
};

// Frames of `peer` (zero: of nobody known) were refused for `reason`, `count` so far. Told of the
// first, the tenth, the hundredth, …
struct FramesRefused {
  NodeId peer;
  FrameRefusal reason{};
  uint64_t count = 0;
};

// --- control plane ---

// Another daemon's sync arrived. The driver answers with NodeCore::MakeSync(&message).
struct SyncReceived {
  SyncMessage message;
};
// Answers to the actions Sync, Probe and Connect; exactly one for each.
struct SyncAnswered {
  std::string address;
  SyncMessage message;
};
struct SyncFailed {
  std::string address;
  std::string reason;
};
// The daemon there knows another live process of this node_id, which started earlier.
struct SyncRefused {
  std::string address;
  std::string reason;
};
struct ProbeAnswered {
  NodeId node;
  SessionId session = 0;
};
struct ProbeFailed {
  NodeId node;
  std::string reason;
};
// Another daemon's call to the failure detector. Answered by AnswerGossip in the same Step.
struct GossipReceived {
  swim::CallId call{};
  swim::Message message;
};
// Another daemon wants a third one to be probed within `timeout`. Answered by
// swim::AnswerIndirectProbe, or AnswerGossip with an error.
struct IndirectProbeReceived {
  swim::CallId call{};
  NodeInfo target;
  absl::Duration timeout;
  swim::Message message;
};
// Answers to the actions Gossip and swim::IndirectProbe; exactly one for each.
struct GossipAnswered {
  std::string address;
  swim::ProbeId probe{};
  swim::Message message;
};
struct GossipFailed {
  std::string address;
  swim::ProbeId probe{};
  std::string reason;
  bool refused = false;  // as SyncRefused
};
struct IndirectProbeAnswered {
  swim::ProbeId probe{};
  bool ack = false;
  swim::Message message;
};
struct IndirectProbeFailed {
  swim::ProbeId probe{};
};
// Another daemon asks for a link: it is to be known, so that its link goes when it goes.
struct LinkOffered {
  NodeInfo from;
};
// Somebody offered a link as `node`, with other words than its process has used before: a lie, or
// it has forgotten this node meanwhile. It is asked itself.
struct LinkDoubted {
  NodeId node;
};
struct LinkReady {
  NodeId node;
  SessionId session = 0;
};
struct LinkFailed {
  NodeId node;
  std::string reason;
};

// Where the seeds that are names are found now: control addresses, in the place of all earlier
// ones.
struct SeedsFound {
  std::vector<std::string> addresses;
};

// --- the daemon itself ---

// All local replicas are to leave in order; none attaches any more. Answered by Drained. A later
// one takes the earlier one's place; but a daemon that is to leave the mesh does, and not later.
struct DrainRequested {
  absl::Duration deadline;   // for trainers that do not come to their last round
  bool leaves_mesh = false;  // then the daemon leaves the mesh, for it ends
};

// NodeCore::next_deadline() has come.
struct TimerFired {};

using Event =
    std::variant<AttachRequested, TrainerGone, LeaveRequested, Published, PublishSkipped,
                 CollectRequested, CaughtUp, AgreementWanted, Mixed, PullRequested, PullCancelled,
                 PullAnswered, PullEnded, SendEnded, LinkDown, FramesRefused, SyncReceived,
                 SyncAnswered, SyncFailed, SyncRefused, ProbeAnswered, ProbeFailed, GossipReceived,
                 IndirectProbeReceived, GossipAnswered, GossipFailed, IndirectProbeAnswered,
                 IndirectProbeFailed, LinkOffered, LinkDoubted, LinkReady, LinkFailed, SeedsFound,
                 DrainRequested, TimerFired>;

}  // namespace weightmesh
