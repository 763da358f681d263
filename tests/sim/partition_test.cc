// A mesh that falls into halves, in virtual time: both train on by themselves, and are one mesh
// again after the heal, though each has held the other for dead.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <set>
#include <utility>
#include <vector>

#include "tests/sim/simulator.h"

namespace weightmesh::sim {
namespace {

constexpr uint32_t kNodes = 8;

class Partition : public testing::TestWithParam<Mode> {
 protected:
  SimOptions Mesh(uint64_t seed) const {
    SimOptions options;
    options.seed = seed;
    options.nodes = kNodes;
    options.segments = 4;
    options.run.seed = 11;
    options.run.mode = GetParam();
    options.run.replicas_min = 0;
    options.run.round_deadline = absl::Seconds(1);
    options.step = absl::Milliseconds(100);
    options.step_jitter = 0.1;
    options.rounds = 700;
    options.noise = 0.1;  // training: the halves drift apart
    return options;
  }

  static bool AreHalves(uint32_t a, uint32_t b) { return (a < kNodes / 2) != (b < kNodes / 2); }

  static size_t Reachable(Simulator* simulator, uint32_t k) {
    const absl::Time now = absl::UnixEpoch() + simulator->elapsed();
    size_t count = 0;
    for (const NodeSnapshot& node : simulator->node(k).core().Topology(now, "run").nodes) {
      count += node.reachable ? 1 : 0;
    }
    return count;
  }
  static bool AllReach(Simulator* simulator, size_t nodes) {
    for (uint32_t k = 0; k < kNodes; ++k) {
      if (Reachable(simulator, k) != nodes) return false;
    }
    return true;
  }
  // Replicas that take part in round `round`, as node `k` believes.
  static size_t ViewSize(Simulator* simulator, uint32_t k, Round round) {
    const auto schedule = simulator->node(k).core().ScheduleOf("run", round, SegmentId{0});
    return schedule.ok() ? schedule->assignments.size() : 0;
  }
  static bool AllView(Simulator* simulator, size_t replicas) {
    for (uint32_t k = 0; k < kNodes; ++k) {
      const Round next = Next(simulator->trainer(k).newest_round());
      if (ViewSize(simulator, k, next) != replicas) return false;
    }
    return true;
  }
  // The consensus distances before and after that node `k` has logged of a heal; zeros if none.
  static std::pair<double, double> Jump(Simulator* simulator, uint32_t k) {
    for (const std::string& line : simulator->node(k).log()) {
      const size_t at = line.find("; consensus distance ");
      double before = 0;
      double after = 0;
      if (at == std::string::npos) continue;
      if (std::sscanf(line.c_str() + at, "; consensus distance %lf before, %lf", &before, &after) ==
          2) {
        return {before, after};
      }
    }
    return {0, 0};
  }
  static std::vector<Round> Rounds(Simulator* simulator) {
    std::vector<Round> rounds;
    for (uint32_t k = 0; k < kNodes; ++k) rounds.push_back(simulator->trainer(k).newest_round());
    return rounds;
  }
};
INSTANTIATE_TEST_SUITE_P(Modes, Partition, testing::Values(Mode::kLockstep, Mode::kOverlap),
                         [](const auto& info) {
                           return info.param == Mode::kLockstep ? "lockstep" : "overlap";
                         });

TEST_P(Partition, HalvesTrainOnAndAreOneMeshAgain) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    Simulator simulator(Mesh(seed));
    simulator.StartAll();
    simulator.RunFor(absl::Seconds(2));
    simulator.Part(AreHalves);
    ASSERT_TRUE(simulator.RunUntil(
        [&] { return AllReach(&simulator, kNodes / 2) && AllView(&simulator, kNodes / 2); },
        absl::Seconds(15)))
        << "seed " << seed;
    const std::vector<Round> before = Rounds(&simulator);
    const uint64_t arrived = simulator.ledger().Count(Outcome::kArrived);
    simulator.RunFor(absl::Seconds(10));
    const std::vector<Round> after = Rounds(&simulator);
    for (uint32_t k = 0; k < kNodes; ++k) {
      EXPECT_GE(Value(after[k]), Value(before[k]) + 80) << "seed " << seed << ", trainer " << k;
    }
    EXPECT_GE(simulator.ledger().Count(Outcome::kArrived), arrived + 80 * 4 * kNodes * 9 / 10)
        << "seed " << seed << ": within its half each pull finds somebody";

    simulator.Part(nullptr);
    ASSERT_TRUE(simulator.RunUntil(
        [&] { return AllReach(&simulator, kNodes) && AllView(&simulator, kNodes); },
        absl::Seconds(30)))
        << "seed " << seed;
    simulator.RunFor(absl::Seconds(2));
    const std::vector<Round> coupled = Rounds(&simulator);
    const auto [least, most] = std::minmax_element(coupled.begin(), coupled.end());
    EXPECT_LE(Value(*most), Value(*least) + 3) << "seed " << seed << ": round numbers couple";
    ASSERT_TRUE(simulator.RunToEnd());
    EXPECT_EQ(simulator.Audit(), "");
    double distance_before = 0;
    double distance_after = 0;
    for (uint32_t k = 0; k < kNodes; ++k) {
      const auto [before_heal, after_heal] = Jump(&simulator, k);
      EXPECT_GT(after_heal, 0) << "seed " << seed << ", node " << k << " has logged no heal";
      distance_before += before_heal;
      distance_after += after_heal;
    }
    EXPECT_GT(distance_after, 5 * distance_before) << "seed " << seed;
  }
}

// Apart for so long that each half has forgotten the other: the seed is asked for ever.
TEST(LongPartition, HalvesThatHaveForgottenEachOtherMeetAgain) {
  SimOptions options;
  options.nodes = kNodes;
  options.seeds = 1;
  Simulator simulator(options);
  simulator.StartNodes();
  const auto all_know = [&](bool know, const std::function<bool(uint32_t, uint32_t)>& of) {
    for (uint32_t a = 0; a < kNodes; ++a) {
      for (uint32_t b = 0; b < kNodes; ++b) {
        if (a == b || !of(a, b)) continue;
        if (simulator.node(a).core().Knows(World::NodeIdOf(b)) != know) return false;
      }
    }
    return true;
  };
  const auto anybody = [](uint32_t, uint32_t) { return true; };
  const auto halves = [](uint32_t a, uint32_t b) { return (a < kNodes / 2) != (b < kNodes / 2); };
  ASSERT_TRUE(simulator.RunUntil([&] { return all_know(true, anybody); }, absl::Seconds(10)));
  simulator.control().Block(halves);
  simulator.RunFor(absl::Hours(1));
  ASSERT_TRUE(all_know(false, halves));
  simulator.control().Block(nullptr);
  EXPECT_TRUE(simulator.RunUntil([&] { return all_know(true, anybody); }, absl::Seconds(30)));
}

// Node 7 hears nobody of the first four, and they hear it: the others carry word, and nobody dies.
TEST_P(Partition, WhereOneWayIsLostNobodyDies) {
  for (uint64_t seed = 1; seed <= 2; ++seed) {
    Simulator simulator(Mesh(seed));
    simulator.StartAll();
    simulator.RunFor(absl::Seconds(2));
    simulator.control().Block([](uint32_t from, uint32_t to) { return from < 4 && to == 7; });
    for (int second = 0; second < 20; ++second) {
      simulator.RunFor(absl::Seconds(1));
      EXPECT_TRUE(AllView(&simulator, kNodes)) << "seed " << seed << ", second " << second;
    }
    simulator.control().Block(nullptr);
    ASSERT_TRUE(simulator.RunToEnd());
    EXPECT_EQ(simulator.Audit(), "");
  }
}

}  // namespace
}  // namespace weightmesh::sim
