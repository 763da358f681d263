// Links that bring nothing, of nodes that answer calls.
#include <gtest/gtest.h>

#include "tests/core/sink_fixture.h"

namespace weightmesh {
namespace {

// A node answers calls, and its link brings nothing: packets of it were lost.
class SilentLinkTest : public SinkTest {
 protected:
  SilentLinkTest() : SinkTest(Mode::kLockstep, /*peers=*/1) {}
  // A round in which node 1 does not answer the pull, and then a call. Whether its link was cut.
  bool AskInVain(uint64_t round) {
    const StartPull pull = Begin(round);
    harness_.Advance(absl::Milliseconds(200));
    bool cut = !harness_.All<CutLink>().empty();
    harness_.Step(PullEnded{pull.request.request_id, PullEnd::kCancelled});
    harness_.Step(ProbeAnswered{CoreHarness::NodeOf(1), harness_.InfoOf(1).session});
    return cut;
  }
};

TEST_F(SilentLinkTest, IsMadeAnewAfterTwoDeadlines) {
  uint64_t round = 1;
  while (round < 30 && !AskInVain(round)) ++round;
  EXPECT_EQ(round, 11u) << "the first is unanswered for 200 ms, which is when it counts";
  EXPECT_EQ(harness_.core().Links()[0].statistics.cuts, 1u);
  harness_.Step(LinkReady{CoreHarness::NodeOf(1), harness_.InfoOf(1).session});
  EXPECT_FALSE(AskInVain(round + 1)) << "the new one has as long";
}

TEST_F(SilentLinkTest, AnyFrameOfItShowsThatItWorks) {
  for (uint64_t round = 1; round <= 30; ++round) {
    EXPECT_FALSE(AskInVain(round)) << "round " << round;
    if (round % 3 != 0) continue;
    harness_.Step(PullRequested{harness_.RequestFrom(1, round, round)});
    harness_.Step(SendEnded{harness_.Only<StartSend>().send_id, true});
  }
}

}  // namespace
}  // namespace weightmesh
