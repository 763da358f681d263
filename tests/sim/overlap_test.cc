// Overlap in virtual time: pulls hide behind computing, and a slow trainer holds nobody back.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/sim/simulator.h"

namespace weightmesh::sim {
namespace {

SimOptions Overlap(uint32_t nodes) {
  SimOptions options;
  options.nodes = nodes;
  options.run.mode = Mode::kOverlap;
  options.run.seed = 7;
  options.run.replicas_min = 0;
  options.rounds = 400;
  return options;
}

TEST(Overlap, WithJitterOf30PercentAlmostAllArrivesAndTheRestIsLate) {
  double arrived = 0;
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    SimOptions options = Overlap(8);
    options.seed = seed;
    options.step_jitter = 0.3;
    Simulator simulator(options);
    simulator.StartAll();
    ASSERT_TRUE(
        simulator.RunUntil([&] { return simulator.trainer(0).steps() >= 380; }, absl::Seconds(30)));
    const Ledger& ledger = simulator.ledger();
    arrived += ledger.ArrivedShare(0, 8) / 5;
    EXPECT_EQ(ledger.Count(Outcome::kGone), 0u);
    EXPECT_EQ(ledger.Count(Outcome::kDead), 0u);
    ASSERT_TRUE(simulator.RunToEnd());
    EXPECT_EQ(simulator.Audit(), "");
  }
  EXPECT_GE(arrived, 0.97);
}

TEST(Overlap, WithoutJitterNothingIsLost) {
  SimOptions options = Overlap(8);
  options.rounds = 200;
  Simulator simulator(options);
  simulator.StartAll();
  ASSERT_TRUE(
      simulator.RunUntil([&] { return simulator.trainer(0).steps() >= 190; }, absl::Seconds(30)));
  EXPECT_GE(simulator.ledger().ArrivedShare(0, 8), 0.995);
  ASSERT_TRUE(simulator.RunToEnd());
  EXPECT_EQ(simulator.Audit(), "");
}

TEST(Overlap, AloneInTheViewItRunsOn) {
  SimOptions options = Overlap(1);
  options.rounds = 50;
  Simulator simulator(options);
  simulator.StartAll();
  ASSERT_TRUE(simulator.RunToEnd(absl::Seconds(10)));
  EXPECT_EQ(simulator.Audit(), "");
  EXPECT_EQ(simulator.trainer(0).skipped(), 0u);
}

TEST(Overlap, OneTrainerThreeTimesSlower) {
  SimOptions options = Overlap(8);
  options.slowness = {3};
  options.step_jitter = 0.05;
  options.rounds = 600;
  Simulator simulator(options);
  simulator.StartAll();
  simulator.RunFor(absl::Seconds(5));
  EXPECT_EQ(simulator.Audit(), "");
  const Ledger& ledger = simulator.ledger();
  EXPECT_GE(ledger.ArrivedShare(1, 8), 0.85);
  EXPECT_GE(ledger.ArrivedShare(0, 1), 0.95);
  EXPECT_GE(ledger.ReadShare(0), 0.90);
  // The others keep their own pace.
  EXPECT_GT(simulator.trainer(1).steps(), 450u);
}

}  // namespace
}  // namespace weightmesh::sim
