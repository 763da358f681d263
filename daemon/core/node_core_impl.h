// NodeCore::Impl: the state of a node and its parts, split over node_core.cc (events),
// node_identity.cc (whose process speaks), node_gossip.cc (who is there), node_founding.cc (attach,
// start), node_joining.cc (who comes later), node_merging.cc (what peers say of runs),
// node_draining.cc, node_forgetting.cc and node_snapshots.cc. Core thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "daemon/core/last_members.h"
#include "daemon/core/local_replica.h"
#include "daemon/core/membership.h"
#include "daemon/core/node_core.h"
#include "daemon/core/run.h"
#include "daemon/core/step_context.h"
#include "daemon/core/swim.h"

namespace weightmesh {

// Longest that trainers of a started run, founders or joining, are held back for links that are not
// there yet.
constexpr absl::Duration kLinkWait = absl::Seconds(5);

class NodeCore::Impl final : public StepContext {
 public:
  Impl(NodeCoreOptions options, SlotKeeper* keeper, absl::Time now);

  void Step(absl::Time now, const Event& event, Actions* actions);
  absl::Time next_deadline() const;
  SyncMessage MakeSync(const SyncMessage* asked);
  const NodeInfo& self() const { return options_.self; }
  absl::Status CheckCaller(const NodeInfo& from) const;
  absl::Status CheckLinkOffer(const NodeInfo& from) const;

  TopologySnapshot Topology(absl::Time now, absl::string_view run_id) const;
  std::vector<ReplicaStatsSnapshot> Stats(absl::string_view run_id) const;
  std::vector<RunSnapshot> Runs() const;
  std::vector<LinkSnapshot> Links() const;
  bool HasRun(absl::string_view run_id) const;
  absl::Duration detection_time() const;
  bool Knows(NodeId node) const { return membership_.Find(node) != nullptr; }
  absl::StatusOr<ScheduleSnapshot> ScheduleOf(absl::string_view run_id, Round round,
                                              SegmentId segment);

  // StepContext.
  absl::Time now() const override { return now_; }
  void Emit(Action action) override { actions_->push_back(std::move(action)); }
  RequestId OpenRequest(AttachId attach, NodeId peer, SegmentId segment, uint32_t buffer) override;
  SendId OpenSend(AttachId attach) override;
  bool IsReachable(const Member& member) const override;
  bool HasPath(const Member& member) const override;
  absl::Time HeardFrom(NodeId node) const override;
  void AskForLife(NodeId node, absl::Duration timeout) override;
  void PullFailed(NodeId node, absl::Duration timeout) override;
  void PullUnanswered(NodeId node, absl::Time asked_at, absl::Duration timeout,
                      absl::Duration patience) override;
  SlotKeeper& keeper() override { return *keeper_; }
  void CutLink(NodeId node) override;
  void RequestRefused(NodeId peer, RequestRefusal reason) override;
  LinkStatistics& link(NodeId node) override { return links_[node]; }

 private:
  static swim::SwimOptions SwimOptionsOf(const NodeCoreOptions& options);

  struct OpenPull {
    AttachId attach{};
    NodeId peer;
    SegmentId segment{};
    uint32_t buffer = 0;
  };

  // Events (node_core.cc, and node_founding.cc where named so).
  void On(const AttachRequested& event);  // node_founding.cc
  void On(const TrainerGone& event);
  void On(const LeaveRequested& event);
  void On(const Published& event);
  void On(const PublishSkipped& event);
  void On(const CollectRequested& event);
  void On(const CaughtUp& event);  // node_joining.cc
  void On(const AgreementWanted& event);
  void On(const Mixed& event);
  void On(const PullRequested& event);
  void On(const PullCancelled& event);
  void On(const PullAnswered& event);
  void On(const struct PullEnded& event);
  void On(const SendEnded& event);
  void On(const LinkDown& event);
  void On(const FramesRefused& event);
  void On(const SyncReceived& event);
  void On(const SyncAnswered& event);
  void On(const SyncFailed& event);
  void On(const SyncRefused& event);  // node_identity.cc
  void On(const ProbeAnswered& event);
  void On(const ProbeFailed& event);
  void On(const GossipReceived& event);  // these six: node_gossip.cc
  void On(const IndirectProbeReceived& event);
  void On(const GossipAnswered& event);
  void On(const GossipFailed& event);
  void On(const IndirectProbeAnswered& event);
  void On(const IndirectProbeFailed& event);
  void On(const LinkOffered& event);
  void On(const LinkDoubted& event);
  void On(const LinkReady& event);
  void On(const LinkFailed& event);
  void On(const SeedsFound& event);
  void On(const DrainRequested& event);  // node_draining.cc
  void On(const TimerFired& event);

  void CutLink(NodeId node, absl::string_view reason);
  LocalReplica* FindLocal(AttachId attach);
  // Whether nobody has come under its name since, here or elsewhere.
  bool IsNewestLife(const LocalReplica& local) const;
  LocalReplica* FindHosted(ReplicaId replica);
  std::string DescribeNode(NodeId node) const;
  bool SpeaksForItself(const Member& member) const;
  void Heard(NodeId node);
  void FrameCame(NodeId node);
  void Doubt(NodeId node, absl::string_view reason, absl::Duration timeout);
  void CallUnanswered(NodeId node, absl::string_view reason);
  void Silence(NodeId node, absl::string_view reason);
  void TellDetectorOfDoubt(NodeId node);
  void ObserveRound(RunKey key, Round round);
  void TellNewestRound(Run* run);
  // Something has changed in a replica here: who has a part in a run is told at once, all others by
  // the failure detector.
  void SpreadNews();
  // The first half of that.
  void TellHosts();
  void FollowNews(NodeId node);
  void TickReplicas();
  void FreeReplicas();
  void Warn(std::string text) { Emit(Log{LogLevel::kWarning, std::move(text)}); }
  void Inform(std::string text) { Emit(Log{LogLevel::kInfo, std::move(text)}); }

  // node_identity.cc
  bool Admits(const NodeInfo& sender, absl::Duration uptime, absl::string_view answered_at,
              bool* is_successor);
  void MergeSync(const SyncMessage& message, absl::string_view answered_at);
  absl::Status TakeInSpeaker(const swim::Message& message, absl::string_view answered_at);
  void MeetTwin(const NodeInfo& twin, absl::Duration uptime);
  void LoseIdentity(const std::string& reason);
  bool AskFormerAgain(NodeId node, bool answered);
  bool SettleClaim(NodeId node, bool former_lives);
  void BuryFormerSession(const NodeInfo& from);

  // node_gossip.cc
  swim::Message Stamped(swim::Message message) const;
  void Perform(swim::SwimActions actions);
  void Introduce(const NodeInfo& node);
  void OnNotice(const swim::Notice& notice);
  void Gone(const NodeInfo& node, const std::string& how);
  void DropLink(const NodeInfo& dead);
  void SetHostGone(NodeId node, bool gone);
  std::string DescribeAccuser(NodeId by) const;

  // node_draining.cc
  bool RefusesForDrain(const AttachRequested& event);
  void ContinueDrain();
  absl::Time drain_deadline() const;

  // node_forgetting.cc
  bool HasLiveMember(const Run& run) const;
  bool IsOver(const Run& run) const;
  bool EndIsAgreed(const Run& run) const;
  bool IsHeld(const Run& run) const;
  void ForgetRun(const std::string& run_id);
  void ForgetEndedRuns(bool all);
  void ForgetForeignRun();
  void ForgetSilentNodes();

  // node_joining.cc
  void Join(const AttachRequested& event);

  // node_founding.cc
  void RefuseMismatch(const AttachRequested& event, const FoundingRecord& founding, const Run& run);
  void Admit(const AttachRequested& event, Run* run, ReplicaState state);
  Run* FindRun(absl::string_view run_id) const;
  Run* FindRun(RunKey key) const;
  std::string LimitReached(const AttachRequested& event);
  void MergeRun(const NodeInfo& from, const RunState& state);
  Run* SettleRecord(const NodeInfo& from, const RunState& state);
  static bool IsSameRun(Run& run, const NodeInfo& from, const RunState& state);
  void MergeMembers(Run* run, const NodeInfo& from, const RunState& state);
  void MergeGone(Run* run, const RunState& state);
  void RefuseWaiting(Run* run, RefuseAttach refusal);
  std::vector<std::string> HostsOf(const Run& run) const;
  void RemoveLocal(AttachId attach);
  void TryStart(Run* run);
  bool AllAgree(const Run& run, const std::vector<ReplicaId>& waiting) const;
  std::vector<ReplicaId> ReachableWaiting(const Run& run) const;
  void StartRun(Run* run, const std::vector<ReplicaId>& founders);
  void TryRelease(Run* run);
  void TickRuns();
  void ReportProgressOf(Run* run);
  std::string DescribeStart(const Run& run) const;
  std::string DescribeWaiting(const Run& run) const;
  double ViewAgreement(const Run& run) const;
  bool TellsFounders(const Run& run, const SyncMessage* asked) const;
  bool TellsGone(const Run& run, const SyncMessage* asked) const;
  std::vector<ReplicaInfo> GoneOf(const Run& run) const;

  const NodeCoreOptions options_;
  SlotKeeper* const keeper_;
  const absl::Time started_at_;
  absl::Time now_;
  Actions* actions_ = nullptr;  // of the Step that runs

  Membership membership_;
  LastMembers last_members_;
  swim::Swim swim_;
  std::map<std::string, std::unique_ptr<Run>, std::less<>> runs_;
  // Started runs whose trainers have not been released yet: until when they wait for links.
  std::map<std::string, absl::Time> unreleased_;
  // In the order of attach. Freed ones stay for their statistics until their run is forgotten.
  std::map<AttachId, std::unique_ptr<LocalReplica>> locals_;
  // Those that may still be asked for snapshots, from the attach until they are freed.
  absl::flat_hash_map<ReplicaId, LocalReplica*> hosted_;
  absl::flat_hash_map<RequestId, OpenPull> open_pulls_;
  absl::flat_hash_map<SendId, AttachId> open_sends_;
  std::map<NodeId, LinkStatistics> links_;
  uint64_t last_request_ = 0;
  uint64_t last_send_ = 0;
  uint64_t last_sync_ = 0;
  uint64_t news_ = 0;  // how often SpreadNews was called
  // Of a daemon whose replicas are to leave.
  struct Drain {
    absl::Time deadline;
    bool leaves_mesh = false;
    absl::Time tells_until = absl::InfiniteFuture();  // leaves_mesh: that it leaves
    std::set<std::string> unheard;                    // addresses that have not answered to that
    bool done = false;
  };
  std::optional<Drain> drain_;
  NodeInfo twin_;               // a later process with this node_id, to be refused; session 0: none
  bool identity_lost_ = false;  // a peer said so
  bool ended_ = false;          // EndDaemon was emitted
  absl::Time next_run_tick_;
};

}  // namespace weightmesh
