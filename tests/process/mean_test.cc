// The mean is kept: every replica learns something known in every round, and the mean of all
// replicas is the sum of it, to rounding, in lockstep and overlap, over fp32 and bf16.
//
// WEIGHTMESH_MEAN_ROUNDS sets the rounds of each run (default 3,000 in lockstep, and 500 in
// overlap, where the test paces the trainers).
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <tuple>
#include <vector>

#include "daemon/core/run_config.h"
#include "tests/process/gossip_model.h"
#include "tests/process/mesh.h"
#include "tests/process/trainers.h"
#include "tests/testing/environment.h"

namespace weightmesh {
namespace {

constexpr int kReplicas = 4;
constexpr uint64_t kParameters = 256;
constexpr absl::Duration kLimit = absl::Seconds(60);

// How far rounding may take the mean of a parameter from the exact one.
//
// In real numbers a round of mixing leaves the sum over the replicas as it was, whatever the wire
// makes of the weights: each snapshot Q(x) is read by one replica and subtracted by its own. What
// remains is fp32: a replica rounds x + update, peer - own and x + α·(peer - own), each by at most
// half an ulp of its result and evenly (variance ulp²/12), and nothing takes an error out of the
// sum again. Weights stay below 4 here, so ulp <= 2^-22. The mean of n replicas after R rounds
// therefore errs with a standard deviation of
//
//   (1/n)·sqrt(3·R·n)·ulp/sqrt(12) = ulp·sqrt(R/(4·n))     6e-6 for n = 4, R = 10,000
//
// of which eight are allowed: for 1,024 means, less than one false alarm in 10^11 runs. A single
// pull that is lost moves a mean by α·|peer - own|/n, some 1e-3.
double RoundingMax(uint64_t rounds) {
  return 8 * 0x1p-22 * std::sqrt(static_cast<double>(rounds) / (4 * kReplicas));
}

// The mean of all replicas' weights after `steps` steps, in real numbers.
std::vector<double> ExpectedMean(const GossipOptions& options) {
  std::vector<double> mean(options.parameters);
  for (int replica = 0; replica < options.replicas; ++replica) {
    for (uint64_t k = 0; k < options.parameters; ++k) {
      for (uint64_t step = 1; step <= options.steps; ++step) {
        mean[k] += Update(options.update_seed, replica, step, k);
      }
    }
  }
  const std::vector<std::vector<float>> start = StartWeights(options);
  for (uint64_t k = 0; k < options.parameters; ++k) {
    for (const std::vector<float>& weights : start) mean[k] += weights[k];
    mean[k] /= options.replicas;
  }
  return mean;
}

class Mean : public testing::TestWithParam<std::tuple<attach::Mode, WireFormat>> {};

TEST_P(Mean, OfAllReplicasIsTheSumOfWhatWasLearned) {
  const auto [mode, wire] = GetParam();
  const bool overlap = mode == attach::Mode::kOverlap;
  Mesh mesh(kReplicas);
  GossipOptions options;
  options.run_id = "mean";
  options.mode = mode;
  options.wire = wire;
  options.paced = overlap;
  options.replicas = kReplicas;
  options.segments = 4;
  options.parameters = kParameters;
  options.own_start = true;
  options.steps = FromEnvironment("WEIGHTMESH_MEAN_ROUNDS", overlap ? 500 : 3000);
  GossipRun run(&mesh, options);
  for (uint64_t step = 1; overlap && step <= options.steps; ++step) {
    ASSERT_TRUE(run.StepTogether(step, kLimit)) << "step " << step;
  }
  if (overlap) run.Stop();

  std::vector<double> mean(kParameters);
  for (int k = 0; k < kReplicas; ++k) {
    const TrainerResult result = run.Result(k, kLimit + options.steps * absl::Milliseconds(50));
    ASSERT_EQ(result.exit_code, 0);
    ASSERT_EQ(result.Pulls(Outcome::kArrived), options.steps * options.segments)
        << result.DescribePulls();
    ASSERT_EQ(result.weights.size(), kParameters);
    for (uint64_t p = 0; p < kParameters; ++p) {
      ASSERT_LT(std::abs(result.weights[p]), 4) << "the bound on rounding does not hold there";
      mean[p] += static_cast<double>(result.weights[p]) / kReplicas;
    }
  }
  const std::vector<double> expected = ExpectedMean(options);
  double error_max = 0;
  for (uint64_t p = 0; p < kParameters; ++p) {
    error_max = std::max(error_max, std::abs(mean[p] - expected[p]));
  }
  std::printf("%s, %s, %lu rounds: the mean is off by at most %.2e, allowed %.2e\n", ModeName(mode),
              WireName(wire), static_cast<unsigned long>(options.steps), error_max,
              RoundingMax(options.steps));
  EXPECT_LE(error_max, RoundingMax(options.steps));
}

INSTANTIATE_TEST_SUITE_P(All, Mean,
                         testing::Combine(testing::Values(attach::Mode::kLockstep,
                                                          attach::Mode::kOverlap),
                                          testing::Values(WireFormat::kFp32, WireFormat::kBf16)),
                         [](const auto& info) {
                           return std::string(ModeName(std::get<0>(info.param))) + "_" +
                                  WireName(std::get<1>(info.param));
                         });

}  // namespace
}  // namespace weightmesh
