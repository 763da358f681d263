// Async in virtual time: replicas of different speed take each other's newest snapshots.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/sim/simulator.h"

namespace weightmesh::sim {
namespace {

SimOptions Async(uint32_t nodes, uint32_t staleness_rounds_max = 8) {
  SimOptions options;
  options.nodes = nodes;
  options.run.mode = Mode::kAsync;
  options.run.staleness_rounds_max = staleness_rounds_max;
  options.run.seed = 7;
  options.run.replicas_min = 0;
  options.rounds = 600;
  return options;
}

uint64_t Oldest(const Ledger& ledger) {
  return ledger.staleness().empty() ? 0 : ledger.staleness().rbegin()->first;
}

// In overlap the same mesh loses a tenth of the others' pulls.
TEST(Async, OneTrainerThreeTimesSlowerCostsNobodyAPull) {
  SimOptions options = Async(8);
  options.slowness = {3};
  options.step_jitter = 0.05;
  Simulator simulator(options);
  simulator.StartAll();
  simulator.RunFor(absl::Seconds(5));
  EXPECT_EQ(simulator.Audit(), "");
  const Ledger& ledger = simulator.ledger();
  EXPECT_GE(ledger.ArrivedShare(1, 8), 0.99);
  EXPECT_GE(ledger.ArrivedShare(0, 1), 0.99);
  for (const Outcome never : {Outcome::kGone, Outcome::kSkipped, Outcome::kDead}) {
    EXPECT_EQ(ledger.Count(never), 0u) << OutcomeName(never);
  }
  EXPECT_GE(Oldest(ledger), 2u) << "nobody read what the slow one had";
  EXPECT_LE(Oldest(ledger), 4u);
  // The others keep their own pace.
  EXPECT_GT(simulator.trainer(1).steps(), 450u);
  EXPECT_LT(simulator.trainer(0).steps(), 200u);
}

// What is older than the limit is not taken: such pulls are LATE, and hold nobody up.
TEST(Async, WhoIsSlowerThanTheLimitIsLate) {
  SimOptions options = Async(8, 2);
  options.slowness = {10};
  Simulator simulator(options);
  simulator.StartAll();
  simulator.RunFor(absl::Seconds(5));
  EXPECT_EQ(simulator.Audit(), "");
  const Ledger& ledger = simulator.ledger();
  EXPECT_GT(ledger.Count(Outcome::kLate), 1000u);
  EXPECT_GE(ledger.ArrivedShare(1, 8), 6.0 / 7) << "more than those of the slow one are lost";
  EXPECT_EQ(Oldest(ledger), 2u);
  EXPECT_GT(simulator.trainer(1).steps(), 450u);
}

// All initial values are contracted to one point, which lies among them, whatever the speeds.
TEST(Async, ContractsWithinTheHullAtAnySpeeds) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    SimOptions options = Async(6, 16);
    options.seed = seed;
    options.slowness = {1, 1.3, 2, 3, 5, 8};
    options.step_jitter = 0.3;
    Simulator simulator(options);
    std::vector<double> least(options.segments, 1);
    std::vector<double> most(options.segments, -1);
    for (uint32_t k = 0; k < simulator.trainers(); ++k) {
      for (uint32_t segment = 0; segment < options.segments; ++segment) {
        const double weight = simulator.trainer(k).weights()[segment];
        least[segment] = std::min(least[segment], weight);
        most[segment] = std::max(most[segment], weight);
      }
    }
    simulator.StartAll();
    simulator.RunFor(absl::Seconds(4));
    EXPECT_EQ(simulator.Audit(), "");
    for (const auto& [round, record] : simulator.ledger().rounds()) {
      for (size_t k = 0; k < record.values.size(); ++k) {
        if (std::isnan(record.values[k])) continue;
        ASSERT_GE(record.values[k], least[k % options.segments]) << "round " << Value(round);
        ASSERT_LE(record.values[k], most[k % options.segments]) << "round " << Value(round);
      }
    }
    for (uint32_t segment = 0; segment < options.segments; ++segment) {
      double spread = 0;
      for (uint32_t k = 0; k < simulator.trainers(); ++k) {
        spread = std::max(spread, std::abs(simulator.trainer(k).weights()[segment] -
                                           simulator.trainer(0).weights()[segment]));
      }
      EXPECT_LT(spread, 1e-6 * (most[segment] - least[segment])) << "segment " << segment;
    }
  }
}

TEST(Async, OfEqualSpeedAlmostAllArrives) {
  SimOptions options = Async(8);
  options.step_jitter = 0.3;
  Simulator simulator(options);
  simulator.StartAll();
  ASSERT_TRUE(
      simulator.RunUntil([&] { return simulator.trainer(0).steps() >= 500; }, absl::Seconds(30)));
  EXPECT_GE(simulator.ledger().ArrivedShare(0, 8), 0.99);
  ASSERT_TRUE(simulator.RunToEnd());
  EXPECT_EQ(simulator.Audit(), "");
}

// Two replicas, so that every pull of the fast one goes to the slow one: one snapshot serves it
// many times over, as often as the limit says.
TEST(Async, OneSnapshotServesAReaderInEachOfItsRounds) {
  SimOptions options = Async(2, 8);
  options.slowness = {6};
  Simulator simulator(options);
  simulator.StartAll();
  simulator.RunFor(absl::Seconds(5));
  EXPECT_EQ(simulator.Audit(), "");
  EXPECT_EQ(simulator.ledger().Count(Outcome::kBusy), 0u);
  EXPECT_GE(simulator.ledger().ArrivedShare(1, 2), 0.99);
  EXPECT_GE(Oldest(simulator.ledger()), 5u);
}

TEST(Async, AloneInTheViewItRunsOn) {
  SimOptions options = Async(1);
  options.rounds = 50;
  Simulator simulator(options);
  simulator.StartAll();
  ASSERT_TRUE(simulator.RunToEnd(absl::Seconds(10)));
  EXPECT_EQ(simulator.Audit(), "");
  EXPECT_EQ(simulator.trainer(0).skipped(), 0u);
}

}  // namespace
}  // namespace weightmesh::sim
