// Exchanging without training until all agree: who is content, whom that depends on, where all
// stop.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "daemon/core/node_core.h"
#include "tests/testing/core_harness.h"

namespace weightmesh {
namespace {

using testing_support::CoreHarness;

constexpr double kNear = 1e-6;  // the consensus distance that is wanted
constexpr absl::Duration kPace = absl::Milliseconds(10);
// 2 x dissemination time (250 ms) in rounds of kPace, and one more.
constexpr uint64_t kAhead = 51;
constexpr double kGiveUp = std::numeric_limits<double>::infinity();

class AgreementTest : public testing::TestWithParam<Mode> {
 protected:
  AgreementTest() : harness_(ConfigOf(GetParam())) {}
  static RunConfig ConfigOf(Mode mode) {
    RunConfig config;
    config.mode = mode;
    config.staleness_rounds_max = mode == Mode::kAsync ? 8 : 0;
    return config;
  }

  // One round from publish to mix; `distance` is the estimate that it gives.
  void TakeRound(uint64_t round, double distance) {
    Actions all;
    const auto keep = [&] {
      all.insert(all.end(), harness_.actions.begin(), harness_.actions.end());
    };
    harness_.Publish(round, static_cast<uint32_t>(round % 3));
    keep();
    for (const StartPull& pull : harness_.All<StartPull>()) harness_.Land(pull);
    harness_.Collect(round);
    keep();
    // (n - 1) / 2n of the squared difference.
    const double n = ViewSize();
    const MixedSegmentResult result{Outcome::kArrived, distance * 2 * n / (n - 1)};
    harness_.Step(Mixed{CoreHarness::kAttach, Round{round}, {&result, 1}});
    keep();
    harness_.now += kPace;
    harness_.actions = std::move(all);
  }
  void Agree(uint64_t round, double estimate, double wanted = kNear) {
    harness_.Step(AgreementWanted{CoreHarness::kAttach, Round{round}, wanted, !agrees_});
    agrees_ = true;
    TakeRound(round, estimate);
  }
  // Rounds until this replica has announced where it may stop; gives the last of them.
  uint64_t BeContentFrom(uint64_t round) {
    for (; Own().stops_after == kNoRound && round < 20; ++round) Agree(round, kNear / 2);
    return round - 1;
  }
  double ViewSize() {
    return static_cast<double>(
        harness_.core().ScheduleOf("run", Round{1}, SegmentId{0})->assignments.size());
  }

  ReplicaInfo Own() { return harness_.core().MakeSync().runs[0].replicas[0]; }
  // Replica k says that it is content, as of `content_at`, and may stop after `stops_after`.
  void Says(uint32_t k, uint64_t content_at, uint64_t stops_after, double distance = 0,
            ReplicaState state = ReplicaState::kActive, uint64_t active_from = 0) {
    SyncMessage message = harness_.MessageOf(k, state, {0, 1, 2}, true);
    ReplicaInfo& info = message.runs[0].replicas[0];
    info.content_at = Round{content_at};
    info.stops_after = Round{stops_after};
    info.consensus_distance = distance;
    info.active_from = Round{active_from};
    harness_.Step(SyncReceived{message});
  }
  // What the trainer is told, as of its next round.
  UpdatePage Told(uint64_t round) {
    Agree(round, kNear / 2);
    for (const UpdatePage& page : harness_.All<UpdatePage>()) page_ = page;
    return page_;
  }

  CoreHarness harness_;
  bool agrees_ = false;
  UpdatePage page_;
};
INSTANTIATE_TEST_SUITE_P(Modes, AgreementTest,
                         testing::Values(Mode::kLockstep, Mode::kOverlap, Mode::kAsync),
                         [](const auto& info) { return ModeName(info.param); });

TEST_P(AgreementTest, WhoIsNearEnoughSaysAheadWhereItMayStop) {
  harness_.StartRun(2);
  harness_.now += absl::Seconds(1);
  for (uint64_t round = 1; round <= 5; ++round) Agree(round, kNear * 2);
  EXPECT_EQ(Own().stops_after, kNoRound) << "not near yet";
  harness_.Advance(absl::Milliseconds(300));
  harness_.Advance(absl::Milliseconds(5));
  ASSERT_TRUE(harness_.All<Sync>().empty());
  Agree(6, kNear);
  EXPECT_EQ(Own().content_at, Round{6});
  EXPECT_EQ(Own().stops_after, Round{6 + kAhead});
  EXPECT_DOUBLE_EQ(Own().consensus_distance, kNear);
  harness_.Advance(absl::Milliseconds(5));
  EXPECT_GE(harness_.All<Sync>().size(), 2u) << "all others hear at once";
  Agree(7, kNear * 2);
  EXPECT_EQ(Own().stops_after, Round{6 + kAhead}) << "it keeps its word";
  EXPECT_EQ(Own().content_at, Round{7}) << "and says that it holds";
  EXPECT_DOUBLE_EQ(Own().consensus_distance, kNear) << "as it was when it gave it";
}

TEST(PartlyMixedAgreementTest, WhatIsLessThanHalfOfTheModelShowsNoNearness) {
  CoreHarness harness({}, /*segments=*/3);
  harness.founding.parameters = 300;
  harness.StartRun(2);
  for (uint64_t round = 1; round <= 8; ++round) {
    const size_t arrive = round <= 6 ? 1 : 2;
    harness.Step(AgreementWanted{CoreHarness::kAttach, Round{round}, kNear, round == 1});
    harness.Publish(round, static_cast<uint32_t>(round % 3));
    std::vector<StartPull> pulls = harness.All<StartPull>();
    std::vector<MixedSegmentResult> results(3);
    for (size_t k = 0; k < pulls.size(); ++k) {
      const bool arrives = k < arrive;
      arrives ? harness.Land(pulls[k]) : harness.Refuse(pulls[k], wire::Verdict::kBusy);
      if (arrives) results[Value(pulls[k].request.segment)].outcome = Outcome::kArrived;
    }
    harness.Collect(round);
    harness.Step(Mixed{CoreHarness::kAttach, Round{round}, results});
    harness.now += kPace;
    const Round stops = harness.core().MakeSync().runs[0].replicas[0].stops_after;
    EXPECT_EQ(stops != kNoRound, round >= 7) << "round " << round;
  }
}

// Rounds in which others train take longer than those to come.
TEST_P(AgreementTest, TheShortestOfFourRoundsAreThePace) {
  harness_.StartRun(2);
  for (uint64_t round = 1; round <= 8; ++round) {
    Agree(round, kNear * 2);
    harness_.now += absl::Seconds(1);
  }
  for (uint64_t round = 9; round <= 13; ++round) Agree(round, kNear * 2);
  harness_.now += absl::Seconds(1);
  Agree(14, kNear / 2);
  EXPECT_EQ(Own().stops_after, Round{14 + kAhead});
}

TEST_P(AgreementTest, BeforeFourRoundsAreTimedNothingIsAnnounced) {
  harness_.StartRun(2);
  for (uint64_t round = 1; round <= 4; ++round) {
    Agree(round, kNear / 2);
    EXPECT_EQ(Own().stops_after, kNoRound) << "round " << round;
  }
  Agree(5, kNear / 2);
  EXPECT_EQ(Own().stops_after, Round{5 + kAhead});
  agrees_ = false;
  Agree(6, kNear / 2);
  EXPECT_EQ(Own().stops_after, kNoRound) << "another agreement";
}

TEST_P(AgreementTest, AllStopAfterTheLastOfTheRoundsThatWereAnnounced) {
  harness_.StartRun(2);
  const uint64_t last = BeContentFrom(1);
  const uint64_t own = Value(Own().stops_after);
  EXPECT_EQ(Told(last + 1).agreed_at, kNoRound);
  Says(1, last, own + 7, 0.25);
  EXPECT_EQ(Told(last + 2).agreed_at, kNoRound) << "one is missing";
  Says(2, last, own - 3, 0.75);
  EXPECT_EQ(Told(last + 3).agreed_at, Round{own + 7});
  EXPECT_NEAR(page_.agreed_distance, 1.0 / 3, 1e-6);
}

TEST_P(AgreementTest, WhatWasSaidOfAnAgreementBeforeCountsForNothing) {
  harness_.StartRun(2);
  Says(1, 2, 3);
  Says(2, 2, 3);
  for (uint64_t round = 1; round <= 5; ++round) TakeRound(round, 1);
  const uint64_t last = BeContentFrom(6);
  EXPECT_EQ(Told(last + 1).agreed_at, kNoRound);
  Says(1, 6, 3);  // it was content all the time
  Says(2, 5, 3);
  EXPECT_EQ(Told(last + 2).agreed_at, kNoRound) << "replica 2 was content before the last training";
  Says(2, 6, 3);
  EXPECT_EQ(Told(last + 3).agreed_at, Own().stops_after);
}

TEST_P(AgreementTest, OnlyWhoTakesPartInTheLastRoundIsWaitedFor) {
  harness_.StartRun(2);
  const uint64_t last = BeContentFrom(1);
  const uint64_t own = Value(Own().stops_after);
  Says(1, last, own);
  Says(2, 0, 0, 0, ReplicaState::kActive, own + 1);
  EXPECT_EQ(Told(last + 1).agreed_at, Round{own}) << "replica 2 begins later";
  Says(2, 0, 0, 0, ReplicaState::kActive, own);
  EXPECT_EQ(Told(last + 2).agreed_at, kNoRound) << "it takes part, and trains";
  Says(2, last, own + 9);
  EXPECT_EQ(Told(last + 3).agreed_at, Round{own + 9});
  Says(2, last, own + 9, 0, ReplicaState::kDead);
  EXPECT_EQ(Told(last + 4).agreed_at, Round{own + 9}) << "others may have heard of its round";
  Says(1, 0, 0, 0, ReplicaState::kDead);
  EXPECT_EQ(Told(last + 5).agreed_at, Round{own + 9});
}

TEST_P(AgreementTest, WhoIsAloneAgreesAtOnce) {
  harness_.StartRun(1);
  harness_.Hear(1, ReplicaState::kLeft);
  Agree(1, 0);
  EXPECT_EQ(Told(2).agreed_at, Round{1});
  EXPECT_EQ(page_.agreed_distance, 0);
}

TEST_P(AgreementTest, WhoGivesUpSaysSoAndStopsThen) {
  harness_.StartRun(2);
  for (uint64_t round = 1; round <= 4; ++round) Agree(round, 1);
  Agree(5, 1, kGiveUp);
  const uint64_t own = Value(Own().stops_after);
  EXPECT_EQ(own, 5 + kAhead);
  Agree(6, 1, kGiveUp);
  for (const UpdatePage& page : harness_.All<UpdatePage>()) page_ = page;
  EXPECT_EQ(page_.agreed_at, kNoRound) << "not before";
  for (uint64_t round = 7; round <= own; ++round) Agree(round, 1, kGiveUp);
  Agree(own + 1, 1, kGiveUp);
  for (const UpdatePage& page : harness_.All<UpdatePage>()) page_ = page;
  EXPECT_EQ(page_.agreed_at, Round{own}) << "whatever the others do";
  EXPECT_NEAR(page_.agreed_distance, 1, 1e-6);
}

TEST_P(AgreementTest, WhoGivesUpWithoutAnEstimateIsNotTakenForNear) {
  harness_.StartRun(2);
  harness_.Step(AgreementWanted{CoreHarness::kAttach, Round{1}, kGiveUp, true});
  harness_.Publish(1, 0);
  for (const StartPull& pull : harness_.All<StartPull>()) {
    harness_.Refuse(pull, wire::Verdict::kBusy);
  }
  harness_.Collect(1);
  const MixedSegmentResult nothing;
  harness_.Step(Mixed{CoreHarness::kAttach, Round{1}, {&nothing, 1}});
  EXPECT_NE(Own().stops_after, kNoRound);
  EXPECT_GT(Own().consensus_distance, 1e300);
}

TEST_P(AgreementTest, WhoTrainsAgainIsNotContent) {
  harness_.StartRun(2);
  const uint64_t last = BeContentFrom(1);
  Says(1, last, 5);
  Says(2, last, 5);
  EXPECT_NE(Told(last + 1).agreed_at, kNoRound);
  TakeRound(last + 2, 0);
  EXPECT_EQ(Own().content_at, kNoRound);
  EXPECT_EQ(Own().stops_after, kNoRound);
  EXPECT_EQ(Own().consensus_distance, 0);
  ASSERT_FALSE(harness_.All<UpdatePage>().empty());
  EXPECT_EQ(harness_.All<UpdatePage>().back().agreed_at, kNoRound);
}

// In overlap and async a collect takes what is there; here it waits.
TEST_P(AgreementTest, ItsRoundsWaitForAllPulls) {
  harness_.StartRun(2);
  harness_.Step(AgreementWanted{CoreHarness::kAttach, Round{1}, kNear, true});
  if (GetParam() != Mode::kLockstep) {
    EXPECT_GE(harness_.Only<UpdatePage>().collect_wait, harness_.founding.config.round_deadline);
  }
  harness_.Publish(1, 0);
  const StartPull pull = harness_.Only<StartPull>();
  harness_.Step(PullAnswered{CoreHarness::AnswerTo(pull, wire::Verdict::kWaiting)});
  harness_.Collect(1);
  EXPECT_TRUE(harness_.All<Deliver>().empty());
  harness_.Land(pull);
  EXPECT_EQ(harness_.All<Deliver>().size(), 1u);
}

}  // namespace
}  // namespace weightmesh
