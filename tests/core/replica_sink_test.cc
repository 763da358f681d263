// Pulling: redirects, outcomes, the inbox and its quarantine, round numbers.
#include "daemon/core/replica_sink.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "daemon/core/membership.h"
#include "tests/core/sink_fixture.h"

namespace weightmesh {
namespace {

using wire::Verdict;

TEST_F(SinkTest, AsksTheSourceOfTheSchedule) {
  const StartPull pull = Begin(1);
  EXPECT_EQ(Asked(pull), harness_.SourceOf(0, 1));
  EXPECT_EQ(pull.attach, CoreHarness::kAttach);
  EXPECT_EQ(pull.buffer, 0u);
  EXPECT_EQ(pull.request.source, CoreHarness::ReplicaOf(harness_.SourceOf(0, 1)));
  EXPECT_EQ(pull.request.reader, CoreHarness::ReplicaOf(0));
  EXPECT_EQ(pull.request.run_key, MakeRunKey("run"));
  EXPECT_EQ(pull.request.round, Round{1});
  EXPECT_EQ(pull.request.newest_round, Round{1});
  EXPECT_EQ(pull.request.remaining_ms, 1000u);
}

TEST_F(SinkTest, WhatLandedIsDeliveredAndCountedOnceMixed) {
  const StartPull pull = Begin(1);
  EXPECT_EQ(Collect(1), std::nullopt);
  harness_.Land(pull);
  const auto frozen = Delivered();
  ASSERT_TRUE(frozen.has_value());
  EXPECT_TRUE(frozen->delivered);
  EXPECT_EQ(frozen->outcome, Outcome::kNone);
  EXPECT_EQ(frozen->buffer, pull.buffer);
  EXPECT_EQ(frozen->source, pull.request.source);
  EXPECT_EQ(frozen->source_round, Round{1});
  EXPECT_EQ(AllOutcomes(), 0u) << "the mix has the last word";
  Mix(1, Outcome::kArrived, 8.0);
  EXPECT_EQ(harness_.Outcomes(Outcome::kArrived), 1u);
  EXPECT_EQ(AllOutcomes(), 1u);
  // (n-1)/(2n) of the difference, n = 4.
  EXPECT_DOUBLE_EQ(harness_.Statistics().consensus_distance, 3.0);
  Mix(1);
  EXPECT_EQ(AllOutcomes(), 1u) << "a second mix of the round";
}

TEST_F(SinkTest, WhatTheMixFoundIsTheOutcome) {
  harness_.Land(Begin(1));
  Collect(1);
  Mix(1, Outcome::kCorrupt);
  harness_.Land(Begin(2));
  Collect(2);
  Mix(2, Outcome::kRefused);
  harness_.Land(Begin(3));
  Collect(3);
  Mix(3, Outcome::kNone);
  EXPECT_EQ(harness_.Outcomes(Outcome::kCorrupt), 1u);
  EXPECT_EQ(harness_.Outcomes(Outcome::kRefused), 1u);
  EXPECT_EQ(harness_.Outcomes(Outcome::kLate), 1u);
}

TEST_F(SinkTest, ATableOfTheWrongSizeIsIgnored) {
  harness_.Land(Begin(1));
  Collect(1);
  harness_.Step(Mixed{CoreHarness::kAttach, Round{1}, {}});
  EXPECT_EQ(AllOutcomes(), 0u);
  Mix(1);
  EXPECT_EQ(AllOutcomes(), 1u);
}

// --- redirect ---

TEST_F(SinkTest, SkippedGoesOnToTheSourcesSource) {
  const StartPull first = Begin(1);
  harness_.Refuse(first, Verdict::kSkipped);
  const StartPull second = harness_.Only<StartPull>();
  EXPECT_EQ(Asked(second), harness_.SourceOf(Asked(first), 1));
  EXPECT_NE(second.request.request_id, first.request.request_id);
  harness_.Land(second);
  const auto frozen = Collect(1);
  ASSERT_TRUE(frozen.has_value());
  EXPECT_EQ(frozen->source, second.request.source);
  EXPECT_EQ(harness_.Statistics().redirects, 1u);
}

TEST_F(SinkTest, DeadGoesOnToo) {
  const StartPull first = Begin(1);
  harness_.Refuse(first, Verdict::kDead);
  EXPECT_EQ(Asked(harness_.Only<StartPull>()), harness_.SourceOf(Asked(first), 1));
}

TEST_F(SinkTest, ABrokenLinkGoesOnAndIsProbed) {
  const StartPull first = Begin(1);
  harness_.Step(PullEnded{first.request.request_id, PullEnd::kFailed});
  EXPECT_EQ(Asked(harness_.Only<StartPull>()), harness_.SourceOf(Asked(first), 1));
  EXPECT_EQ(harness_.Only<Probe>().node, first.request.peer);
}

TEST_F(SinkTest, SilenceForProbeTimeoutGoesOnAndIsProbed) {
  const StartPull first = Begin(1);
  harness_.Advance(absl::Milliseconds(199));
  EXPECT_TRUE(harness_.All<CancelPull>().empty());
  harness_.Advance(absl::Milliseconds(1));
  EXPECT_EQ(harness_.Only<CancelPull>().request_id, first.request.request_id);
  EXPECT_TRUE(IsAsked<Probe>(first.request.peer));
  EXPECT_TRUE(harness_.All<StartPull>().empty()) << "the buffer is still the transport's";
  harness_.Step(PullEnded{first.request.request_id, PullEnd::kCancelled});
  EXPECT_EQ(Asked(harness_.Only<StartPull>()), harness_.SourceOf(Asked(first), 1));
}

TEST_F(SinkTest, ASilentNodeIsNotAskedUntilItAnswers) {
  const StartPull first = Begin(1);
  harness_.Step(PullEnded{first.request.request_id, PullEnd::kFailed});
  harness_.Land(harness_.Only<StartPull>());
  Collect(1);
  Mix(1);
  const uint32_t silent = Asked(first);
  const uint64_t again = RoundFrom(silent, 2);
  EXPECT_EQ(Asked(Begin(again)), harness_.SourceOf(silent, again));
  harness_.Step(ProbeAnswered{CoreHarness::NodeOf(silent), harness_.InfoOf(silent).session});
  harness_.Advance(kPathPauseMin);
  const uint64_t later = RoundFrom(silent, again + 1);
  EXPECT_EQ(Asked(Begin(later)), silent);
}

TEST_F(SinkTest, ALimitOfTheOwnTransportIsNotBlamedOnTheSource) {
  const StartPull first = Begin(1);
  harness_.Step(PullEnded{first.request.request_id, PullEnd::kNoRoom});
  EXPECT_TRUE(harness_.All<StartPull>().empty());
  EXPECT_EQ(CollectedOutcome(1), Outcome::kBusy);
  const uint64_t again = RoundFrom(Asked(first), 2);
  EXPECT_EQ(Asked(Begin(again)), Asked(first)) << "it is still asked";
}

// It had answered, so no request tells that its node has stopped since; its missing sign of life
// does.
TEST_F(SinkTest, APullWhoseSourceFellSilentWhileItWaitedIsRedirected) {
  const StartPull first = Begin(1);
  harness_.Step(PullAnswered{CoreHarness::AnswerTo(first, Verdict::kWaiting)});
  harness_.Advance(absl::Milliseconds(200));
  bool probed = false;  // as others are that owe a sign of life
  for (const Probe& probe : harness_.All<Probe>()) probed |= probe.node == first.request.peer;
  ASSERT_TRUE(probed);
  harness_.Step(ProbeFailed{first.request.peer, "no answer"});
  harness_.Advance(absl::Milliseconds(200));
  EXPECT_EQ(harness_.Only<CancelPull>().request_id, first.request.request_id);
  harness_.Step(PullEnded{first.request.request_id, PullEnd::kCancelled});
  EXPECT_NE(Asked(harness_.Only<StartPull>()), Asked(first));
}

TEST_F(SinkTest, AWaitingSourceIsNotSilent) {
  const StartPull pull = Begin(1);
  harness_.Step(PullAnswered{CoreHarness::AnswerTo(pull, Verdict::kWaiting)});
  harness_.Advance(absl::Milliseconds(900));
  EXPECT_TRUE(harness_.All<CancelPull>().empty());
  harness_.Land(pull);
  EXPECT_TRUE(Collect(1)->delivered);
}

TEST_F(SinkTest, WhereNobodyIsLeftTheFirstFailureIsTheOutcome) {
  StartPull pull = Begin(1);
  harness_.Refuse(pull, Verdict::kSkipped);
  harness_.Refuse(harness_.Only<StartPull>(), Verdict::kDead);
  harness_.Refuse(harness_.Only<StartPull>(), Verdict::kDead);
  EXPECT_TRUE(harness_.All<StartPull>().empty()) << "n - 1 hops, and then oneself";
  EXPECT_EQ(CollectedOutcome(1), Outcome::kSkipped);
  EXPECT_EQ(harness_.Outcomes(Outcome::kSkipped), 1u);
}

TEST_F(SinkTest, TheDeadAreSkippedWithoutAMessage) {
  const uint32_t source = harness_.SourceOf(0, 1);
  harness_.Hear(source, ReplicaState::kDead);
  EXPECT_EQ(Asked(Begin(1)), harness_.SourceOf(source, 1));
}

TEST_F(SinkTest, WithAllOthersDeadNoPullIsDue) {
  for (uint32_t k = 1; k <= 3; ++k) harness_.Hear(k, ReplicaState::kDead);
  harness_.Publish(1, 0);
  EXPECT_TRUE(harness_.All<StartPull>().empty());
  EXPECT_EQ(CollectedOutcome(1), Outcome::kNone);
}

TEST_F(SinkTest, GoneAndBusyAreFinal) {
  harness_.Refuse(Begin(1), Verdict::kBusy);
  EXPECT_TRUE(harness_.All<StartPull>().empty());
  EXPECT_EQ(CollectedOutcome(1), Outcome::kBusy);
  harness_.Refuse(Begin(2), Verdict::kGone);
  EXPECT_TRUE(harness_.All<StartPull>().empty());
  EXPECT_EQ(CollectedOutcome(2), Outcome::kGone);
}

// --- deadlines ---

TEST_F(SinkTest, AtTheDeadlineWhatIsOpenIsLate) {
  const StartPull pull = Begin(1);
  harness_.Step(PullAnswered{CoreHarness::AnswerTo(pull, Verdict::kWaiting)});
  EXPECT_EQ(Collect(1), std::nullopt);
  harness_.Advance(absl::Milliseconds(999));
  EXPECT_TRUE(harness_.All<Deliver>().empty());
  harness_.Advance(absl::Milliseconds(1));
  EXPECT_EQ(Delivered()->outcome, Outcome::kLate);
  EXPECT_EQ(harness_.Only<CancelPull>().request_id, pull.request.request_id);
}

TEST_F(SinkTest, WhoMadeOneMissADeadlineIsLateAtOnceUntilItPublishes) {
  const StartPull first = Begin(1);
  harness_.Step(PullAnswered{CoreHarness::AnswerTo(first, Verdict::kWaiting, 0)});
  Collect(1);
  harness_.Advance(absl::Seconds(1));
  harness_.Step(PullEnded{first.request.request_id, PullEnd::kCancelled});
  // It has still published nothing.
  const uint64_t again = RoundFrom(Asked(first), 2);
  const StartPull second = Begin(again);
  Collect(again);
  harness_.Step(PullAnswered{CoreHarness::AnswerTo(second, Verdict::kWaiting, 0)});
  EXPECT_EQ(Delivered()->outcome, Outcome::kLate);
  harness_.Step(PullEnded{second.request.request_id, PullEnd::kCancelled});
  // It has published round 1 meanwhile: it is waited for.
  const uint64_t later = RoundFrom(Asked(first), again + 1);
  const StartPull third = Begin(later);
  Collect(later);
  harness_.Step(PullAnswered{CoreHarness::AnswerTo(third, Verdict::kWaiting, 1)});
  EXPECT_TRUE(harness_.All<Deliver>().empty());
  harness_.Land(third);
  EXPECT_TRUE(Delivered()->delivered);
}

TEST_F(SinkTest, ARoundThatIsNeverCollectedEndsAllTheSame) {
  Begin(1);
  harness_.Advance(absl::Milliseconds(300));  // silence, no end from the transport
  harness_.Land(Begin(2));                    // never collected either
  Begin(3);
  EXPECT_EQ(AllOutcomes(), 2u);
  EXPECT_EQ(harness_.Outcomes(Outcome::kLate), 2u);
}

TEST_F(SinkTest, OnlyTheRoundUnderWayCanBeCollected) {
  harness_.Land(Begin(2));
  EXPECT_EQ(Collect(1), std::nullopt);
  EXPECT_EQ(Collect(3), std::nullopt);
  EXPECT_TRUE(Collect(2).has_value());
  EXPECT_EQ(Collect(2), std::nullopt) << "twice";
}

// --- inbox ---

TEST_F(SinkTest, ALateTransferKeepsItsBuffer) {
  const StartPull first = Begin(1);
  harness_.Step(PullAnswered{CoreHarness::AnswerTo(first, Verdict::kData, 1)});
  Collect(1);
  harness_.Advance(absl::Seconds(1));
  EXPECT_EQ(Delivered()->outcome, Outcome::kLate);
  const StartPull second = Begin(2);
  EXPECT_EQ(second.buffer, 1u);
  harness_.Step(PullEnded{first.request.request_id, PullEnd::kLanded});  // too late
  harness_.Land(second);
  const auto frozen = Collect(2);
  ASSERT_TRUE(frozen.has_value() && frozen->delivered);
  EXPECT_EQ(frozen->buffer, 1u);
  EXPECT_EQ(frozen->source, second.request.source);
  Mix(2);
  EXPECT_EQ(Begin(3).buffer, 0u) << "its transfer has ended";
}

TEST_F(SinkTest, WithBothBuffersInQuarantineAPullIsLateAtOnce) {
  std::vector<StartPull> stuck;
  for (uint64_t round = 1; round <= 2; ++round) {
    stuck.push_back(Begin(round));
    harness_.Step(PullAnswered{CoreHarness::AnswerTo(stuck.back(), Verdict::kData, round)});
    Collect(round);
    harness_.Advance(absl::Seconds(1));
    EXPECT_EQ(Delivered()->outcome, Outcome::kLate);
  }
  harness_.Publish(3, 0);
  EXPECT_TRUE(harness_.All<StartPull>().empty());
  EXPECT_EQ(CollectedOutcome(3), Outcome::kLate);
  // The first has been in quarantine for one deadline so far; after two its link is cut.
  harness_.Advance(absl::Milliseconds(999));
  EXPECT_TRUE(harness_.All<CutLink>().empty());
  harness_.Advance(absl::Milliseconds(1));
  EXPECT_EQ(harness_.Only<CutLink>().node, stuck[0].request.peer);
  bool connects = IsAsked<Connect>(stuck[0].request.peer);
  harness_.Step(PullEnded{stuck[0].request.request_id, PullEnd::kFailed});
  harness_.Advance(absl::Milliseconds(250));
  connects |= IsAsked<Connect>(stuck[0].request.peer);
  EXPECT_TRUE(connects) << "a link that was cut is made anew";
  EXPECT_EQ(Begin(4).buffer, stuck[0].buffer);
}

TEST_F(SinkTest, AnswersToWhatHasEndedAreIgnored) {
  const StartPull first = Begin(1);
  harness_.Step(PullAnswered{CoreHarness::AnswerTo(first, Verdict::kWaiting)});
  const StartPull second = Begin(2);
  EXPECT_EQ(harness_.Only<StartPull>().buffer, 1u);
  harness_.Step(PullAnswered{CoreHarness::AnswerTo(first, Verdict::kData, 1)});
  harness_.Step(PullAnswered{CoreHarness::AnswerTo(first, Verdict::kDead)});
  harness_.Step(PullEnded{first.request.request_id, PullEnd::kNoData});
  harness_.Step(PullEnded{first.request.request_id, PullEnd::kNoData});
  harness_.Step(PullAnswered{CoreHarness::AnswerTo(first, Verdict::kDead)});
  EXPECT_TRUE(harness_.actions.empty());
  harness_.Land(second);
  EXPECT_TRUE(Collect(2)->delivered);
}

// --- round numbers ---

TEST_F(SinkTest, LockstepGoesOnByOneUntilItIsLeftBehind) {
  harness_.Hear(1, ReplicaState::kActive, 7);  // the newest round that anybody published
  EXPECT_EQ(harness_.Only<UpdatePage>().newest_round, Round{7});
  EXPECT_EQ(harness_.Only<UpdatePage>().next_round, Round{1});
  const StartPull pull = Begin(1);
  EXPECT_EQ(harness_.Only<UpdatePage>().next_round, Round{2});
  harness_.Refuse(pull, Verdict::kGone);
  EXPECT_EQ(CollectedOutcome(1), Outcome::kGone);
  EXPECT_EQ(harness_.Only<UpdatePage>().next_round, Round{7}) << "before the delivery";
  harness_.Land(Begin(7));
  EXPECT_EQ(harness_.core().Runs()[0].newest_round, Round{7});
  Collect(7);
  harness_.Hear(1, ReplicaState::kActive, 20);
  EXPECT_EQ(harness_.Only<UpdatePage>().next_round, Round{8}) << "it has caught up";
}

TEST_F(SinkTest, AfterASkippedPublishThereIsNothingToMix) {
  harness_.Step(PublishSkipped{CoreHarness::kAttach, Round{1}});
  EXPECT_TRUE(harness_.All<StartPull>().empty());
  EXPECT_EQ(harness_.Only<UpdatePage>().next_round, Round{2});
  EXPECT_EQ(harness_.Statistics().publishes_skipped, 1u);
  EXPECT_EQ(AllOutcomes(), 0u);
  Arrive(2);
}

// --- overlap ---

class OverlapSinkTest : public SinkTest {
 protected:
  OverlapSinkTest() : SinkTest(Mode::kOverlap) {}
};

TEST_F(OverlapSinkTest, WhatWaitsAtTheCollectIsLateAtOnce) {
  const StartPull pull = Begin(1);
  harness_.Step(PullAnswered{CoreHarness::AnswerTo(pull, Verdict::kWaiting)});
  EXPECT_EQ(CollectedOutcome(1), Outcome::kLate);
  EXPECT_EQ(harness_.Only<CancelPull>().request_id, pull.request.request_id);
}

TEST_F(OverlapSinkTest, WhatIsUnderWayHasTheGrace) {
  for (const Verdict verdict : {Verdict::kData, Verdict::kQueued}) {
    CoreHarness harness(Config(Mode::kOverlap));
    harness.StartRun(3);
    harness.Publish(1, 0);
    const StartPull pull = harness.Only<StartPull>();
    harness.Step(PullAnswered{CoreHarness::AnswerTo(pull, verdict, 1)});
    harness.Collect(1);
    EXPECT_TRUE(harness.All<Deliver>().empty());
    harness.Advance(absl::Milliseconds(99));
    EXPECT_TRUE(harness.All<Deliver>().empty());
    harness.Advance(absl::Milliseconds(1));
    ASSERT_EQ(harness.All<Deliver>().size(), 1u);
    EXPECT_EQ(harness.Only<Deliver>().segments[0].outcome, Outcome::kLate);
  }
}

TEST_F(OverlapSinkTest, TheGraceIsATenthOfTheMedianRound) {
  for (uint64_t round = 1; round <= 5; ++round) {
    harness_.Land(Begin(round));
    Collect(round);
    Mix(round);
    harness_.Advance(absl::Milliseconds(200));
  }
  const StartPull pull = Begin(6);
  harness_.Step(PullAnswered{CoreHarness::AnswerTo(pull, Verdict::kData, 6)});
  Collect(6);
  harness_.Advance(absl::Milliseconds(19));
  EXPECT_TRUE(harness_.All<Deliver>().empty());
  harness_.Advance(absl::Milliseconds(1));
  EXPECT_EQ(Delivered()->outcome, Outcome::kLate);
}

TEST_F(OverlapSinkTest, TheNextRoundIsTheNewestKnown) {
  const StartPull pull = Begin(1);
  harness_.Hear(1, ReplicaState::kActive, 9);
  EXPECT_EQ(harness_.Only<UpdatePage>().next_round, Round{9});
  PullAnswer answer = CoreHarness::AnswerTo(pull, Verdict::kWaiting);
  answer.newest_round = Round{11};
  harness_.Step(PullAnswered{answer});
  EXPECT_EQ(harness_.Only<UpdatePage>().next_round, Round{11});
  harness_.Publish(11, 1);
  EXPECT_EQ(harness_.Only<UpdatePage>().next_round, Round{12});
}

// --- small views ---

TEST(SmallView, AloneNothingIsDueAndNothingWaits) {
  CoreHarness harness(Config(Mode::kLockstep), 3);
  harness.StartRun(0);
  EXPECT_EQ(harness.All<StartReplica>().size(), 1u);
  harness.Publish(1, 0);
  EXPECT_TRUE(harness.All<StartPull>().empty());
  EXPECT_TRUE(harness.keeper.HasReleased(Round{1}));
  harness.Collect(1);
  ASSERT_EQ(harness.All<Deliver>().size(), 1u);
  for (const FrozenSegment& segment : harness.Only<Deliver>().segments) {
    EXPECT_FALSE(segment.delivered);
    EXPECT_EQ(segment.outcome, Outcome::kNone);
  }
}

TEST(SmallView, OfTwoTheOnlyOtherOneIsAskedAndNobodyElse) {
  CoreHarness harness(Config(Mode::kLockstep));
  harness.StartRun(1);
  harness.Publish(1, 0);
  const StartPull pull = harness.Only<StartPull>();
  EXPECT_EQ(pull.request.peer, CoreHarness::NodeOf(1));
  harness.Refuse(pull, Verdict::kSkipped);
  EXPECT_TRUE(harness.All<StartPull>().empty());
  harness.Collect(1);
  EXPECT_EQ(harness.Only<Deliver>().segments[0].outcome, Outcome::kSkipped);
}

}  // namespace
}  // namespace weightmesh
