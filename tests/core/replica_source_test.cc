// Serving snapshots: what each request is answered, leases, claims, leave and death.
#include "daemon/core/replica_source.h"

#include <gtest/gtest.h>

#include "tests/testing/core_harness.h"

namespace weightmesh {
namespace {

using testing_support::CoreHarness;
using wire::Verdict;

RunConfig Config(Mode mode) {
  RunConfig config;
  config.mode = mode;
  config.seed = 1;
  config.round_deadline = absl::Seconds(1);  // probe_timeout 200 ms
  return config;
}

class SourceTest : public testing::TestWithParam<Mode> {
 protected:
  SourceTest() : harness_(Config(GetParam()), 2) { harness_.StartRun(3); }

  Verdict Ask(uint32_t reader, uint64_t round, uint32_t segment = 0) {
    harness_.Step(PullRequested{harness_.RequestFrom(reader, ++last_request_, round, segment)});
    if (!harness_.All<StartSend>().empty()) return Verdict::kData;
    return harness_.Only<AnswerPull>().answer.verdict;
  }

  CoreHarness harness_;
  uint64_t last_request_ = 0;
};
INSTANTIATE_TEST_SUITE_P(Modes, SourceTest, testing::Values(Mode::kLockstep, Mode::kOverlap),
                         [](const auto& info) { return std::string(ModeName(info.param)); });

TEST_P(SourceTest, APublishedRoundIsSentOutOfItsSlot) {
  harness_.Publish(1, 2);
  EXPECT_EQ(Ask(1, 1, 1), Verdict::kData);
  const StartSend send = harness_.Only<StartSend>();
  EXPECT_EQ(send.slot, SlotId{2});
  EXPECT_EQ(send.attach, CoreHarness::kAttach);
  EXPECT_EQ(send.answer.round, Round{1});
  EXPECT_EQ(send.answer.segment, SegmentId{1});
  EXPECT_EQ(send.answer.peer, CoreHarness::NodeOf(1));
  EXPECT_EQ(send.answer.request_id, RequestId{last_request_});
}

TEST_P(SourceTest, AnEarlyRequestWaitsAndIsSentAtThePublish) {
  EXPECT_EQ(Ask(1, 1), Verdict::kWaiting);
  EXPECT_EQ(harness_.Only<AnswerPull>().answer.round, kNoRound);
  harness_.Publish(1, 0);
  ASSERT_EQ(harness_.All<StartSend>().size(), 1u);
  EXPECT_EQ(harness_.Only<StartSend>().answer.request_id, RequestId{last_request_});
}

TEST_P(SourceTest, AnEarlyRequestIsForgottenWhenItsReaderNoLongerWaits) {
  PullRequest request = harness_.RequestFrom(1, 1, 1);
  request.remaining_ms = 100;
  harness_.Step(PullRequested{request});
  harness_.Step(PullRequested{harness_.RequestFrom(2, 2, 1)});
  harness_.Step(PullCancelled{CoreHarness::NodeOf(2), RequestId{2}});
  harness_.Advance(absl::Milliseconds(101));
  harness_.Publish(1, 0);
  EXPECT_TRUE(harness_.All<StartSend>().empty());
}

TEST_P(SourceTest, ASkippedRoundIsToldAtOnceToo) {
  EXPECT_EQ(Ask(1, 1), Verdict::kWaiting);
  harness_.Step(PublishSkipped{CoreHarness::kAttach, Round{1}});
  EXPECT_EQ(harness_.Only<AnswerPull>().answer.verdict, Verdict::kSkipped);
  EXPECT_EQ(Ask(2, 1), Verdict::kSkipped);
}

TEST_P(SourceTest, GoneIsToldFromSkippedFor64Rounds) {
  // Even rounds are published, odd ones are not; three slots in turn.
  for (uint64_t round = 2; round <= 200; round += 2) harness_.Publish(round, round / 2 % 3);
  EXPECT_EQ(Ask(1, 200), Verdict::kData);
  EXPECT_EQ(Ask(2, 196), Verdict::kData);
  EXPECT_EQ(Ask(3, 194), Verdict::kGone);
  EXPECT_EQ(Ask(3, 193), Verdict::kSkipped);
  // The oldest of the 64 remembered is 74: what is older is not known, and GONE.
  EXPECT_EQ(Ask(3, 74), Verdict::kGone);
  EXPECT_EQ(Ask(3, 75), Verdict::kSkipped);
  EXPECT_EQ(Ask(3, 73), Verdict::kGone);
}

TEST_P(SourceTest, BeyondTheWaitingLimitIsBusy) {
  for (int k = 0; k < 16; ++k) ASSERT_EQ(Ask(1, 1), Verdict::kWaiting) << k;  // 8 for each segment
  EXPECT_EQ(Ask(1, 1), Verdict::kBusy);
}

TEST_P(SourceTest, AReaderLeasesOneRoundAtATime) {
  harness_.Publish(1, 0);
  EXPECT_EQ(Ask(1, 1), Verdict::kData);
  const SendId first = harness_.Only<StartSend>().send_id;
  harness_.Publish(2, 1);
  EXPECT_EQ(Ask(1, 2), Verdict::kWaiting);
  EXPECT_EQ(Ask(2, 2), Verdict::kData) << "another reader may";
  harness_.Step(SendEnded{first, true});
  EXPECT_EQ(harness_.Only<StartSend>().answer.round, Round{2});
}

// A stopped reader's transfer never ends by itself, and its lease would keep the slot for good.
TEST_P(SourceTest, ATransferThatDoesNotEndCutsItsLink) {
  harness_.Publish(1, 0);
  ASSERT_EQ(Ask(1, 1, 0), Verdict::kData);
  ASSERT_EQ(Ask(1, 1, 1), Verdict::kData);
  harness_.Advance(absl::Milliseconds(1999));
  EXPECT_TRUE(harness_.All<CutLink>().empty());
  harness_.Advance(absl::Milliseconds(1));
  ASSERT_EQ(harness_.All<CutLink>().size(), 1u) << "once for both transfers";
  EXPECT_EQ(harness_.All<CutLink>()[0].node, CoreHarness::NodeOf(1));
}

TEST_P(SourceTest, AReaderCannotWaitLongerThanADeadline) {
  PullRequest request = harness_.RequestFrom(1, 1, 1);
  request.remaining_ms = 1'000'000'000;
  harness_.Step(PullRequested{request});
  harness_.Advance(absl::Milliseconds(1001));
  harness_.Publish(1, 0);
  EXPECT_TRUE(harness_.All<StartSend>().empty());
}

TEST_P(SourceTest, SendsToOnePeerAreLimitedAndTheRestQueued) {
  CoreHarness harness(Config(GetParam()), 6);
  harness.options.sends_per_peer_max = 4;
  harness.segment_bytes = 100 << 10;
  harness.StartRun(3);
  harness.Publish(1, 0);
  std::vector<SendId> sends;
  for (uint32_t segment = 0; segment < 6; ++segment) {
    harness.Step(PullRequested{harness.RequestFrom(1, 10 + segment, 1, segment)});
    if (segment < 4) {
      sends.push_back(harness.Only<StartSend>().send_id);
    } else {
      EXPECT_EQ(harness.Only<AnswerPull>().answer.verdict, Verdict::kQueued);
    }
  }
  harness.Step(PullRequested{harness.RequestFrom(2, 1, 1, 0)});
  EXPECT_EQ(harness.All<StartSend>().size(), 1u) << "another peer is not behind it";
  harness.Step(PullCancelled{CoreHarness::NodeOf(1), RequestId{14}});
  harness.Step(SendEnded{sends[0], true});
  EXPECT_EQ(harness.Only<StartSend>().answer.segment, SegmentId{5}) << "the cancelled one is gone";
}

TEST_P(SourceTest, SmallSendsToOnePeerDoNotWaitForEachOther) {
  CoreHarness harness(Config(GetParam()), 80);
  harness.options.sends_per_peer_max = 1;
  harness.segment_bytes = 4 << 10;
  harness.StartRun(3);
  harness.Publish(1, 0);
  SendId first{};
  for (uint32_t segment = 0; segment < 80; ++segment) {
    harness.Step(PullRequested{harness.RequestFrom(1, 10 + segment, 1, segment)});
    ASSERT_EQ(harness.All<StartSend>().size(), segment < 32 ? 1u : 0u) << "128 KiB at a time";
    if (segment == 0) first = harness.Only<StartSend>().send_id;
  }
  harness.Step(SendEnded{first, true});
  EXPECT_EQ(harness.Only<StartSend>().answer.segment, SegmentId{32});
}

TEST_P(SourceTest, AnUnknownReplicaIsDead) {
  PullRequest request = harness_.RequestFrom(1, 1, 1);
  request.source = CoreHarness::ReplicaOf(9);
  harness_.Step(PullRequested{request});
  EXPECT_EQ(harness_.Only<AnswerPull>().answer.verdict, Verdict::kDead);
  request = harness_.RequestFrom(1, 2, 1);
  request.run_key = 5;
  harness_.Step(PullRequested{request});
  EXPECT_EQ(harness_.Only<AnswerPull>().answer.verdict, Verdict::kDead);
  request = harness_.RequestFrom(1, 3, 1, 77);
  harness_.Step(PullRequested{request});
  EXPECT_EQ(harness_.Only<AnswerPull>().answer.verdict, Verdict::kDead) << "no such segment";
}

TEST_P(SourceTest, AnImplausibleRoundIsIgnored) {
  harness_.Step(PullRequested{harness_.RequestFrom(1, 1, uint64_t{1} << 40)});
  EXPECT_TRUE(harness_.All<AnswerPull>().empty());
  PullRequest request = harness_.RequestFrom(1, 2, 1);
  request.newest_round = Round{uint64_t{1} << 40};
  harness_.Step(PullRequested{request});
  EXPECT_EQ(harness_.core().Runs()[0].newest_round, kNoRound);
}

TEST_P(SourceTest, DeathAnswersDeadAndTheArenaWaitsForTransfers) {
  harness_.Publish(1, 0);
  Ask(1, 1);
  const SendId send = harness_.Only<StartSend>().send_id;
  EXPECT_EQ(Ask(2, 2), Verdict::kWaiting);
  for (const StartPull& pull : harness_.All<StartPull>()) harness_.Land(pull);
  harness_.Step(TrainerGone{CoreHarness::kAttach});
  std::vector<RequestId> open;
  for (const CancelPull& cancel : harness_.All<CancelPull>()) open.push_back(cancel.request_id);
  EXPECT_EQ(harness_.Only<AnswerPull>().answer.verdict, Verdict::kDead);
  EXPECT_TRUE(harness_.All<FreeArena>().empty());
  for (RequestId id : open) harness_.Step(PullEnded{id, PullEnd::kCancelled});
  EXPECT_TRUE(harness_.All<FreeArena>().empty());
  EXPECT_EQ(Ask(3, 1), Verdict::kDead);
  harness_.Step(SendEnded{send, true});
  EXPECT_EQ(harness_.All<FreeArena>().size(), 1u);
  EXPECT_EQ(Ask(3, 1), Verdict::kDead);
  harness_.Step(TrainerGone{CoreHarness::kAttach});
  EXPECT_TRUE(harness_.All<FreeArena>().empty()) << "freed twice";
}

TEST_P(SourceTest, TheTrainerOnlyGoesForward) {
  harness_.Publish(5, 0);
  harness_.Publish(5, 1);
  EXPECT_TRUE(harness_.actions.empty());
  harness_.Publish(4, 1);
  EXPECT_TRUE(harness_.actions.empty());
  harness_.Publish(uint64_t{1} << 40, 1);
  EXPECT_TRUE(harness_.actions.empty());
  EXPECT_EQ(harness_.Statistics().rounds_published, 1u);
}

// --- overlap: leases alone protect ---

TEST(OverlapSource, ALeaseNeedsTheSlotAndIsReleasedAtTheEnd) {
  CoreHarness harness(Config(Mode::kOverlap));
  harness.StartRun(3);
  harness.Publish(1, 0);
  EXPECT_TRUE(harness.keeper.released.empty()) << "nothing is owed, so nothing was held";
  harness.Step(PullRequested{harness.RequestFrom(1, 1, 1)});
  ASSERT_EQ(harness.keeper.held.size(), 1u);
  harness.Step(SendEnded{harness.Only<StartSend>().send_id, true});
  EXPECT_TRUE(harness.keeper.HasReleased(Round{1}));
  harness.keeper.taken = true;  // the trainer writes its next snapshot there
  harness.Step(PullRequested{harness.RequestFrom(2, 2, 1)});
  EXPECT_EQ(harness.Only<AnswerPull>().answer.verdict, Verdict::kGone);
}

// --- lockstep: what is owed stays ---

class ClaimTest : public testing::Test {
 protected:
  ClaimTest() : harness_(Config(Mode::kLockstep)) { harness_.StartRun(3); }
  CoreHarness harness_;
};

TEST_F(ClaimTest, ASlotIsHeldUntilItsSinkHasReadIt) {
  const uint32_t sink = harness_.SinkOf(0, 1);
  harness_.Publish(1, 0);
  harness_.Advance(absl::Milliseconds(100));
  EXPECT_FALSE(harness_.keeper.HasReleased(Round{1}));
  harness_.Step(PullRequested{harness_.RequestFrom(sink, 1, 1)});
  const SendId send = harness_.Only<StartSend>().send_id;
  EXPECT_FALSE(harness_.keeper.HasReleased(Round{1}));
  harness_.Step(SendEnded{send, true});
  EXPECT_TRUE(harness_.keeper.HasReleased(Round{1}));
}

TEST_F(ClaimTest, ARedirectedReaderCounts) {
  const uint32_t other = harness_.SinkOf(0, 1) == 1 ? 2 : 1;
  harness_.Publish(1, 0);
  harness_.Step(PullRequested{harness_.RequestFrom(other, 1, 1)});
  harness_.Step(SendEnded{harness_.Only<StartSend>().send_id, true});
  EXPECT_TRUE(harness_.keeper.HasReleased(Round{1}));
}

TEST_F(ClaimTest, ATransferThatFailedDoesNotCount) {
  harness_.Publish(1, 0);
  harness_.Step(PullRequested{harness_.RequestFrom(harness_.SinkOf(0, 1), 1, 1)});
  harness_.Step(SendEnded{harness_.Only<StartSend>().send_id, false});
  EXPECT_FALSE(harness_.keeper.HasReleased(Round{1}));
}

TEST_F(ClaimTest, AClaimEndsAtTheDeadline) {
  harness_.Publish(1, 0);
  harness_.Advance(absl::Milliseconds(999));
  EXPECT_FALSE(harness_.keeper.HasReleased(Round{1}));
  harness_.Advance(absl::Milliseconds(1));
  EXPECT_TRUE(harness_.keeper.HasReleased(Round{1}));
}

TEST_F(ClaimTest, ASinkThatLetOneRunOutHasNoneUntilItAsksAgain) {
  const uint32_t sink = harness_.SinkOf(0, 1);
  harness_.Publish(1, 0);
  harness_.Advance(absl::Seconds(1));
  uint64_t again = 2;
  while (harness_.SinkOf(0, again) != sink) ++again;
  harness_.Publish(again, 1);
  EXPECT_TRUE(harness_.keeper.HasReleased(Round{again}));
  harness_.Step(PullRequested{harness_.RequestFrom(sink, 1, again)});
  harness_.Step(SendEnded{harness_.Only<StartSend>().send_id, true});
  uint64_t later = again + 1;
  while (harness_.SinkOf(0, later) != sink) ++later;
  harness_.Publish(later, 2);
  EXPECT_FALSE(harness_.keeper.HasReleased(Round{later}));
}

TEST_F(ClaimTest, OrHasPublishedALaterRound) {
  const uint32_t sink = harness_.SinkOf(0, 1);
  harness_.Publish(1, 0);
  harness_.Advance(absl::Seconds(1));
  uint64_t again = 2;
  const auto publish = [&](uint64_t from) {
    for (again = from; harness_.SinkOf(0, again) != sink;) ++again;
    harness_.Publish(again, static_cast<uint32_t>(again % 3));
  };
  harness_.Hear(sink, ReplicaState::kActive, 1);
  publish(2);
  EXPECT_TRUE(harness_.keeper.HasReleased(Round{again})) << "it is still where it was";
  harness_.Hear(sink, ReplicaState::kActive, 2);
  publish(again + 1);
  EXPECT_FALSE(harness_.keeper.HasReleased(Round{again}));
}

TEST_F(ClaimTest, ASilentSinkIsProbedAndLosesItsClaim) {
  const uint32_t sink = harness_.SinkOf(0, 1);
  harness_.peers_answer_syncs = false;
  harness_.Publish(1, 0);
  harness_.Advance(absl::Milliseconds(200));
  bool probed = false;
  for (const Probe& probe : harness_.All<Probe>()) {
    probed |= probe.node == CoreHarness::NodeOf(sink);
    EXPECT_EQ(probe.timeout, absl::Milliseconds(200));
  }
  EXPECT_TRUE(probed);
  harness_.Advance(absl::Milliseconds(150));
  EXPECT_FALSE(harness_.keeper.HasReleased(Round{1}));
  harness_.Step(ProbeFailed{CoreHarness::NodeOf(sink), "deadline exceeded"});
  harness_.Advance(absl::Milliseconds(250));
  EXPECT_TRUE(harness_.keeper.HasReleased(Round{1}));
}

// Its own sink will be redirected here.
TEST_F(ClaimTest, WhatADeadSinkWasOwedIsOwedToItsOwnSink) {
  const uint32_t sink = harness_.SinkOf(0, 1);
  const uint32_t reader = harness_.SinkOf(sink, 1);
  harness_.Hear(sink, ReplicaState::kDead);
  harness_.Publish(1, 0);
  harness_.Advance(absl::Milliseconds(900));
  EXPECT_FALSE(harness_.keeper.HasReleased(Round{1}));
  harness_.Step(PullRequested{harness_.RequestFrom(reader, 1, 1)});
  harness_.Step(SendEnded{harness_.Only<StartSend>().send_id, true});
  EXPECT_TRUE(harness_.keeper.HasReleased(Round{1}));
}

TEST_F(ClaimTest, WhatASinkWasOwedThatDiesIsOwedToItsOwnSink) {
  const uint32_t sink = harness_.SinkOf(0, 1);
  harness_.Publish(1, 0);
  harness_.Hear(sink, ReplicaState::kDead);
  harness_.Advance(absl::Milliseconds(900));
  EXPECT_FALSE(harness_.keeper.HasReleased(Round{1}));
  harness_.Hear(harness_.SinkOf(sink, 1), ReplicaState::kDead);
  harness_.Publish(2, 1);
  harness_.Advance(absl::Milliseconds(100));
  EXPECT_TRUE(harness_.keeper.HasReleased(Round{1})) << "at the deadline";
}

TEST_F(ClaimTest, WithAllOthersDeadNothingIsOwed) {
  for (uint32_t k = 1; k <= 3; ++k) harness_.Hear(k, ReplicaState::kDead);
  harness_.Publish(1, 0);
  EXPECT_TRUE(harness_.keeper.HasReleased(Round{1}));
}

TEST_F(ClaimTest, LeaveLingersUntilTheLastClaimEnds) {
  const uint32_t sink = harness_.SinkOf(0, 1);
  harness_.Publish(1, 0);
  harness_.Step(LeaveRequested{CoreHarness::kAttach});
  EXPECT_TRUE(harness_.All<FinishLeave>().empty());
  const std::vector<CancelPull> cancelled = harness_.All<CancelPull>();
  EXPECT_EQ(cancelled.size(), 1u) << "its own pull is over";
  harness_.Step(PullEnded{cancelled[0].request_id, PullEnd::kCancelled});
  EXPECT_EQ(harness_.Outcomes(Outcome::kCancelled), 1u);
  harness_.Step(PullRequested{harness_.RequestFrom(sink, 1, 1)});
  harness_.Step(SendEnded{harness_.Only<StartSend>().send_id, true});
  EXPECT_EQ(harness_.All<FinishLeave>().size(), 1u);
  harness_.Step(PullRequested{harness_.RequestFrom(sink, 2, 2)});
  EXPECT_EQ(harness_.Only<AnswerPull>().answer.verdict, Verdict::kDead);
  harness_.Step(TrainerGone{CoreHarness::kAttach});
  EXPECT_EQ(harness_.All<FreeArena>().size(), 1u);
  EXPECT_EQ(harness_.core().Stats("run")[0].info.state, ReplicaState::kLeft);
}

TEST_F(ClaimTest, LeaveWaitsForADeadlineAtMost) {
  harness_.Publish(1, 0);
  harness_.Step(LeaveRequested{CoreHarness::kAttach});
  harness_.Advance(absl::Milliseconds(990));
  EXPECT_TRUE(harness_.All<FinishLeave>().empty());
  harness_.Advance(absl::Milliseconds(10));
  EXPECT_EQ(harness_.All<FinishLeave>().size(), 1u);
}

}  // namespace
}  // namespace weightmesh
