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
  SimOptions options = Overlap(8);
  options.step_jitter = 0.3;
  Simulator simulator(options);
  simulator.StartAll();
  ASSERT_TRUE(simulator.RunToEnd());
  EXPECT_EQ(simulator.Audit(), "");
  const Ledger& ledger = simulator.ledger();

         ledger.Count(Outcome::kLate), ledger.Count(Outcome::kGone),
         ledger.Count(Outcome::kSkipped));
         EXPECT_GE(ledger.ArrivedShare(0, 8), 0.97);
}

TEST(Overlap, OneTrainerThreeTimesSlower) {
  SimOptions options = Overlap(8);
  options.slowness = {3};
  options.step_jitter = 0.05;
  options.rounds = 600;
  Simulator simulator(options);
  simulator.StartAll();
  simulator.RunFor(absl::Seconds(5));
  const Ledger& ledger = simulator.ledger();
  for (int k = 0; k < 8; ++k)
    printf("%d arrived %f read %f steps %lu late %lu gone %lu skipped %lu skips %lu\n", k,
           ledger.ArrivedShare(k, k + 1), ledger.ReadShare(k), simulator.trainer(k).steps(),
           ledger.outcomes(k)[2], ledger.outcomes(k)[3], ledger.outcomes(k)[4],
           simulator.trainer(k).skipped());
  EXPECT_GE(ledger.ArrivedShare(1, 8), 0.85);
  EXPECT_GE(ledger.ArrivedShare(0, 1), 0.95);
  EXPECT_GE(ledger.ReadShare(0), 0.90);
}

}  // namespace
}  // namespace weightmesh::sim
