// Links that bring nothing, of nodes that answer calls.
#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "tests/core/sink_fixture.h"

namespace weightmesh {
namespace {

// A node answers calls, and its link brings nothing: a firewall lets only calls through.
class SilentLinkTest : public SinkTest {
 protected:
  SilentLinkTest() : SinkTest(Mode::kLockstep, /*peers=*/1) {}

  struct Attempt {
    bool asked = false;
    bool cut = false;
    int warnings = 0;
  };
  // A round of 200 ms in which node 1 does not answer a pull, if it is asked, and then a call.
  Attempt AskInVain(uint64_t round) {
    Attempt attempt;
    harness_.Publish(round, round % 3);
    const std::vector<StartPull> pulls = harness_.All<StartPull>();
    attempt.asked = !pulls.empty();
    harness_.Advance(absl::Milliseconds(200));
    attempt.cut = !harness_.All<CutLink>().empty();
    for (const Log& log : harness_.All<Log>()) attempt.warnings += log.level == LogLevel::kWarning;
    for (const StartPull& pull : pulls) {
      harness_.Step(PullEnded{pull.request.request_id, PullEnd::kCancelled});
    }
    harness_.Step(ProbeAnswered{CoreHarness::NodeOf(1), harness_.InfoOf(1).session});
    return attempt;
  }
  // Node 1, and the replica on it.
  std::pair<bool, bool> AreShownAsReachable() {
    const TopologySnapshot topology = harness_.core().Topology(harness_.now, "");
    for (const ReplicaSnapshot& replica : topology.replicas) {
      if (replica.node == CoreHarness::NodeOf(1)) {
        return {topology.nodes[1].reachable, replica.reachable};
      }
    }
    return {false, false};
  }
};

TEST_F(SilentLinkTest, IsAskedEverMoreRarely) {
  std::vector<uint64_t> asked;
  int warnings = 0;
  for (uint64_t round = 1; round <= 31; ++round) {
    const Attempt attempt = AskInVain(round);
    if (attempt.asked) asked.push_back(round);
    warnings += attempt.warnings - static_cast<int>(attempt.cut);
  }
  EXPECT_EQ(asked, (std::vector<uint64_t>{1, 3, 6, 11, 20})) << "the pause doubles";
  EXPECT_EQ(warnings, 1) << "said once, however long it goes on";
}

TEST_F(SilentLinkTest, IsMadeAnewAfterTwoDeadlines) {
  std::vector<uint64_t> cut;
  for (uint64_t round = 1; round <= 40; ++round) {
    if (AskInVain(round).cut) cut.push_back(round);
  }
  EXPECT_EQ(cut, (std::vector<uint64_t>{11, 37})) << "the new one has as long";
  EXPECT_EQ(harness_.core().Links()[0].statistics.cuts, 2u);
}

TEST_F(SilentLinkTest, AnyFrameOfItShowsThatItWorks) {
  for (uint64_t round = 1; round <= 30; ++round) {
    const Attempt attempt = AskInVain(round);
    EXPECT_TRUE(attempt.asked) << "round " << round;
    EXPECT_FALSE(attempt.cut) << "round " << round;
    EXPECT_EQ(AreShownAsReachable(), std::pair(true, false)) << "by calls, and not by pulls";
    harness_.Step(PullRequested{harness_.RequestFrom(1, round, round)});
    EXPECT_EQ(AreShownAsReachable(), std::pair(true, true));
    harness_.Step(SendEnded{harness_.Only<StartSend>().send_id, true});
  }
}

TEST_F(SilentLinkTest, AnotherProcessOfTheNodeIsAskedAtOnce) {
  AskInVain(1);
  ASSERT_FALSE(AskInVain(2).asked);
  AskInVain(3);
  SyncMessage restarted = harness_.MessageOf(1, ReplicaState::kActive, {0, 1}, true);
  restarted.self.session = 5;
  harness_.Step(SyncAnswered{CoreHarness::AddressOf(1), restarted});
  EXPECT_TRUE(AskInVain(4).asked);
}

// Otherwise each snapshot would be kept for it until the deadline.
TEST_F(SilentLinkTest, IsOwedNothing) {
  const StartPull first = Begin(1);
  harness_.Step(PullRequested{harness_.RequestFrom(1, 1, 1)});
  harness_.Step(SendEnded{harness_.Only<StartSend>().send_id, true});
  harness_.Advance(absl::Milliseconds(200));
  harness_.Step(PullEnded{first.request.request_id, PullEnd::kCancelled});
  harness_.Step(ProbeAnswered{CoreHarness::NodeOf(1), harness_.InfoOf(1).session});
  harness_.Publish(2, 2);
  EXPECT_TRUE(harness_.keeper.HasReleased(Round{2}));

  harness_.Advance(absl::Milliseconds(200));
  harness_.Publish(3, 0);
  EXPECT_FALSE(harness_.keeper.HasReleased(Round{3})) << "it is tried again";
  harness_.Advance(absl::Milliseconds(400));
  EXPECT_TRUE(harness_.keeper.HasReleased(Round{3})) << "in vain";
}

TEST_F(SilentLinkTest, IsAskedAtOnceWhenItsNodeIsBackThatDidNotAnswerCallsEither) {
  harness_.peers_answer_syncs = false;
  const StartPull first = Begin(1);
  harness_.Advance(absl::Milliseconds(200));
  harness_.Step(PullEnded{first.request.request_id, PullEnd::kCancelled});
  harness_.Step(ProbeFailed{CoreHarness::NodeOf(1), "no answer"});
  harness_.Hear(1);
  harness_.Publish(2, 2);
  EXPECT_EQ(harness_.All<StartPull>().size(), 1u);
}

// Its answers lie unread.
TEST_F(SinkTest, WhoStoodStillItselfBlamesNobody) {
  const StartPull pull = Begin(1);
  harness_.now += absl::Milliseconds(700);
  harness_.Step(TimerFired{});
  EXPECT_TRUE(harness_.All<CancelPull>().empty());
  harness_.Advance(absl::Milliseconds(199));
  EXPECT_TRUE(harness_.All<CancelPull>().empty());
  harness_.Advance(absl::Milliseconds(1));
  EXPECT_EQ(harness_.Only<CancelPull>().request_id, pull.request.request_id)
      << "from then on it has as long as ever";
}

}  // namespace
}  // namespace weightmesh
