// Run: who takes part in a round, and how far ahead a coming or a going is announced.
#include "daemon/core/run.h"

#include <gtest/gtest.h>

namespace weightmesh {
namespace {

class RunTest : public testing::Test {
 protected:
  static FoundingRecord Founding(ScheduleKind schedule) {
    FoundingRecord founding;
    founding.config.schedule = schedule;
    founding.segments = 1;
    founding.parameters = 1;
    return founding;
  }
  static ReplicaId Id(uint64_t k) { return ReplicaId{0, k}; }
  // A started run of replicas 1, 3 and 5.
  explicit RunTest(ScheduleKind schedule = ScheduleKind::kHashCycle)
      : run_("run", Founding(schedule)) {
    for (const uint64_t k : {1, 3, 5}) run_.Put(MemberOf(k, ReplicaState::kWaiting));
    run_.Start({Id(1), Id(3), Id(5)});
  }
  static Member MemberOf(uint64_t k, ReplicaState state, uint64_t active_from = 0,
                         uint64_t left_at = 0) {
    Member member;
    member.info.replica_id = Id(k);
    member.info.state = state;
    member.info.active_from = Round{active_from};
    member.info.left_at = Round{left_at};
    member.node = NodeId{1, k};
    return member;
  }
  // Whom the view of `round` holds, in rank order; each found by its number.
  std::vector<uint64_t> Who(uint64_t round) {
    const std::shared_ptr<const RoundView> view = run_.ViewOf(Round{round});
    std::vector<uint64_t> who;
    for (uint32_t rank = 0; rank < view->size(); ++rank) {
      const uint32_t number = view->NumberOf(rank);
      EXPECT_EQ(view->RankOf(number), rank);
      EXPECT_EQ(run_.MemberAt(number).info.replica_id, view->view().replica(rank));
      EXPECT_EQ(run_.NumberOf(view->view().replica(rank)), number);
      who.push_back(view->view().replica(rank).low);
    }
    return who;
  }
  using List = std::vector<uint64_t>;

  weightmesh::Run run_;
};

TEST_F(RunTest, WhoJoinsIsRankedByItsIdAndNumberedAtTheEnd) {
  run_.Put(MemberOf(2, ReplicaState::kJoining));
  EXPECT_EQ(Who(10), (List{1, 3, 5}));
  run_.Put(MemberOf(2, ReplicaState::kActive, 10));
  EXPECT_EQ(Who(9), (List{1, 3, 5}));
  EXPECT_EQ(Who(10), (List{1, 2, 3, 5}));
  EXPECT_EQ(run_.NumberOf(Id(2)), 3u);
  EXPECT_EQ(run_.roster_size(), 4u);
}

TEST_F(RunTest, ANumberIsKeptWhateverHappens) {
  run_.Put(MemberOf(2, ReplicaState::kActive, 10));
  run_.Put(MemberOf(4, ReplicaState::kActive, 10));
  run_.Put(MemberOf(2, ReplicaState::kDead, 10, 20));
  run_.Put(MemberOf(2, ReplicaState::kActive, 30));
  EXPECT_EQ(run_.NumberOf(Id(2)), 3u);
  EXPECT_EQ(run_.NumberOf(Id(4)), 4u);
  EXPECT_EQ(Who(30), (List{1, 2, 3, 4, 5}));
}

TEST_F(RunTest, AViewThatSomebodyHoldsStaysAsItIs) {
  const std::shared_ptr<const RoundView> before = run_.ViewOf(Round{10});
  run_.Put(MemberOf(2, ReplicaState::kActive, 10));
  EXPECT_EQ(before->size(), 3u);
  EXPECT_EQ(before->RankOf(3), RoundView::kNoRank);
  EXPECT_EQ(run_.PartnersOf(*before, Round{10}, SegmentId{0}, 3).source, 3u) << "itself";
  EXPECT_EQ(run_.ViewOf(Round{10})->size(), 4u);
}

TEST_F(RunTest, WhoGoesIsLeftOutFromItsRound) {
  run_.Put(MemberOf(3, ReplicaState::kLeft, 0, 8));
  EXPECT_EQ(Who(7), (List{1, 3, 5}));
  EXPECT_EQ(Who(8), (List{1, 5}));
  run_.Put(MemberOf(5, ReplicaState::kDead));
  EXPECT_EQ(Who(8), (List{1})) << "without a word for when: at once";
}

TEST_F(RunTest, WhoNeverBeganHasNoPart) {
  run_.Put(MemberOf(2, ReplicaState::kDead, 8, 8));
  for (const uint64_t round : {1, 7, 8, 9}) EXPECT_EQ(Who(round), (List{1, 3, 5})) << round;
}

// An old message of before the start says so still.
TEST_F(RunTest, AFounderThatIsSaidToWaitTakesPart) {
  run_.Put(MemberOf(3, ReplicaState::kWaiting));
  EXPECT_EQ(Who(1), (List{1, 3, 5}));
}

class DerangementRunTest : public RunTest {
 protected:
  DerangementRunTest() : RunTest(ScheduleKind::kDerangement) {}
};

TEST_F(DerangementRunTest, WhoGoesStaysInTheView) {
  run_.Put(MemberOf(3, ReplicaState::kLeft, 0, 8));
  run_.Put(MemberOf(5, ReplicaState::kDead));
  run_.Put(MemberOf(2, ReplicaState::kDead, 9, 9));
  EXPECT_EQ(Who(20), (List{1, 3, 5})) << "but not one that never began";
}

TEST_F(RunTest, WhatFewRoundsTookIsNotBelievedBeforeWhatOthersHaveMeasured) {
  absl::Time now = absl::UnixEpoch();
  EXPECT_TRUE(run_.Observe(now, Round{100}));
  EXPECT_TRUE(run_.Observe(now += absl::Milliseconds(200), Round{200})) << "of another daemon";
  EXPECT_EQ(run_.measured_round_time(), absl::ZeroDuration());
  EXPECT_EQ(Value(run_.AnnouncedRound()), 200u + 250 + 1) << "nobody knows better";
  run_.HearRoundTime(absl::Milliseconds(20));
  EXPECT_EQ(Value(run_.AnnouncedRound()), 200u + 25 + 1);
  for (uint64_t round = 201; round <= 300; ++round) {
    EXPECT_TRUE(run_.Observe(now += absl::Milliseconds(50), Round{round}));
  }
  EXPECT_NEAR(absl::ToDoubleMilliseconds(run_.measured_round_time()), 50, 1);
  EXPECT_NEAR(Value(run_.AnnouncedRound()), 300 + 10 + 1, 1) << "its own measure, once it is one";
}

TEST_F(RunTest, ARoundIsAnnouncedSoFarAheadThatAllHear) {
  absl::Time now = absl::UnixEpoch();
  EXPECT_EQ(Value(run_.AnnouncedRound()), 2u) << "not measured yet: taken for long";
  for (uint64_t round = 1; round <= 50; ++round) {
    EXPECT_TRUE(run_.Observe(now += absl::Milliseconds(100), Round{round}));
  }
  EXPECT_EQ(Value(run_.AnnouncedRound()), 50u + 5 + 1);
  // Ten rounds at once are ten short ones.
  for (uint64_t round = 60; round <= 400; round += 10) {
    EXPECT_TRUE(run_.Observe(now += absl::Milliseconds(1000), Round{round}));
  }
  EXPECT_EQ(Value(run_.AnnouncedRound()), 400u + 5 + 1);
  EXPECT_TRUE(run_.Observe(now + absl::Hours(1), Round{400})) << "no news, and no measure";
  EXPECT_EQ(Value(run_.AnnouncedRound()), 400u + 5 + 1);
}

}  // namespace
}  // namespace weightmesh
