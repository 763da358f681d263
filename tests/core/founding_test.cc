// Attach, the agreement on founders, the start and what is refused: event by event.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/core/node_core.h"
#include "tests/testing/core_harness.h"

namespace weightmesh {
namespace {

using attach::ReplyCode;
using testing::HasSubstr;
using testing_support::CoreHarness;

class FoundingTest : public testing::Test {
 protected:
  FoundingTest() {
    harness_.founding.config.replicas_min = 3;
    harness_.founding.config.round_deadline = absl::Seconds(1);
  }
  // Node k says that replicas `waiting` wait; its own is among them.
  void Waits(uint32_t k, const std::vector<uint32_t>& waiting) {
    harness_.Step(SyncReceived{harness_.MessageOf(k, ReplicaState::kWaiting, waiting, false)});
  }
  bool Started() { return harness_.core().HasRun("run") && harness_.core().Runs()[0].started; }
  void ExpectRefused(ReplyCode code, const char* text) {
    const RefuseAttach refusal = harness_.Only<RefuseAttach>();
    EXPECT_EQ(refusal.code, code);
    EXPECT_THAT(refusal.message, HasSubstr(text));
  }
  uint64_t WaitingDigest() { return harness_.core().MakeSync().runs[0].waiting_digest; }

  CoreHarness harness_;
};

TEST_F(FoundingTest, AnAttachIsAdmittedAndWaits) {
  harness_.Step(harness_.AttachEvent());
  EXPECT_EQ(harness_.Only<AdmitReplica>().attach, CoreHarness::kAttach);
  EXPECT_EQ(harness_.Only<AdmitReplica>().replica, CoreHarness::ReplicaOf(0));
  EXPECT_THAT(harness_.Only<ReportProgress>().message, HasSubstr("1 of 3"));
  EXPECT_TRUE(harness_.All<StartReplica>().empty());
  EXPECT_FALSE(Started());
  const RunState told = harness_.core().MakeSync().runs[0];
  ASSERT_EQ(told.replicas.size(), 1u);
  EXPECT_EQ(told.replicas[0].state, ReplicaState::kWaiting);
  EXPECT_EQ(told.waiting_digest, ViewDigest({CoreHarness::ReplicaOf(0)}));
}

TEST_F(FoundingTest, TheRunStartsWhenAllFoundersReportedTheSameSet) {
  harness_.Step(harness_.AttachEvent());
  Waits(1, {1});
  EXPECT_THAT(harness_.Only<ReportProgress>().message, HasSubstr("2 of 3"));
  Waits(2, {1, 2});
  EXPECT_FALSE(Started()) << "neither has heard of all three";
  Waits(2, {0, 1, 2});
  EXPECT_FALSE(Started()) << "node 1 has not";
  Waits(1, {0, 1, 2});
  EXPECT_TRUE(Started());
  EXPECT_EQ(harness_.All<Connect>().size(), 2u);
  EXPECT_TRUE(harness_.All<StartReplica>().empty()) << "the links are not there";
  harness_.Step(LinkReady{CoreHarness::NodeOf(1), 101});
  EXPECT_TRUE(harness_.All<StartReplica>().empty());
  harness_.Step(LinkReady{CoreHarness::NodeOf(2), 102});
  EXPECT_EQ(harness_.Only<StartReplica>().attach, CoreHarness::kAttach);
  const UpdatePage page = harness_.Only<UpdatePage>();
  EXPECT_EQ(page.next_round, Round{1});
  EXPECT_EQ(page.view_replicas, 3u);
  EXPECT_EQ(page.publish_wait, absl::Seconds(1));
}

// The one that asks takes our frames only once it has our reply: being asked makes no link ready.
TEST_F(FoundingTest, AMembersOfferIsAnsweredByAnOwnConnect) {
  harness_.Step(harness_.AttachEvent());
  Waits(1, {1});
  harness_.Step(LinkOffered{harness_.InfoOf(2)});
  EXPECT_TRUE(harness_.All<Connect>().empty()) << "node 2 is in no run that is known here";
  harness_.Step(LinkOffered{harness_.InfoOf(1)});
  EXPECT_EQ(harness_.Only<Connect>().node, CoreHarness::NodeOf(1));
  Waits(2, {0, 1, 2});
  Waits(1, {0, 1, 2});
  ASSERT_TRUE(Started());
  harness_.Step(LinkOffered{harness_.InfoOf(2)});
  harness_.Step(LinkReady{CoreHarness::NodeOf(1), 101});
  EXPECT_TRUE(harness_.All<StartReplica>().empty()) << "offered is not linked";
  harness_.Step(LinkReady{CoreHarness::NodeOf(2), 102});
  EXPECT_EQ(harness_.All<StartReplica>().size(), 1u);
}

TEST_F(FoundingTest, WithoutLinksItStartsAfterAWhile) {
  harness_.Step(harness_.AttachEvent());
  Waits(1, {0, 1, 2});
  Waits(2, {0, 1, 2});
  ASSERT_TRUE(Started());
  harness_.Step(LinkReady{CoreHarness::NodeOf(1), 101});
  harness_.Step(LinkFailed{CoreHarness::NodeOf(2), "no route"});
  harness_.Advance(absl::Milliseconds(4900));
  EXPECT_TRUE(harness_.All<StartReplica>().empty());
  harness_.Advance(absl::Milliseconds(600));
  EXPECT_EQ(harness_.All<StartReplica>().size(), 1u);
}

TEST_F(FoundingTest, AResumedRunBeginsAfterItsStartRound) {
  harness_.founding.start_round = Round{500};
  harness_.StartRun(2);
  EXPECT_EQ(harness_.core().ScheduleOf("run", kNoRound, SegmentId{0})->round, Round{501});
  harness_.Publish(501, 0);
  EXPECT_EQ(harness_.All<StartPull>().size(), 1u);
}

TEST_F(FoundingTest, AStartThatAnotherMadeIsFollowed) {
  harness_.Step(harness_.AttachEvent());
  Waits(1, {1});
  // Founder 2 has not been heard of, but founds with us.
  harness_.Step(SyncReceived{harness_.MessageOf(1, ReplicaState::kActive, {0, 1, 2}, true)});
  ASSERT_TRUE(Started());
  EXPECT_EQ(harness_.core().MakeSync().runs[0].founders.size(), 3u);
  harness_.Step(LinkReady{CoreHarness::NodeOf(1), 101});
  EXPECT_TRUE(harness_.All<StartReplica>().empty());
  harness_.Step(SyncReceived{harness_.MessageOf(2, ReplicaState::kActive, {0, 1, 2}, true)});
  harness_.Step(LinkReady{CoreHarness::NodeOf(2), 102});
  EXPECT_EQ(harness_.All<StartReplica>().size(), 1u);
}

TEST_F(FoundingTest, FoundersAreToldWhileTheStartIsNewsAndToWhoDoesNotKnowThem) {
  harness_.StartRun(2);
  NodeCore& core = harness_.core();
  EXPECT_EQ(core.MakeSync().runs[0].founders.size(), 3u);
  harness_.Advance(absl::Seconds(5));
  EXPECT_TRUE(core.MakeSync().runs[0].founders.empty());
  const SyncMessage stranger;
  const RunState whole = core.MakeSync(&stranger).runs[0];
  EXPECT_EQ(whole.founders.size(), 3u);
  EXPECT_EQ(whole.founders_digest, ViewDigest(whole.founders));
  SyncMessage other = harness_.MessageOf(1, ReplicaState::kActive, {0, 1, 2}, true);
  EXPECT_TRUE(core.MakeSync(&other).runs[0].founders.empty()) << "it has shown that it knows them";
  other.runs[0].founders_digest ^= 1;
  EXPECT_EQ(core.MakeSync(&other).runs[0].founders.size(), 3u);
}

// In a mesh in which the next regular sync with whom it heard from is seconds away.
TEST_F(FoundingTest, WhoIsNotToldTheFoundersAsksForThem) {
  const auto idle = [this](uint32_t k) {
    SyncMessage message = harness_.MessageOf(k, ReplicaState::kActive, {k}, true);
    message.runs.clear();
    return message;
  };
  constexpr uint32_t kPeers = 24;
  for (uint32_t k = 1; k <= kPeers; ++k) harness_.Step(SyncReceived{idle(k)});
  harness_.Advance(absl::ZeroDuration());
  for (uint32_t k = 1; k <= kPeers; ++k) {
    harness_.Step(SyncAnswered{CoreHarness::AddressOf(k), idle(k)});
  }
  harness_.Advance(absl::Milliseconds(100));
  SyncMessage untold = harness_.MessageOf(1, ReplicaState::kActive, {1, 2}, true);
  untold.runs[0].founders.clear();
  harness_.Step(SyncReceived{untold});
  EXPECT_FALSE(Started()) << "with whom?";
  harness_.Advance(absl::Seconds(1));
  const std::vector<struct Sync> syncs = harness_.All<struct Sync>();
  EXPECT_TRUE(std::any_of(syncs.begin(), syncs.end(), [](const struct Sync& sync) {
    return sync.address == CoreHarness::AddressOf(1);
  }));
  harness_.Step(SyncAnswered{CoreHarness::AddressOf(1),
                             harness_.MessageOf(1, ReplicaState::kActive, {1, 2}, true)});
  EXPECT_TRUE(Started());
}

TEST_F(FoundingTest, AStartWithoutUsIsTooLate) {
  harness_.Step(harness_.AttachEvent());
  harness_.Step(SyncReceived{harness_.MessageOf(1, ReplicaState::kActive, {1, 2, 3}, true)});
  ExpectRefused(ReplyCode::kTooLate, "3 founders");
  harness_.Step(harness_.AttachEvent(AttachId{2}));
  ExpectRefused(ReplyCode::kTooLate, "use a new run_id");
}

TEST_F(FoundingTest, ADaemonWithoutFoundersDoesNotStartTheRun) {
  Waits(1, {1, 2, 3});
  Waits(2, {1, 2, 3});
  Waits(3, {1, 2, 3});
  EXPECT_FALSE(Started()) << "what it heard may be old: it has no part in the agreement";
  harness_.Step(SyncReceived{harness_.MessageOf(1, ReplicaState::kActive, {1, 2, 3}, true)});
  EXPECT_TRUE(Started());
}

// --- what differs is refused and named ---

TEST_F(FoundingTest, AnotherConfigIsRefusedAndTheFieldIsNamed) {
  harness_.Step(harness_.AttachEvent());
  AttachRequested other = harness_.AttachEvent(AttachId{2}, 5);
  other.founding.config.seed = 99;
  harness_.Step(other);
  ExpectRefused(ReplyCode::kMismatch, "RunConfig.seed is 99 here and 0 in the run");
  EXPECT_EQ(harness_.Only<RefuseAttach>().attach, AttachId{2});
}

TEST_F(FoundingTest, OfTwoRecordsTheLowerDigestWins) {
  FoundingRecord theirs = harness_.founding;
  theirs.config.seed = 1;
  while (FoundingDigest(theirs) < FoundingDigest(harness_.founding)) ++theirs.config.seed;
  SyncMessage message = harness_.MessageOf(1, ReplicaState::kWaiting, {1}, false);
  message.runs[0].founding = theirs;
  harness_.Step(harness_.AttachEvent());
  harness_.Step(SyncReceived{message});
  EXPECT_TRUE(harness_.All<RefuseAttach>().empty()) << "ours is lower";

  theirs.config.seed = 1;
  while (FoundingDigest(harness_.founding) < FoundingDigest(theirs)) ++theirs.config.seed;
  message = harness_.MessageOf(1, ReplicaState::kWaiting, {1}, false);
  message.runs[0].founding = theirs;
  harness_.Step(SyncReceived{message});
  ExpectRefused(ReplyCode::kMismatch, "RunConfig.seed is 0 here and");
  EXPECT_THAT(harness_.Only<RefuseAttach>().message, HasSubstr(CoreHarness::AddressOf(1)));
  EXPECT_EQ(harness_.core().Runs()[0].founding.config.seed, theirs.config.seed);
}

TEST_F(FoundingTest, ARunThatHasStartedWinsWhateverItsDigest) {
  FoundingRecord theirs = harness_.founding;
  theirs.config.seed = 1;
  while (FoundingDigest(theirs) < FoundingDigest(harness_.founding)) ++theirs.config.seed;
  SyncMessage message = harness_.MessageOf(1, ReplicaState::kActive, {1, 2, 3}, true);
  message.runs[0].founding = theirs;
  harness_.Step(harness_.AttachEvent());
  harness_.Step(SyncReceived{message});
  ExpectRefused(ReplyCode::kMismatch, "RunConfig.seed");
}

TEST_F(FoundingTest, ARecordOfARunWithoutLiveReplicasIsReplaced) {
  harness_.Step(harness_.AttachEvent());
  harness_.Step(TrainerGone{CoreHarness::kAttach});
  EXPECT_EQ(harness_.All<FreeArena>().size(), 1u);
  AttachRequested other = harness_.AttachEvent(AttachId{2});
  other.founding.config.seed = 99;
  harness_.Step(other);
  EXPECT_EQ(harness_.All<AdmitReplica>().size(), 1u);
}

TEST_F(FoundingTest, ARecordIsNotReplacedUnderATrainerThatIsStillAttached) {
  harness_.Step(harness_.AttachEvent());
  harness_.Step(LeaveRequested{CoreHarness::kAttach});
  EXPECT_EQ(harness_.All<FinishLeave>().size(), 1u);
  AttachRequested other = harness_.AttachEvent(AttachId{2});
  other.founding.config.seed = 99;
  harness_.Step(other);
  ExpectRefused(ReplyCode::kMismatch, "RunConfig.seed");
  harness_.Step(TrainerGone{CoreHarness::kAttach});
  EXPECT_EQ(harness_.All<FreeArena>().size(), 1u);
  other.attach = AttachId{3};
  harness_.Step(other);
  EXPECT_EQ(harness_.All<AdmitReplica>().size(), 1u);
}

TEST_F(FoundingTest, ANameInUseIsRefused) {
  harness_.Step(harness_.AttachEvent());
  harness_.Step(harness_.AttachEvent(AttachId{2}));
  ExpectRefused(ReplyCode::kNameInUse, "host0/0");
  Waits(1, {1});
  harness_.Step(harness_.AttachEvent(AttachId{3}, 1));
  ExpectRefused(ReplyCode::kNameInUse, "host1/0");
}

TEST_F(FoundingTest, OneNameOnTwoNodesStaysWithTheLowerNodeId) {
  harness_.Step(harness_.AttachEvent());
  SyncMessage message = harness_.MessageOf(1, ReplicaState::kWaiting, {0}, false);
  message.runs[0].replicas[0].replica_id = CoreHarness::ReplicaOf(0);
  message.runs[0].replicas[0].name = CoreHarness::NameOf(0);
  harness_.Step(SyncReceived{message});
  EXPECT_TRUE(harness_.All<RefuseAttach>().empty()) << "node 0 is lower than node 1";
  message.self.node_id = NodeId{1, 1};
  harness_.Step(SyncReceived{message});
  ExpectRefused(ReplyCode::kNameInUse, CoreHarness::AddressOf(1).c_str());
}

TEST_F(FoundingTest, AnInvalidConfigIsRefused) {
  AttachRequested request = harness_.AttachEvent();
  request.founding.config.alpha = 2;
  harness_.Step(request);
  ExpectRefused(ReplyCode::kInvalid, "RunConfig.alpha is 2");
  EXPECT_FALSE(harness_.core().HasRun("run"));
}

TEST_F(FoundingTest, LimitsAreNamed) {
  harness_.options.replicas_max = 3;
  harness_.options.segments_max = 10;
  harness_.options.runs_max = 2;
  AttachRequested many = harness_.AttachEvent(AttachId{9});
  many.founding.segments = 11;
  harness_.Step(many);
  ExpectRefused(ReplyCode::kLimit, "limits.segments_max");
  SyncMessage others = harness_.MessageOf(1, ReplicaState::kWaiting, {1}, false);
  others.runs.push_back(others.runs[0]);
  others.runs.push_back(others.runs[0]);
  others.runs[1].run_id = "second";
  others.runs[2].run_id = "third";
  harness_.Step(SyncReceived{others});
  EXPECT_EQ(harness_.core().Runs().size(), 2u) << "what peers say counts too";
  harness_.Step(harness_.AttachEvent());
  EXPECT_EQ(harness_.All<AdmitReplica>().size(), 1u);
  AttachRequested fourth = harness_.AttachEvent(AttachId{2});
  fourth.run_id = "fourth";
  harness_.Step(fourth);
  EXPECT_EQ(harness_.All<AdmitReplica>().size(), 1u) << "a run of others gives way";
  harness_.Step(SyncReceived{others});
  EXPECT_EQ(harness_.core().Runs().size(), 2u);
  AttachRequested fifth = harness_.AttachEvent(AttachId{4});
  fifth.run_id = "fifth";
  harness_.Step(fifth);
  ExpectRefused(ReplyCode::kLimit, "limits.runs_max");
  harness_.Step(harness_.AttachEvent(AttachId{3}, 7));
  EXPECT_EQ(harness_.All<AdmitReplica>().size(), 1u);
  harness_.Step(harness_.AttachEvent(AttachId{5}, 8));
  ExpectRefused(ReplyCode::kLimit, "limits.replicas_max");
}

TEST_F(FoundingTest, AStartTimeoutNamesWhatIsMissing) {
  harness_.Step(harness_.AttachEvent());
  Waits(1, {0, 1});
  harness_.Advance(absl::Milliseconds(9900));
  EXPECT_TRUE(harness_.All<RefuseAttach>().empty());
  harness_.Advance(absl::Milliseconds(500));
  ExpectRefused(ReplyCode::kStartTimeout, "of 3 replicas (");
  EXPECT_THAT(harness_.Only<RefuseAttach>().message, HasSubstr("host0/0"));
  EXPECT_THAT(harness_.Only<RefuseAttach>().message, HasSubstr("lower replicas_min"));
  harness_.Step(harness_.AttachEvent(AttachId{2}));
  EXPECT_EQ(harness_.All<AdmitReplica>().size(), 1u) << "it may try again";
}

// --- who goes away before the start ---

TEST_F(FoundingTest, WhoGoesWhileWaitingIsForgotten) {
  harness_.Step(harness_.AttachEvent());
  const uint64_t with_it = WaitingDigest();
  harness_.Step(harness_.AttachEvent(AttachId{2}, 7));
  EXPECT_NE(WaitingDigest(), with_it);
  harness_.Step(TrainerGone{AttachId{2}});
  EXPECT_EQ(WaitingDigest(), with_it);
  EXPECT_EQ(harness_.core().MakeSync().runs[0].replicas.size(), 1u);
  harness_.Step(harness_.AttachEvent(AttachId{3}, 7));
  EXPECT_EQ(harness_.All<AdmitReplica>().size(), 1u) << "its name is free";
}

TEST_F(FoundingTest, WhoLeavesBeforeItsLinksAreThereIsNotStarted) {
  harness_.Step(harness_.AttachEvent());
  Waits(1, {0, 1, 2});
  Waits(2, {0, 1, 2});
  ASSERT_TRUE(Started());
  harness_.Step(LeaveRequested{CoreHarness::kAttach});
  EXPECT_EQ(harness_.All<FinishLeave>().size(), 1u);
  harness_.Step(LinkReady{CoreHarness::NodeOf(1), 101});
  harness_.Step(LinkReady{CoreHarness::NodeOf(2), 102});
  EXPECT_TRUE(harness_.All<StartReplica>().empty());
  EXPECT_EQ(harness_.core().MakeSync().runs[0].replicas[0].state, ReplicaState::kLeft);
  harness_.Step(TrainerGone{CoreHarness::kAttach});
  EXPECT_EQ(harness_.All<FreeArena>().size(), 1u);
}

TEST_F(FoundingTest, WhoDiesBeforeItsLinksAreThereIsDead) {
  harness_.Step(harness_.AttachEvent());
  Waits(1, {0, 1, 2});
  Waits(2, {0, 1, 2});
  harness_.Step(TrainerGone{CoreHarness::kAttach});
  EXPECT_EQ(harness_.All<FreeArena>().size(), 1u);
  harness_.Step(LinkReady{CoreHarness::NodeOf(1), 101});
  harness_.Step(LinkReady{CoreHarness::NodeOf(2), 102});
  EXPECT_TRUE(harness_.All<StartReplica>().empty());
  EXPECT_EQ(harness_.core().MakeSync().runs[0].replicas[0].state, ReplicaState::kDead);
}

TEST_F(FoundingTest, ARestartedDaemonHasLostItsWaitingTrainer) {
  harness_.Step(harness_.AttachEvent());
  Waits(1, {0, 1});
  SyncMessage restarted = harness_.MessageOf(1, ReplicaState::kWaiting, {0, 1}, false);
  restarted.self.session = 7;
  restarted.runs.clear();
  harness_.Step(SyncReceived{restarted});
  harness_.Step(ProbeFailed{CoreHarness::NodeOf(1), "connection refused"});
  EXPECT_EQ(WaitingDigest(), ViewDigest({CoreHarness::ReplicaOf(0)}));
}

// --- messages that come early or late ---

TEST_F(FoundingTest, AnEarlyRequestWaitsForTheStart) {
  harness_.Step(harness_.AttachEvent());
  harness_.Step(PullRequested{harness_.RequestFrom(1, 5, 1)});
  EXPECT_EQ(harness_.Only<AnswerPull>().answer.verdict, wire::Verdict::kWaiting);
  Waits(1, {0, 1, 2});
  Waits(2, {0, 1, 2});
  harness_.Step(LinkReady{CoreHarness::NodeOf(1), 101});
  harness_.Step(LinkReady{CoreHarness::NodeOf(2), 102});
  harness_.Publish(1, 0);
  EXPECT_EQ(harness_.Only<StartSend>().answer.request_id, RequestId{5});
}

TEST_F(FoundingTest, AnEarlyRequestToWhoIsRefusedIsDead) {
  harness_.Step(harness_.AttachEvent());
  harness_.Step(PullRequested{harness_.RequestFrom(1, 5, 1)});
  harness_.Step(SyncReceived{harness_.MessageOf(1, ReplicaState::kActive, {1, 2, 3}, true)});
  EXPECT_EQ(harness_.All<RefuseAttach>().size(), 1u);
  EXPECT_EQ(harness_.Only<AnswerPull>().answer.verdict, wire::Verdict::kDead);
}

// The connections of two daemons are not ordered among each other.
TEST_F(FoundingTest, AnOvertakenMessageTakesNoReplicaAway) {
  harness_.Step(harness_.AttachEvent());
  SyncMessage older = harness_.MessageOf(1, ReplicaState::kWaiting, {0}, false);
  older.runs[0].replicas.clear();  // from before its trainer came
  harness_.Step(SyncReceived{harness_.MessageOf(1, ReplicaState::kWaiting, {1}, false)});
  EXPECT_EQ(harness_.core().Runs()[0].replicas, 2u);
  harness_.Step(SyncReceived{older});
  EXPECT_EQ(harness_.core().Runs()[0].replicas, 2u);
}

TEST_F(FoundingTest, AMessageFromBeforeTheAttachKillsNobody) {
  harness_.StartRun(2);
  SyncMessage old = harness_.MessageOf(1, ReplicaState::kWaiting, {1}, false);
  old.runs[0].replicas.clear();  // node 1 had heard of the run, and had no trainer yet
  harness_.Step(SyncReceived{old});
  harness_.Publish(1, 0);
  const TopologySnapshot topology = harness_.core().Topology(harness_.now, "run");
  for (const ReplicaSnapshot& replica : topology.replicas) {
    EXPECT_TRUE(replica.reachable) << replica.info.name;
  }
}

TEST_F(FoundingTest, AFounderThatItsStartedDaemonDoesNotNameIsDead) {
  harness_.StartRun(2);
  SyncMessage message = harness_.MessageOf(1, ReplicaState::kActive, {0, 1, 2}, true);
  message.runs[0].replicas.clear();
  harness_.Step(SyncReceived{message});
  EXPECT_FALSE(harness_.core().Runs()[0].live_replicas == 3);
}

TEST_F(FoundingTest, TheDeadStayDeadWithinASession) {
  harness_.StartRun(2);
  harness_.Hear(1, ReplicaState::kDead);
  harness_.Hear(1, ReplicaState::kActive);
  EXPECT_EQ(harness_.core().Runs()[0].live_replicas, 2u);
}

// --- the end ---

TEST_F(FoundingTest, AnEndedRunCanBeAskedForAWhile) {
  harness_.StartRun(2);
  harness_.Step(LeaveRequested{CoreHarness::kAttach});
  harness_.Step(TrainerGone{CoreHarness::kAttach});
  harness_.Hear(1, ReplicaState::kLeft);
  harness_.Hear(2, ReplicaState::kLeft);
  harness_.peers_answer_syncs = false;
  harness_.Advance(absl::Minutes(9));
  EXPECT_EQ(harness_.core().Stats("run").size(), 1u);
  harness_.Advance(absl::Minutes(2));
  EXPECT_FALSE(harness_.core().HasRun("run"));
  harness_.Step(harness_.AttachEvent(AttachId{2}));
  EXPECT_EQ(harness_.All<AdmitReplica>().size(), 1u) << "the name of the run is free again";
}

TEST_F(FoundingTest, TheScheduleCanBeAskedFor) {
  EXPECT_EQ(harness_.core().ScheduleOf("run", Round{1}, SegmentId{0}).status().code(),
            absl::StatusCode::kNotFound);
  harness_.Step(harness_.AttachEvent());
  EXPECT_EQ(harness_.core().ScheduleOf("run", Round{1}, SegmentId{0}).status().code(),
            absl::StatusCode::kFailedPrecondition);
  Waits(1, {0, 1, 2});
  Waits(2, {0, 1, 2});
  EXPECT_EQ(harness_.core().ScheduleOf("run", Round{1}, SegmentId{1}).status().code(),
            absl::StatusCode::kOutOfRange);
  const auto schedule = harness_.core().ScheduleOf("run", kNoRound, SegmentId{0});
  ASSERT_TRUE(schedule.ok());
  EXPECT_EQ(schedule->round, Round{1});
  EXPECT_EQ(schedule->assignments.size(), 3u);
}

}  // namespace
}  // namespace weightmesh
