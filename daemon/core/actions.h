// Actions: all that the core asks of its driver. Run in the order given; plain data.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "daemon/core/ids.h"
#include "daemon/core/last_member.h"
#include "daemon/core/pull.h"
#include "daemon/core/run_config.h"
#include "daemon/core/swim_actions.h"
#include "proto/attach.h"
#include "proto/outcome.h"

namespace weightmesh {

// --- trainers ---

// The attach is accepted; the trainer hears of it at StartReplica. Its arena is there already.
struct AdmitReplica {
  AttachId attach{};
  ReplicaId replica;
};
// Nothing of the attach remains in the core.
struct RefuseAttach {
  AttachId attach{};
  attach::ReplyCode code{};
  std::string message;
  // When the schema differs from the run's: that one's digest, and the control addresses of daemons
  // which host a replica with it. The trainer should be told how it differs.
  Digest schema_digest = {};
  std::vector<std::string> schema_hosts = {};
};
struct ReportProgress {
  AttachId attach{};
  std::string message;
};
// The run has started: hand the arena to the trainer.
struct StartReplica {
  AttachId attach{};
};
// Words of the control page (control_page.h).
struct UpdatePage {
  AttachId attach{};
  Round next_round{};
  Round newest_round{};
  uint32_t view_replicas = 0;
  absl::Duration publish_wait;
  absl::Duration collect_wait;
  Round active_from{};  // first round that the replica takes part in; kNoRound: not known yet
  Round leaves_at{};    // first round that it takes no part in any more; kNoRound: none
  Round agreed_at{};    // all replicas agree, and stop after it; kNoRound: not known
  double agreed_distance = 0;  // the consensus distance, once agreed
};
// One row of what a collect froze.
struct FrozenSegment {
  bool delivered = false;
  Outcome outcome = Outcome::kNone;  // when not delivered
  uint32_t buffer = 0;
  Round source_round{};
  ReplicaId source;
};
struct Deliver {
  AttachId attach{};
  Round round{};
  absl::Span<const FrozenSegment> segments;  // valid until the next Step
};
struct FinishLeave {
  AttachId attach{};
};
// No transfer touches the arena any more: free it. The attach is forgotten.
struct FreeArena {
  AttachId attach{};
};

// --- data plane ---

// Transport::Pull into inbox buffer `buffer` of `attach`, segment request.segment.
struct StartPull {
  PullRequest request;
  AttachId attach{};
  uint32_t buffer = 0;
};
struct CancelPull {
  RequestId request_id{};
};
struct AnswerPull {
  PullAnswer answer;
};
// Transport::Send of segment answer.segment out of slot `slot` of `attach`.
struct StartSend {
  PullAnswer answer;
  AttachId attach{};
  SlotId slot{};
  SendId send_id{};
};
struct CutLink {  // Transport::Disconnect with force
  NodeId node;
};
// The node is known no more: drop its link, its tokens and what is kept for its address.
struct ForgetNode {
  NodeId node;
  std::string address;  // of its control plane
};

// --- control plane ---

struct Sync {
  std::string address;
  absl::Duration timeout;
};
struct Probe {
  NodeId node;
  std::string address;
  absl::Duration timeout;
};
// A call of the failure detector: its probe, its news, or all that it knows (swim_actions.h). Ends
// with GossipAnswered or GossipFailed. swim::IndirectProbe ends likewise.
struct Gossip {
  std::string address;
  absl::Duration timeout;
  swim::ProbeId probe{};  // 0: no probe
  swim::Message message;
};
// The answer to GossipReceived, or to IndirectProbeReceived when that is refused.
struct AnswerGossip {
  swim::CallId call{};
  absl::StatusOr<swim::Message> answer{swim::Message{}};
};
// Exchange transport addresses and tokens, then Transport::Connect.
struct Connect {
  NodeId node;
  std::string address;
  absl::Duration timeout;
};

// --- the daemon itself ---

// The members to be kept for the next process, in the place of all earlier ones: last_members.h.
struct KeepMembers {
  std::vector<LastMember> members;
};

// What the last DrainRequested asked for has come about, or its deadline is over. Once.
struct Drained {};

// It must not go on: its identity is another's. At most once.
struct EndDaemon {
  std::string reason;  // names the thing and the cure
};

// --- people ---

enum class LogLevel { kDebug, kInfo, kWarning };
struct Log {
  LogLevel level{};
  std::string text;
};

using Action =
    std::variant<AdmitReplica, RefuseAttach, ReportProgress, StartReplica, UpdatePage, Deliver,
                 FinishLeave, FreeArena, StartPull, CancelPull, AnswerPull, StartSend, CutLink,
                 ForgetNode, Sync, Probe, Gossip, AnswerGossip, swim::IndirectProbe,
                 swim::AnswerIndirectProbe, Connect, KeepMembers, Drained, EndDaemon, Log>;
using Actions = std::vector<Action>;

}  // namespace weightmesh
