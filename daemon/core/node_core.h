// NodeCore: every decision of a daemon as one state machine: events in, actions out.
//
// Pure: no I/O, clock, thread or randomness of its own. The same configuration, events and answers
// of the slot keeper give the same actions on any machine. Lives on the core thread; the simulator
// drives thousands of them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "daemon/core/actions.h"
#include "daemon/core/events.h"
#include "daemon/core/last_member.h"
#include "daemon/core/snapshot.h"
#include "daemon/core/swim_policy.h"
#include "daemon/core/sync_message.h"

namespace weightmesh {

// The slot words of local arenas: the one thing that the core asks instead of telling, because the
// answer is an atomic step against the trainer. Called during Step only.
class SlotKeeper {
 public:
  virtual ~SlotKeeper() = default;
  // READABLE of `round` -> HELD. False: the trainer has taken the slot; it holds that round no
  // more.
  virtual bool Hold(AttachId attach, SlotId slot, Round round) = 0;
  // HELD of `round` -> READABLE, and wakes a trainer that waits for a slot.
  virtual void Release(AttachId attach, SlotId slot, Round round) = 0;
};

// Limits and settings; meanings and ranges in proto/weightmesh/v1/daemon_config.proto.
struct NodeCoreOptions {
  NodeInfo self;
  std::vector<std::string> seeds;
  std::vector<LastMember> last_members;  // that an earlier process of this node kept
  absl::Duration sync_interval = absl::Seconds(1);
  absl::Duration detection_target = swim::kDetectionTargetDefault;
  uint32_t runs_max = 64;
  uint32_t replicas_max = 64;
  uint32_t segments_max = 4096;
  uint32_t nodes_max = 4096;
  uint32_t sends_per_peer_max = 2;
};

class NodeCore {
 public:
  // `keeper` must outlive the core. `now` is the start; time never goes back.
  NodeCore(NodeCoreOptions options, SlotKeeper* keeper, absl::Time now);
  ~NodeCore();

  // Takes in one event and appends what is to be done. Time in absl::Time of any epoch, as long as
  // every call uses the same monotonic one.
  void Step(absl::Time now, const Event& event, Actions* actions);

  // When Step must be called with TimerFired at the latest. May change with every Step.
  absl::Time next_deadline() const;

  // What this node tells another: in answer to `asked`, or (null) of its own accord.
  SyncMessage MakeSync(const SyncMessage* asked = nullptr);
  const NodeInfo& self() const;
  // Whether calls of that process are to be answered. AlreadyExists: its node_id belongs to another
  // live process, which started earlier; the message names both and the cure.
  absl::Status CheckCaller(const NodeInfo& from) const;

  // Whether `from` may offer a data link: InvalidArgument when it has this node's own id,
  // FailedPrecondition when it is not the session of its node that is known here; or CheckCaller's.
  absl::Status CheckLinkOffer(const NodeInfo& from) const;

  // For operators. An empty run_id means all runs.
  TopologySnapshot Topology(absl::Time now, absl::string_view run_id) const;
  std::vector<ReplicaStatsSnapshot> Stats(absl::string_view run_id) const;
  std::vector<RunSnapshot> Runs() const;
  std::vector<LinkSnapshot> Links() const;
  bool HasRun(absl::string_view run_id) const;
  // swim::ExpectedDetection among the nodes that are known.
  absl::Duration detection_time() const;
  // Whether `node` is another daemon that is remembered.
  bool Knows(NodeId node) const;
  // NotFound: no such run; FailedPrecondition: not started; OutOfRange: no such segment.
  // Round 0: the newest known, at least the first.
  absl::StatusOr<ScheduleSnapshot> ScheduleOf(absl::string_view run_id, Round round,
                                              SegmentId segment);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weightmesh
