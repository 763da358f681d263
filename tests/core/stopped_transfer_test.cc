// A transfer that stops half-way, as the core sees it: what happens in which order.
#include <gtest/gtest.h>

#include <vector>

#include "tests/testing/core_harness.h"

namespace weightmesh {
namespace {

using testing_support::CoreHarness;
using wire::Verdict;

RunConfig Config() {
  RunConfig config;
  config.seed = 1;
  config.round_deadline = absl::Seconds(1);
  return config;
}

// Cancelled in vain; its link is cut two deadlines later, and its buffer is free when the transport
// has ended it.
TEST(StoppedTransfer, LeavesQuarantineWhenItsCutLinkHasEndedIt) {
  CoreHarness harness(Config());
  harness.StartRun(3);
  harness.Publish(1, 1);
  const StartPull stopped = harness.Only<StartPull>();
  harness.Step(PullAnswered{CoreHarness::AnswerTo(stopped, Verdict::kData, 1)});
  harness.Collect(1);
  harness.Advance(absl::Seconds(1));
  EXPECT_EQ(harness.Only<Deliver>().segments[0].outcome, Outcome::kLate);
  EXPECT_EQ(harness.Only<CancelPull>().request_id, stopped.request.request_id);
  const auto use_the_other = [&](uint64_t round) {
    harness.Publish(round, round % 3);
    const StartPull pull = harness.Only<StartPull>();
    EXPECT_NE(pull.buffer, stopped.buffer) << "round " << round;
    harness.Land(pull);
    harness.Collect(round);
    const std::vector<MixedSegmentResult> results = {{Outcome::kArrived, 0}};
    harness.Step(Mixed{CoreHarness::kAttach, Round{round}, results});
  };
  use_the_other(2);
  harness.Advance(absl::Milliseconds(1999));
  EXPECT_TRUE(harness.All<CutLink>().empty());
  use_the_other(3);
  harness.Advance(absl::Milliseconds(1));
  EXPECT_EQ(harness.Only<CutLink>().node, stopped.request.peer);
  use_the_other(4);
  harness.Step(PullEnded{stopped.request.request_id, PullEnd::kFailed});
  harness.Publish(5, 2);
  EXPECT_EQ(harness.Only<StartPull>().buffer, stopped.buffer);
  EXPECT_EQ(harness.Outcomes(Outcome::kLate), 1u);
  EXPECT_EQ(harness.Outcomes(Outcome::kArrived), 3u);
}

}  // namespace
}  // namespace weightmesh
