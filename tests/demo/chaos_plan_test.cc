// Who is struck, how, and who comes back.
#include "deploy/demo/chaos_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

namespace weightmesh::demo {
namespace {

constexpr int kNodes = 8;
constexpr int kStrikes = 2000;

bool IsPause(Blow blow) { return blow == Blow::kPauseTrainer || blow == Blow::kPauseDaemon; }
int Missing(const std::vector<NodeState>& nodes) {
  return static_cast<int>(std::count_if(nodes.begin(), nodes.end(), [](const NodeState& node) {
    return node.presence != Presence::kHere;
  }));
}
constexpr NodeState kHere = {Presence::kHere, false};
constexpr NodeState kComing = {Presence::kComing, false};
constexpr NodeState kLeaving = {Presence::kLeaving, false};
constexpr NodeState kPaused = {Presence::kHere, true};

// A mesh in which what a strike begins is over at the next one: a drained node is away then, one
// that was brought back is here, and nobody is stopped any more.
class Mesh {
 public:
  explicit Mesh(int nodes) : nodes_(static_cast<size_t>(nodes)) {}

  void Take(const Strike& strike) {
    for (NodeState& node : nodes_) {
      if (node.presence == Presence::kLeaving) node.presence = Presence::kAway;
      if (node.presence == Presence::kComing) node.presence = Presence::kHere;
    }
    Presence& struck = nodes_[static_cast<size_t>(strike.node)].presence;
    if (strike.blow == Blow::kDrain) {
      struck = Presence::kLeaving;
    } else if (strike.blow == Blow::kBringBack) {
      struck = Presence::kComing;
    } else if (!IsPause(strike.blow)) {
      struck = Presence::kAway;
    }
  }
  const std::vector<NodeState>& nodes() const { return nodes_; }

 private:
  std::vector<NodeState> nodes_;
};

std::vector<Strike> StrikesOf(uint64_t seed, int nodes) {
  ChaosPlan plan(seed, nodes);
  Mesh mesh(nodes);
  std::vector<Strike> strikes;
  for (int i = 0; i < kStrikes; ++i) {
    strikes.push_back(plan.Next(mesh.nodes()).value());
    mesh.Take(strikes.back());
  }
  return strikes;
}

bool Same(const Strike& a, const Strike& b) {
  return a.blow == b.blow && a.node == b.node && a.pause_seconds == b.pause_seconds;
}

TEST(ChaosPlan, IsAFunctionOfTheSeed) {
  const std::vector<Strike> first = StrikesOf(1, kNodes), again = StrikesOf(1, kNodes);
  EXPECT_TRUE(std::equal(first.begin(), first.end(), again.begin(), Same));
  const std::vector<Strike> other = StrikesOf(2, kNodes);
  EXPECT_FALSE(std::equal(first.begin(), first.end(), other.begin(), Same));
}

TEST(ChaosPlan, BeginsAsItDid) {
  const std::vector<Strike> strikes = StrikesOf(1, kNodes);
  const std::vector<Strike> expected = {
      {Blow::kPauseTrainer, 4, 0}, {Blow::kDrain, 3, 0}, {Blow::kDrain, 7, 0}};
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(strikes[i].blow, expected[i].blow) << i;
    EXPECT_EQ(strikes[i].node, expected[i].node) << i;
  }
}

TEST(ChaosPlan, DoesEverything) {
  std::map<Blow, int> counts;
  std::map<int, int> nodes;
  for (const Strike& strike : StrikesOf(1, kNodes)) {
    ++counts[strike.blow];
    ++nodes[strike.node];
    EXPECT_GE(strike.pause_seconds, 0);
    EXPECT_LT(strike.pause_seconds, ChaosPlan::kPauseSecondsMax);
  }
  EXPECT_EQ(nodes.size(), static_cast<size_t>(kNodes));
  for (const Blow blow : {Blow::kKillTrainer, Blow::kKillDaemon, Blow::kDrain, Blow::kPauseTrainer,
                          Blow::kPauseDaemon, Blow::kBringBack}) {
    EXPECT_GT(counts[blow], kStrikes / 20) << static_cast<int>(blow);
  }
}

TEST(ChaosPlan, TakesAwayOnlySoManyAndNeverTheFirst) {
  for (const int nodes : {3, 4, 8}) {
    ChaosPlan plan(7, nodes);
    Mesh mesh(nodes);
    int most = 0;
    std::vector<int> away(static_cast<size_t>(nodes));
    for (int i = 0; i < kStrikes; ++i) {
      mesh.Take(plan.Next(mesh.nodes()).value());
      EXPECT_EQ(mesh.nodes()[0].presence, Presence::kHere);
      most = std::max(most, Missing(mesh.nodes()));
      for (size_t k = 0; k < away.size(); ++k) {
        away[k] = mesh.nodes()[k].presence == Presence::kAway ? away[k] + 1 : 0;
        // Several may be overdue at once: they come one after the other.
        EXPECT_LE(away[k], ChaosPlan::kAwayStrikesMax + ChaosPlan::kMissingMax);
      }
    }
    EXPECT_EQ(most, std::min(nodes - ChaosPlan::kStaying, ChaosPlan::kMissingMax));
  }
}

TEST(ChaosPlan, OnlyStopsWhoIsComing) {
  ChaosPlan plan(3, 3);
  for (int i = 0; i < kStrikes; ++i) {
    EXPECT_TRUE(IsPause(plan.Next({kHere, kComing, kComing}).value().blow));
  }
}

// One that is paused while it comes is still missing.
TEST(ChaosPlan, TwoAreAlwaysThere) {
  ChaosPlan plan(3, 3);
  for (int i = 0; i < kStrikes; ++i) {
    const auto strike = plan.Next({kHere, {Presence::kComing, true}, kHere});
    EXPECT_TRUE(IsPause(strike.value().blow));
  }
}

TEST(ChaosPlan, LeavesAloneWhoIsStoppedOrLeaves) {
  ChaosPlan plan(3, 4);
  for (int i = 0; i < kStrikes; ++i) {
    EXPECT_EQ(plan.Next({kPaused, kLeaving, kHere, kPaused}).value().node, 2);
  }
  EXPECT_FALSE(plan.Next(std::vector(4, kPaused)).has_value());
}

// Else one late answer would make another plan of the rest.
TEST(ChaosPlan, AnAnswerDoesNotShiftTheNumbersAfterIt) {
  const std::vector<NodeState> here(kNodes, kHere);
  ChaosPlan plan(5, kNodes), other(5, kNodes);
  (void)plan.Next(here);
  (void)other.Next(std::vector(kNodes, kPaused));
  EXPECT_TRUE(Same(plan.Next(here).value(), other.Next(here).value()));
}

}  // namespace
}  // namespace weightmesh::demo
