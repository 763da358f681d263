// A daemon that holds a valid token and lies: it gets nothing that is another's, holds nothing back
// for long, leaves room for the others, and is counted and named in the log, not once per frame.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "daemon/core/fair_share.h"
#include "daemon/core/node_core.h"
#include "daemon/core/run.h"
#include "tests/testing/core_harness.h"

namespace weightmesh {
namespace {

using testing::HasSubstr;
using testing_support::CoreHarness;
using wire::Verdict;

constexpr uint32_t kLiar = 1;
constexpr uint32_t kHonest = 2;
constexpr uint32_t kSegments = 2;
constexpr size_t kParkedMax = 16 * kSegments;

RunConfig Lockstep() {
  RunConfig config;
  config.seed = 1;
  config.round_deadline = absl::Seconds(1);
  return config;
}

class HostilePeer : public testing::Test {
 protected:
  HostilePeer() : harness_(Lockstep(), kSegments) { harness_.StartRun(3); }

  // What the request of `reader`, sent by `node`, is answered; kData where a send begins.
  Verdict Ask(uint32_t node, uint32_t reader, uint64_t round, uint32_t segment = 0) {
    PullRequest request = harness_.RequestFrom(node, ++last_request_, round, segment);
    request.reader = CoreHarness::ReplicaOf(reader);
    harness_.Step(PullRequested{request});
    if (!harness_.All<StartSend>().empty()) return Verdict::kData;
    return harness_.Only<AnswerPull>().answer.verdict;
  }
  uint64_t RefusedOf(uint32_t node) {
    for (const LinkSnapshot& link : harness_.core().Links()) {
      if (link.peer.node_id != CoreHarness::NodeOf(node)) continue;
      const auto& refused = link.statistics.requests_refused;
      return std::accumulate(refused.begin(), refused.end(), uint64_t{0});
    }
    return 0;
  }
  void EndSends() {
    const std::vector<StartSend> sends = harness_.All<StartSend>();
    for (const StartSend& send : sends) harness_.Step(SendEnded{send.send_id, true});
  }

  CoreHarness harness_;
  uint64_t last_request_ = 0;
};

// --- readers ---

TEST_F(HostilePeer, OneThatAsksInAnothersNameGetsNothing) {
  harness_.Publish(1, 0);
  const uint32_t sink = harness_.SinkOf(0, 1);
  const uint32_t liar = sink == 1 ? 2 : 1;
  for (uint32_t segment = 0; segment < kSegments; ++segment) {
    EXPECT_EQ(Ask(liar, sink, 1, segment), Verdict::kDead);
  }
  EXPECT_TRUE(harness_.keeper.released.empty()) << "what is owed to the sink is still there";
  EXPECT_EQ(Ask(sink, sink, 1), Verdict::kData);
  EXPECT_EQ(RefusedOf(liar), 2u);
  EXPECT_EQ(RefusedOf(sink), 0u);
}

TEST_F(HostilePeer, AReaderThatIsNoFounderGetsNothing) {
  harness_.Publish(1, 0);
  EXPECT_EQ(Ask(kLiar, 9, 1), Verdict::kDead);
  EXPECT_EQ(Ask(kLiar, 9, 2), Verdict::kDead) << "nor may it wait";
  EXPECT_EQ(RefusedOf(kLiar), 2u);
}

TEST_F(HostilePeer, NobodyElseCanHaveAStoppedSinkWaitedForAgain) {
  const uint32_t sink = harness_.SinkOf(0, 1);
  const uint32_t liar = sink == 1 ? 2 : 1;
  harness_.Publish(1, 0);
  harness_.Advance(absl::Seconds(1));  // the claims of those that did not come have lapsed
  EXPECT_TRUE(harness_.keeper.HasReleased(Round{1}));
  Ask(liar, sink, 2);
  uint64_t again = 2;
  while (harness_.SinkOf(0, again, 0) != sink || harness_.SinkOf(0, again, 1) != sink) ++again;
  harness_.Publish(again, 1);
  EXPECT_TRUE(harness_.keeper.HasReleased(Round{again})) << "owed to one that let it run out";
}

TEST_F(HostilePeer, WhoWaitsSinceBeforeTheStartIsCheckedAtTheFirstPublish) {
  CoreHarness harness(Lockstep(), kSegments);
  harness.founding.config.replicas_min = 4;
  harness.Step(harness.AttachEvent());
  PullRequest request = harness.RequestFrom(kLiar, 1, 1);
  request.reader = CoreHarness::ReplicaOf(kHonest);
  harness.Step(PullRequested{request});
  EXPECT_EQ(harness.Only<AnswerPull>().answer.verdict, Verdict::kWaiting);
  harness.StartRun(3);
  harness.Publish(1, 0);
  EXPECT_EQ(harness.Only<AnswerPull>().answer.verdict, Verdict::kDead);
  EXPECT_TRUE(harness.All<StartSend>().empty());
}

// --- floods ---

TEST_F(HostilePeer, OneThatAsksEarlyWithoutEndLeavesRoomForTheOthers) {
  int waiting = 0;
  int busy = 0;
  for (int k = 0; k < 1000; ++k) {
    const Verdict verdict = Ask(kLiar, kLiar, 1);
    waiting += verdict == Verdict::kWaiting;
    busy += verdict == Verdict::kBusy;
  }
  EXPECT_EQ(waiting, kParkedMax / 2);
  EXPECT_EQ(busy, 1000 - kParkedMax / 2);
  EXPECT_EQ(RefusedOf(kLiar), 1000 - kParkedMax / 2);
  for (uint32_t segment = 0; segment < kSegments; ++segment) {
    EXPECT_EQ(Ask(kHonest, kHonest, 1, segment), Verdict::kWaiting);
  }
  harness_.Publish(1, 0);
  size_t honest = 0;
  for (const StartSend& send : harness_.All<StartSend>()) {
    honest += send.answer.peer == CoreHarness::NodeOf(kHonest);
  }
  EXPECT_EQ(honest, kSegments);
}

TEST_F(HostilePeer, WhatWaitedAndEndedIsForgottenInItsShare) {
  for (int time = 0; time < 3; ++time) {
    for (size_t k = 0; k < kParkedMax / 2; ++k) {
      ASSERT_EQ(Ask(kLiar, kLiar, 1), Verdict::kWaiting) << time << " " << k;
    }
    ASSERT_EQ(Ask(kLiar, kLiar, 1), Verdict::kBusy);
    if (time == 1) {
      harness_.Advance(absl::Milliseconds(1001));  // nobody waits longer than a deadline
      continue;
    }
    for (uint64_t id = 1; id <= last_request_; ++id) {
      harness_.Step(PullCancelled{CoreHarness::NodeOf(kLiar), RequestId{id}});
    }
  }
}

TEST_F(HostilePeer, OneThatTakesASegmentAgainAndAgainCannotKeepItsSlot) {
  harness_.Publish(1, 0);
  uint64_t served = 0;
  for (int k = 0; k < 100; ++k) {
    if (Ask(kLiar, kLiar, 1, k % kSegments) == Verdict::kData) ++served;
    EndSends();
  }
  EXPECT_EQ(served, 2 * kSegments);
  EXPECT_TRUE(harness_.keeper.HasReleased(Round{1}));
  EXPECT_EQ(Ask(kHonest, kHonest, 1), Verdict::kData) << "each reader has its own count";
  EndSends();
  harness_.Publish(2, 0);
  EXPECT_EQ(Ask(kLiar, kLiar, 2), Verdict::kData) << "and each round";
}

// --- ids and times ---

TEST_F(HostilePeer, ACancelReachesOnlyThePeersOwnRequests) {
  PullRequest honest = harness_.RequestFrom(kHonest, 7, 1);
  harness_.Step(PullRequested{honest});
  PullRequest liar = harness_.RequestFrom(kLiar, 7, 1, 1);  // the same id
  harness_.Step(PullRequested{liar});
  harness_.Step(PullCancelled{CoreHarness::NodeOf(kLiar), RequestId{7}});
  harness_.Step(PullCancelled{CoreHarness::NodeOf(kLiar), RequestId{8}});
  harness_.Step(PullCancelled{CoreHarness::NodeOf(9), RequestId{7}});
  harness_.Publish(1, 0);
  ASSERT_EQ(harness_.All<StartSend>().size(), 1u);
  EXPECT_EQ(harness_.Only<StartSend>().answer.peer, CoreHarness::NodeOf(kHonest));
}

TEST_F(HostilePeer, OneIdForManyRequestsIsItsOwnTrouble) {
  for (uint32_t k = 0; k < 6; ++k) {
    harness_.Step(PullRequested{harness_.RequestFrom(kLiar, 7, 1, k % kSegments)});
  }
  harness_.Publish(1, 0);
  EXPECT_EQ(harness_.All<StartSend>().size(), 4u) << "each segment twice";
  const std::vector<StartSend> sends = harness_.All<StartSend>();
  harness_.Step(PullCancelled{CoreHarness::NodeOf(kLiar), RequestId{7}});
  harness_.Step(PullCancelled{CoreHarness::NodeOf(kLiar), RequestId{7}});
  for (const StartSend& send : sends) harness_.Step(SendEnded{send.send_id, true});
  harness_.Advance(absl::Seconds(1));
  EXPECT_TRUE(harness_.keeper.HasReleased(Round{1})) << "every lease has ended";
}

TEST_F(HostilePeer, OneThatWaitsNoTimeIsForgottenAtOnce) {
  PullRequest request = harness_.RequestFrom(kHonest, 1, 1);
  request.remaining_ms = 0;
  harness_.Step(PullRequested{request});
  harness_.Advance(absl::Milliseconds(1));
  harness_.Publish(1, 0);
  EXPECT_TRUE(harness_.All<StartSend>().empty());
}

TEST_F(HostilePeer, RoundsFarBeyondTheNewestAreNotBelieved) {
  const std::vector<uint64_t> absurd = {kRoundJumpMax + 1, uint64_t{1} << 62, ~uint64_t{0}};
  for (const uint64_t round : absurd) {
    harness_.Step(PullRequested{harness_.RequestFrom(kLiar, ++last_request_, round)});
    EXPECT_TRUE(harness_.All<AnswerPull>().empty());
    PullRequest request = harness_.RequestFrom(kLiar, ++last_request_, 1);
    request.newest_round = Round{round};
    harness_.Step(PullRequested{request});
    EXPECT_EQ(harness_.core().Runs()[0].newest_round, kNoRound);
  }
  EXPECT_EQ(RefusedOf(kLiar), absurd.size());
  harness_.Publish(1, 0);
  for (const StartPull& pull : harness_.All<StartPull>()) {
    PullAnswer answer = CoreHarness::AnswerTo(pull, Verdict::kWaiting);
    answer.newest_round = Round{~uint64_t{0}};
    harness_.Step(PullAnswered{answer});
  }
  EXPECT_EQ(harness_.core().Runs()[0].newest_round, Round{1});
}

// --- answers ---

TEST_F(HostilePeer, ASourceThatOnlyEverPromisesCostsNoMoreThanTheDeadline) {
  harness_.Publish(1, 0);
  const std::vector<StartPull> pulls = harness_.All<StartPull>();
  ASSERT_EQ(pulls.size(), kSegments);
  harness_.Collect(1);
  for (int k = 0; k < 9; ++k) {
    harness_.Advance(absl::Milliseconds(100));
    for (const StartPull& pull : pulls) {
      const Verdict promise = k % 2 == 0 ? Verdict::kWaiting : Verdict::kQueued;
      harness_.Step(PullAnswered{CoreHarness::AnswerTo(pull, promise, /*round=*/k)});
      EXPECT_TRUE(harness_.All<Deliver>().empty());
    }
  }
  harness_.Advance(absl::Milliseconds(100));
  ASSERT_EQ(harness_.All<Deliver>().size(), 1u);
  EXPECT_EQ(harness_.Outcomes(Outcome::kLate), kSegments);
}

// --- the log ---

TEST_F(HostilePeer, AFloodIsLoggedAFewTimes) {
  size_t lines = 0;
  for (int k = 0; k < 250; ++k) {
    harness_.Step(PullRequested{harness_.RequestFrom(kLiar, 1, uint64_t{1} << 40)});
    for (const Log& log : harness_.All<Log>()) {
      EXPECT_EQ(log.level, LogLevel::kWarning);
      EXPECT_THAT(log.text, HasSubstr(CoreHarness::AddressOf(kLiar)));
      EXPECT_THAT(log.text, HasSubstr("a round far beyond the newest"));
      ++lines;
    }
  }
  EXPECT_EQ(lines, 3u) << "at the first, the tenth, the hundredth";
  EXPECT_EQ(RefusedOf(kLiar), 250u);
}

TEST_F(HostilePeer, RefusedFramesAreLoggedWithTheirSender) {
  harness_.Step(FramesRefused{CoreHarness::NodeOf(kLiar), FrameRefusal::kUnfitting, 10});
  EXPECT_THAT(harness_.Only<Log>().text, HasSubstr(CoreHarness::AddressOf(kLiar)));
  EXPECT_THAT(harness_.Only<Log>().text, HasSubstr("unfitting answer, 10 so far"));
  harness_.Step(FramesRefused{NodeId{}, FrameRefusal::kUnknownToken, 1});
  EXPECT_THAT(harness_.Only<Log>().text, HasSubstr("gave no token to"));
}

TEST(FairShare, LeavesRoomForWhoAsksForLittle) {
  constexpr size_t kLimit = 1000;
  std::vector<size_t> flooders(3, 0);
  size_t total = 0;
  for (size_t k = 0; k < 3 * kLimit; ++k) {
    size_t& own = flooders[k % flooders.size()];
    if (!HasFairShare(own, total, kLimit)) continue;
    ++own;
    ++total;
  }
  for (const size_t own : flooders) EXPECT_NEAR(own, kLimit / 4, 1);
  EXPECT_TRUE(HasFairShare(0, total, kLimit));
  EXPECT_FALSE(HasFairShare(0, kLimit, kLimit));
  EXPECT_FALSE(HasFairShare(0, 0, 0));
}

}  // namespace
}  // namespace weightmesh
