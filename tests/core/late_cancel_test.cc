// A pull that is given up while its data is already coming: the cancel is too late, and what lands
// is delivered for what it is.
#include <gtest/gtest.h>

#include <vector>

#include "tests/testing/core_harness.h"

namespace weightmesh {
namespace {

using testing_support::CoreHarness;
using wire::Verdict;

class LateCancel : public testing::Test {
 protected:
  static RunConfig Config() {
    RunConfig config;
    config.seed = 1;
    config.round_deadline = absl::Seconds(1);
    return config;
  }
  LateCancel() : harness_(Config()) {
    harness_.StartRun(3);
    // So that WAITING's round and the data's differ from each other and from zero.
    harness_.Publish(1, 1);
    harness_.Land(harness_.Only<StartPull>());
    harness_.Collect(1);
    const std::vector<MixedSegmentResult> results = {{Outcome::kArrived, 0}};
    harness_.Step(Mixed{CoreHarness::kAttach, Round{1}, results});
    harness_.Publish(2, 2);
    pull_ = harness_.Only<StartPull>();
  }

  // The data had set out before the cancel reached the transport.
  void ExpectDeliveredAsRoundTwo() {
    EXPECT_EQ(harness_.Only<CancelPull>().request_id, pull_.request.request_id);
    harness_.Step(PullAnswered{CoreHarness::AnswerTo(pull_, Verdict::kData, 2)});
    harness_.Step(PullEnded{pull_.request.request_id, PullEnd::kLanded});
    harness_.Collect(2);
    const FrozenSegment segment = harness_.Only<Deliver>().segments[0];
    EXPECT_TRUE(segment.delivered);
    EXPECT_EQ(segment.source_round, Round{2}) << "its checksums are keyed with the round";
    EXPECT_EQ(segment.source, pull_.request.source);
  }

  CoreHarness harness_;
  StartPull pull_;
};

TEST_F(LateCancel, OfASourceThatSeemedSilent) {
  harness_.Advance(absl::Milliseconds(200));
  ExpectDeliveredAsRoundTwo();
}

TEST_F(LateCancel, OfASourceThatFellSilentWhileItWasWaitedFor) {
  harness_.Step(PullAnswered{CoreHarness::AnswerTo(pull_, Verdict::kWaiting, 1)});
  harness_.Advance(absl::Milliseconds(200));
  harness_.Step(ProbeFailed{pull_.request.peer, "no answer"});
  harness_.Advance(absl::Milliseconds(200));
  ExpectDeliveredAsRoundTwo();
}

}  // namespace
}  // namespace weightmesh
