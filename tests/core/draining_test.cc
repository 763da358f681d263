// How a daemon is emptied: the announcement, the last round, the deadline, the farewell.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "daemon/core/node_core.h"
#include "tests/testing/core_harness.h"

namespace weightmesh {
namespace {

using testing::HasSubstr;
using testing_support::CoreHarness;
using wire::Verdict;

constexpr absl::Duration kDeadline = absl::Seconds(10);

class DrainingTest : public testing::Test {
 protected:
  void Drain(bool leaves_mesh = false) { harness_.Step(DrainRequested{kDeadline, leaves_mesh}); }
  ReplicaInfo Info() {
    const SyncMessage message = harness_.core().MakeSync();
    return message.runs[0].replicas[0];
  }
  bool TakesPart(uint64_t round) {
    const auto schedule = harness_.core().ScheduleOf("run", Round{round}, SegmentId{0});
    return std::any_of(
        schedule->assignments.begin(), schedule->assignments.end(),
        [](const AssignmentSnapshot& one) { return one.reader == CoreHarness::ReplicaOf(0); });
  }
  // Node 1, by gossip: it is in the mesh that a leave is told to.
  swim::Message NodeOneSays() const {
    swim::Message message;
    message.from = harness_.InfoOf(1);
    message.incarnation = 1;
    return message;
  }
  void MeetNodeOne() { harness_.Step(GossipReceived{swim::CallId{1}, NodeOneSays()}); }
  // The last actions tell others that this node leaves the mesh.
  bool SaysFarewell() const {
    for (const Gossip& gossip : harness_.All<Gossip>()) {
      for (const swim::MemberUpdate& update : gossip.message.updates) {
        if (update.node.node_id != CoreHarness::NodeOf(0)) continue;
        if (update.state == swim::MemberState::kLeft) return true;
      }
    }
    return false;
  }
  bool IsDrained() const { return !harness_.All<Drained>().empty(); }
  // Round `round` from publish to mix, all segments landed and read.
  void TakeRound(uint64_t round) {
    harness_.Publish(round, static_cast<uint32_t>(round % 3));
    for (const StartPull& pull : harness_.All<StartPull>()) harness_.Land(pull);
    harness_.Collect(round);
  }

  // Its deadline is over when one of its two segments has landed, and it waits for the other.
  // Returns the round.
  uint64_t CollectAtTheDeadline() {
    harness_.founding.segments = 2;
    harness_.founding.parameters = 200;
    harness_.StartRun(2);
    Drain();
    harness_.Advance(kDeadline - absl::Milliseconds(100));
    const uint64_t last = Value(Info().left_at) - 1;
    harness_.Publish(last, 0);
    harness_.Land(harness_.All<StartPull>()[0]);
    harness_.Collect(last);
    EXPECT_TRUE(harness_.All<Deliver>().empty()) << "one is still on its way";
    harness_.Advance(absl::Milliseconds(200));
    EXPECT_TRUE(IsDrained());
    return last;
  }

  CoreHarness harness_;
};

TEST_F(DrainingTest, WhoLeavesSaysFromWhichRoundAndTakesPartUntilThen) {
  harness_.StartRun(2);
  TakeRound(1);
  harness_.Advance(absl::Milliseconds(300));
  Drain();
  const uint64_t left_at = Value(Info().left_at);
  EXPECT_EQ(Info().state, ReplicaState::kDraining);
  EXPECT_GT(left_at, 1u);
  EXPECT_EQ(Value(harness_.Only<UpdatePage>().leaves_at), left_at) << "its trainer is told";
  EXPECT_TRUE(TakesPart(left_at - 1));
  EXPECT_FALSE(TakesPart(left_at));
  EXPECT_FALSE(IsDrained());
  harness_.Advance(absl::Milliseconds(20));
  EXPECT_GE(harness_.All<Sync>().size(), 2u) << "and all others, at once";

  harness_.Publish(left_at - 1, 0);
  EXPECT_FALSE(harness_.All<StartPull>().empty());
  harness_.Publish(left_at, 1);
  EXPECT_TRUE(harness_.All<StartPull>().empty()) << "whatever its trainer does";
}

TEST_F(DrainingTest, ItIsDrainedWhenTheTrainerHasLeft) {
  harness_.StartRun(2);
  Drain();
  const Round left_at = Info().left_at;
  harness_.Step(LeaveRequested{CoreHarness::kAttach});
  EXPECT_TRUE(IsDrained()) << "nothing is owed";
  EXPECT_EQ(Info().state, ReplicaState::kLeft);
  EXPECT_EQ(Info().left_at, left_at) << "as announced";
  harness_.Advance(2 * kDeadline);
  EXPECT_FALSE(IsDrained()) << "once";
}

TEST_F(DrainingTest, OrWhenItHasDied) {
  harness_.StartRun(2);
  Drain();
  harness_.Step(TrainerGone{CoreHarness::kAttach});
  EXPECT_TRUE(IsDrained());
}

TEST_F(DrainingTest, WhoCollectsAtTheDeadlineGetsWhatHasLandedAndThenNothing) {
  const uint64_t last = CollectAtTheDeadline();
  const Deliver delivery = harness_.Only<Deliver>();
  EXPECT_EQ(delivery.round, Round{last});
  ASSERT_EQ(delivery.segments.size(), 2u);
  EXPECT_NE(delivery.segments[0].delivered, delivery.segments[1].delivered);
  const FrozenSegment& cut = delivery.segments[delivery.segments[0].delivered ? 1 : 0];
  EXPECT_EQ(cut.outcome, Outcome::kCancelled);

  harness_.Collect(last + 1);
  EXPECT_EQ(harness_.Only<Deliver>().round, Round{last + 1});
  for (const FrozenSegment& segment : harness_.Only<Deliver>().segments) {
    EXPECT_FALSE(segment.delivered);
    EXPECT_EQ(segment.outcome, Outcome::kNone);
  }
}

TEST_F(DrainingTest, WhatItGotAtTheDeadlineAndNeverMixedIsLate) {
  CollectAtTheDeadline();
  harness_.Step(TrainerGone{CoreHarness::kAttach});
  const ReplicaStatistics counted = harness_.core().Stats("")[0].statistics;
  EXPECT_EQ(counted.pulls[static_cast<size_t>(Outcome::kLate)], 1u);
  EXPECT_EQ(counted.pulls[static_cast<size_t>(Outcome::kCancelled)], 1u);
}

TEST_F(DrainingTest, OrAtTheDeadline) {
  harness_.StartRun(2);
  Drain();
  harness_.Advance(kDeadline - absl::Milliseconds(1));
  EXPECT_FALSE(IsDrained());
  harness_.Advance(absl::Milliseconds(2));
  EXPECT_TRUE(IsDrained());
  EXPECT_EQ(Info().state, ReplicaState::kLeft);
  const std::vector<Log> logs = harness_.All<Log>();
  EXPECT_TRUE(std::any_of(logs.begin(), logs.end(), [](const Log& log) {
    return log.text.find("did not come to its last round in time") != std::string::npos;
  }));
  ASSERT_FALSE(harness_.All<UpdatePage>().empty());
  EXPECT_EQ(harness_.All<UpdatePage>().back().leaves_at, Round{1})
      << "its trainer has no round any more, whatever was announced";
  harness_.Step(LeaveRequested{CoreHarness::kAttach});
  EXPECT_EQ(harness_.All<FinishLeave>().size(), 1u) << "its trainer still gets its answer";
}

// The trainer leaves, and its daemon waits for who is owed its last snapshot.
TEST_F(DrainingTest, TheDeadlineEndsALeaveThatIsUnderWay) {
  harness_.StartRun(2);
  harness_.Publish(1, 0);
  harness_.Step(LeaveRequested{CoreHarness::kAttach});
  ASSERT_TRUE(harness_.All<FinishLeave>().empty()) << "somebody may still ask";
  harness_.Step(DrainRequested{absl::Milliseconds(10)});
  EXPECT_FALSE(IsDrained());
  harness_.Advance(absl::Milliseconds(11));
  EXPECT_EQ(harness_.All<FinishLeave>().size(), 1u);
  EXPECT_TRUE(IsDrained());
}

TEST_F(DrainingTest, ALateRequestIsAnsweredAndCounted) {
  harness_.StartRun(2);
  Drain();
  harness_.Advance(kDeadline + absl::Seconds(1));
  harness_.Step(PullRequested{harness_.RequestFrom(1, 1, 50)});
  EXPECT_EQ(harness_.Only<AnswerPull>().answer.verdict, Verdict::kDead);
  EXPECT_EQ(harness_.Statistics().requests_late, 1u);
}

TEST_F(DrainingTest, WithoutReplicasItIsDrainedAtOnce) {
  Drain();
  EXPECT_TRUE(IsDrained());
}

TEST_F(DrainingTest, WhoWaitsIsRefusedAndNobodyAttachesAnyMore) {
  harness_.founding.config.replicas_min = 3;
  harness_.Step(harness_.AttachEvent());
  Drain();
  EXPECT_EQ(harness_.Only<RefuseAttach>().code, attach::ReplyCode::kUnavailable);
  EXPECT_THAT(harness_.Only<RefuseAttach>().message, HasSubstr("attach to another"));
  EXPECT_TRUE(IsDrained());
  AttachRequested join = harness_.AttachEvent(AttachId{7}, 7);
  for (const bool joins : {false, true}) {
    join.joins = joins;
    harness_.Step(join);
    EXPECT_EQ(harness_.Only<RefuseAttach>().code, attach::ReplyCode::kUnavailable);
  }
}

TEST_F(DrainingTest, AFounderThatStillWaitsForLinksLeavesOnceItHasStarted) {
  harness_.founding.config.replicas_min = 3;
  harness_.Step(harness_.AttachEvent());
  for (uint32_t k : {1, 2}) {
    harness_.Step(SyncReceived{harness_.MessageOf(k, ReplicaState::kWaiting, {0, 1, 2}, false)});
  }
  Drain();
  EXPECT_TRUE(harness_.All<RefuseAttach>().empty()) << "the others count on it";
  EXPECT_FALSE(IsDrained());
  for (uint32_t k : {1, 2}) {
    harness_.Step(LinkReady{CoreHarness::NodeOf(k), harness_.InfoOf(k).session});
  }
  EXPECT_EQ(harness_.All<StartReplica>().size(), 1u);
  EXPECT_EQ(Info().state, ReplicaState::kDraining);
}

TEST_F(DrainingTest, WhoIsJoiningTakesPartForAMomentAndLeaves) {
  harness_.founding.segments = 1;
  harness_.StartRun(2);
  AttachRequested join = harness_.AttachEvent(AttachId{2}, 9);
  join.joins = true;
  harness_.Step(join);
  Drain();
  harness_.Step(LeaveRequested{CoreHarness::kAttach});
  harness_.Step(CollectRequested{AttachId{2}, Round{1}});
  for (const StartPull& pull : harness_.All<StartPull>()) {
    harness_.Step(PullAnswered{CoreHarness::AnswerTo(pull, Verdict::kData, 1)});
    harness_.Step(PullEnded{pull.request.request_id, PullEnd::kLanded});
  }
  harness_.Step(CaughtUp{AttachId{2}});
  const SyncMessage message = harness_.core().MakeSync();
  const ReplicaInfo& joiner = message.runs[0].replicas[1];
  EXPECT_EQ(joiner.state, ReplicaState::kDraining);
  EXPECT_GE(joiner.left_at, joiner.active_from);
}

TEST_F(DrainingTest, ADaemonThatEndsSaysSoToTheMesh) {
  harness_.StartRun(2);
  MeetNodeOne();
  Drain(/*leaves_mesh=*/true);
  harness_.Step(TrainerGone{CoreHarness::kAttach});
  EXPECT_FALSE(IsDrained()) << "first it says farewell";
  EXPECT_TRUE(SaysFarewell());
  harness_.Step(GossipAnswered{CoreHarness::AddressOf(1), {}, NodeOneSays()});
  EXPECT_TRUE(IsDrained()) << "all whom it told have heard";
}

TEST_F(DrainingTest, TheFarewellAfterTheDeadlineIsWaitedForWithoutSpinning) {
  harness_.StartRun(2);
  MeetNodeOne();
  Drain(/*leaves_mesh=*/true);
  harness_.Advance(kDeadline + absl::Milliseconds(50));
  EXPECT_FALSE(IsDrained());
  EXPECT_GT(harness_.core().next_deadline(), harness_.now);
  harness_.Advance(absl::Seconds(1));
  EXPECT_TRUE(IsDrained()) << "who does not answer is not waited for";
}

TEST_F(DrainingTest, ADaemonThatEndsIsNotHeldUpByAnotherDrain) {
  harness_.StartRun(2);
  MeetNodeOne();
  Drain(/*leaves_mesh=*/true);
  harness_.Step(DrainRequested{absl::Hours(1)});
  harness_.Advance(kDeadline + absl::Milliseconds(1));
  EXPECT_TRUE(SaysFarewell()) << "it still ends";
  harness_.Advance(absl::Seconds(1));
  EXPECT_TRUE(IsDrained()) << "and in its time";
}

TEST_F(DrainingTest, ALaterRequestHasADeadlineOfItsOwn) {
  harness_.StartRun(2);
  Drain();
  const Round left_at = Info().left_at;
  harness_.Advance(absl::Seconds(5));
  harness_.Step(DrainRequested{absl::Seconds(1)});
  EXPECT_EQ(Info().left_at, left_at) << "what was announced holds";
  harness_.Advance(absl::Milliseconds(1100));
  EXPECT_TRUE(IsDrained());
}

}  // namespace
}  // namespace weightmesh
