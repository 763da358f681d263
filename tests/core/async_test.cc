// Mode async: which snapshot a request gets, what a pull takes, and when a source is only slower.
#include <gtest/gtest.h>

#include <limits>
#include <utility>
#include <vector>

#include "daemon/core/replica_sink.h"
#include "daemon/core/replica_source.h"
#include "tests/testing/core_harness.h"

namespace weightmesh {
namespace {

using testing_support::CoreHarness;
using wire::Verdict;

constexpr uint32_t kLimit = 3;
constexpr uint32_t kSegments = 2;

RunConfig Config() {
  RunConfig config;
  config.mode = Mode::kAsync;
  config.staleness_rounds_max = kLimit;
  config.seed = 1;
  config.round_deadline = absl::Seconds(1);  // probe_timeout 200 ms, overlap_grace 100 ms at most
  return config;
}

// --- the source ---

class AsyncSource : public testing::Test {
 protected:
  AsyncSource() : harness_(Config(), kSegments) { harness_.StartRun(3); }

  // The round that is sent at once to replica `reader`, or kNoRound; the verdict of what is not
  // sent is in last_verdict_.
  Round Ask(uint32_t reader, uint64_t round, uint32_t segment = 0) {
    harness_.Step(PullRequested{harness_.RequestFrom(reader, ++last_request_, round, segment)});
    return Sent();
  }
  Round Sent() {
    last_verdict_ = harness_.Only<AnswerPull>().answer.verdict;
    const std::vector<StartSend> sends = harness_.All<StartSend>();
    if (sends.size() != 1) return kNoRound;
    sends_.push_back(sends[0].send_id);
    last_verdict_ = sends[0].answer.verdict;
    return sends[0].answer.round;
  }
  // All that was sent has ended.
  void EndSends() {
    for (const SendId send : std::exchange(sends_, {})) harness_.Step(SendEnded{send, true});
  }

  CoreHarness harness_;
  uint64_t last_request_ = 0;
  Verdict last_verdict_{};
  std::vector<SendId> sends_;
};

TEST_F(AsyncSource, SendsItsNewestSnapshotForAnyRound) {
  harness_.Publish(5, 0);
  harness_.Publish(6, 2);
  EXPECT_EQ(Ask(1, 6), Round{6});
  EXPECT_EQ(harness_.Only<StartSend>().slot, SlotId{2});
  EXPECT_EQ(harness_.keeper.held.back(),
            (testing_support::FakeSlotKeeper::Call{CoreHarness::kAttach, SlotId{2}, Round{6}}));
  EXPECT_EQ(Ask(2, 4), Round{6}) << "the reader is slower";
  EXPECT_EQ(Ask(3, 8), Round{6}) << "the reader is faster";
}

TEST_F(AsyncSource, WhatIsTooOldWaitsForThePublish) {
  harness_.Publish(1, 0);
  EXPECT_EQ(Ask(1, 1 + kLimit), Round{1});
  EXPECT_EQ(Ask(2, 2 + kLimit), kNoRound);
  EXPECT_EQ(last_verdict_, Verdict::kWaiting);
  EXPECT_EQ(harness_.Only<AnswerPull>().answer.round, Round{1}) << "what it has";
  harness_.Publish(2, 1);
  EXPECT_EQ(Sent(), Round{2});
}

TEST_F(AsyncSource, NothingOfTheFirstRoundsIsBeforeTheFirst) {
  EXPECT_EQ(Ask(1, 1), kNoRound);
  EXPECT_EQ(last_verdict_, Verdict::kWaiting);
  harness_.Publish(2, 0);
  EXPECT_EQ(Sent(), Round{2});
}

TEST_F(AsyncSource, ASkippedPublishIsServedWithTheSnapshotBefore) {
  harness_.Publish(1, 0);
  harness_.Step(PublishSkipped{CoreHarness::kAttach, Round{2}});
  EXPECT_EQ(Ask(1, 2), Round{1});
  harness_.Step(PublishSkipped{CoreHarness::kAttach, Round{8}});
  EXPECT_EQ(Ask(2, 8), kNoRound);
  EXPECT_EQ(last_verdict_, Verdict::kWaiting) << "nothing is SKIPPED";
}

TEST_F(AsyncSource, AReaderKeepsToOneSnapshotWhileThatWillDo) {
  harness_.Publish(1, 0);
  ASSERT_EQ(Ask(1, 1, 0), Round{1});
  harness_.Publish(2, 1);
  EXPECT_EQ(Ask(1, 2, 1), Round{1}) << "it reads that one still";
  EXPECT_EQ(Ask(2, 2), Round{2}) << "another reader";
  harness_.Publish(5, 2);
  EXPECT_EQ(Ask(1, 5, 0), kNoRound) << "that one is too old, and a second it may not hold";
  EXPECT_EQ(last_verdict_, Verdict::kWaiting);
  harness_.Step(SendEnded{sends_[0], true});
  EXPECT_EQ(Sent(), kNoRound) << "one transfer is under way still";
  harness_.Step(SendEnded{sends_[1], true});
  EXPECT_EQ(Sent(), Round{5});
}

// The trainer writes its next snapshot where the newest was.
TEST_F(AsyncSource, WithoutItsNewestSnapshotItSendsAnOlderOneOrWaits) {
  harness_.Publish(1, 0);
  ASSERT_EQ(Ask(1, 1), Round{1});
  harness_.Publish(2, 1);
  harness_.keeper.taken = true;
  EXPECT_EQ(Ask(2, 2), Round{1}) << "that one is held";
  EndSends();
  EXPECT_EQ(Ask(3, 2), kNoRound);
  EXPECT_EQ(last_verdict_, Verdict::kWaiting) << "nothing is GONE";
  harness_.Publish(3, 1);  // and it has taken that one, too, before it could be read
  EXPECT_EQ(Sent(), kNoRound);
  EXPECT_TRUE(harness_.All<AnswerPull>().empty());
  harness_.keeper.taken = false;
  harness_.Publish(4, 2);
  EXPECT_EQ(Sent(), Round{4});
  EXPECT_EQ(Ask(2, 4), Round{4});
}

TEST_F(AsyncSource, NothingIsOwed) {
  harness_.Publish(1, 0);
  EXPECT_TRUE(harness_.keeper.held.empty());
  harness_.Step(LeaveRequested{CoreHarness::kAttach});
  EXPECT_EQ(harness_.All<FinishLeave>().size(), 1u);
}

// Each segment in each round for which the snapshot will do; one that takes more would hold its
// slot for good.
TEST_F(AsyncSource, AReaderMayTakeASnapshotOnceInEachOfItsRounds) {
  harness_.Publish(1, 0);
  for (uint64_t round = 1; round <= 1 + kLimit; ++round) {
    for (uint32_t segment = 0; segment < kSegments; ++segment) {
      ASSERT_EQ(Ask(1, round, segment), Round{1}) << round;
      EndSends();
    }
  }
  uint32_t more = 0;
  while (more <= kSegments && Ask(1, 1) == Round{1}) {
    ++more;
    EndSends();
  }
  EXPECT_EQ(more, kSegments) << "as a redirected reader may";
  EXPECT_EQ(last_verdict_, Verdict::kBusy);
  EXPECT_EQ(Ask(2, 1), Round{1}) << "another reader";
}

// --- the sink ---

class AsyncSink : public testing::Test {
 protected:
  AsyncSink() : harness_(Config()) { harness_.StartRun(3); }

  StartPull Begin(uint64_t round) {
    harness_.Publish(round, round % 3);
    return harness_.Only<StartPull>();
  }
  void Answer(const StartPull& pull, Verdict verdict, uint64_t round) {
    harness_.Step(PullAnswered{CoreHarness::AnswerTo(pull, verdict, round)});
  }
  void Land(const StartPull& pull, uint64_t round) {
    Answer(pull, Verdict::kData, round);
    harness_.Step(PullEnded{pull.request.request_id, PullEnd::kLanded});
  }
  FrozenSegment Collect(uint64_t round) {
    harness_.Collect(round);
    const std::vector<Deliver> all = harness_.All<Deliver>();
    return all.size() == 1 ? all[0].segments[0] : FrozenSegment{};
  }
  void Mix(uint64_t round) {
    harness_.Step(Mixed{CoreHarness::kAttach, Round{round}, {{Outcome::kArrived, 0}}});
  }
  // The next round after `last` in which the source is the same as in `last`.
  uint64_t SameSourceAfter(uint64_t last) const {
    uint64_t round = last + 1;
    while (harness_.SourceOf(0, round) != harness_.SourceOf(0, last)) ++round;
    return round;
  }

  CoreHarness harness_;
};

TEST_F(AsyncSink, TheRequestSaysWhatItAccepts) {
  const PullRequest request = Begin(10).request;
  EXPECT_EQ(request.round, Round{10});
  EXPECT_FALSE(Accepts(request, Round{10 - kLimit - 1}));
  EXPECT_TRUE(Accepts(request, Round{10 - kLimit}));
  EXPECT_TRUE(Accepts(request, Round{10}));
  EXPECT_TRUE(Accepts(request, Round{10 + kRoundJumpMax}));
  EXPECT_FALSE(Accepts(request, Round{11 + kRoundJumpMax})) << "implausible";
  EXPECT_FALSE(Accepts(request, Round{std::numeric_limits<uint64_t>::max()}));
}

TEST_F(AsyncSink, WhatIsPlausibleIsMeasuredFromTheNewestRound) {
  harness_.Hear(1, ReplicaState::kActive, 500);
  const PullRequest request = Begin(10).request;
  EXPECT_TRUE(Accepts(request, Round{500 + kRoundJumpMax}));
  EXPECT_FALSE(Accepts(request, Round{501 + kRoundJumpMax}));
}

TEST_F(AsyncSink, RoundNoneIsNoData) {
  const PullRequest request = Begin(1).request;
  EXPECT_FALSE(Accepts(request, kNoRound));
  EXPECT_TRUE(Accepts(request, Round{1}));
}

TEST_F(AsyncSink, TheDeliverySaysWhichSnapshotItIs) {
  const StartPull older = Begin(10);
  Land(older, 8);
  FrozenSegment frozen = Collect(10);
  EXPECT_TRUE(frozen.delivered);
  EXPECT_EQ(frozen.source_round, Round{8});
  EXPECT_EQ(frozen.source, older.request.source);
  Mix(10);
  Land(Begin(11), 15);
  frozen = Collect(11);
  EXPECT_TRUE(frozen.delivered);
  EXPECT_EQ(frozen.source_round, Round{15});
  Mix(11);
  const ReplicaStatistics statistics = harness_.Statistics();
  EXPECT_EQ(statistics.staleness.count, 2u);
  EXPECT_EQ(statistics.staleness.sum, 2u) << "what is ahead is not stale";
}

TEST_F(AsyncSink, WhatWaitsAtTheCollectIsLateAndWhatIsUnderWayHasTheGrace) {
  Answer(Begin(10), Verdict::kWaiting, 1);
  EXPECT_EQ(Collect(10).outcome, Outcome::kLate);
  Answer(Begin(11), Verdict::kData, 11);
  harness_.Collect(11);
  harness_.Advance(absl::Milliseconds(99));
  EXPECT_TRUE(harness_.All<Deliver>().empty());
  harness_.Advance(absl::Milliseconds(1));
  EXPECT_EQ(harness_.Only<Deliver>().segments[0].outcome, Outcome::kLate);
}

TEST_F(AsyncSink, BeingBehindRedirectsNobody) {
  const StartPull pull = Begin(10);
  Answer(pull, Verdict::kWaiting, 1);
  EXPECT_TRUE(harness_.All<StartPull>().empty());
  harness_.Advance(absl::Milliseconds(999));
  EXPECT_TRUE(harness_.All<StartPull>().empty());
  Land(pull, 9);
  EXPECT_TRUE(Collect(10).delivered);
  EXPECT_EQ(harness_.Statistics().redirects, 0u);
}

TEST_F(AsyncSink, ASourceBeyondTheLimitIsOverdueUntilItPublishes) {
  Answer(Begin(10), Verdict::kWaiting, 10 - kLimit - 1);
  harness_.Advance(absl::Seconds(1));
  const uint64_t next = SameSourceAfter(10);
  const StartPull again = Begin(next);
  Answer(again, Verdict::kWaiting, 10 - kLimit - 1);
  EXPECT_EQ(harness_.Only<CancelPull>().request_id, again.request.request_id) << "LATE at once";
}

// It had data; its answer waited for the end of this replica's other transfers.
TEST_F(AsyncSink, ASourceWithinTheLimitIsNeverOverdue) {
  Answer(Begin(10), Verdict::kWaiting, 10 - kLimit);
  harness_.Advance(absl::Seconds(1));
  const uint64_t next = SameSourceAfter(10);
  Answer(Begin(next), Verdict::kWaiting, 10 - kLimit);
  EXPECT_TRUE(harness_.All<CancelPull>().empty());
}

TEST_F(AsyncSink, TheNextRoundIsTheNewestKnown) {
  Begin(1);
  harness_.Hear(1, ReplicaState::kActive, 9);
  EXPECT_EQ(harness_.Only<UpdatePage>().next_round, Round{9});
}

}  // namespace
}  // namespace weightmesh
