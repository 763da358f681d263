// weightmesh_consensus with real processes: replicas that end their training at different times
// exchange until they agree, and stop together, also while some come and go.
#include <gtest/gtest.h>
#include <signal.h>

#include <set>
#include <string>
#include <vector>

#include "absl/time/clock.h"
#include "tests/process/mesh.h"
#include "tests/process/trainers.h"

namespace weightmesh {
namespace {

constexpr int kReplicas = 5;
constexpr double kEpsilon = 1e-5;
constexpr absl::Duration kLimit = absl::Seconds(90);

class Consensus : public testing::TestWithParam<attach::Mode> {
 protected:
  GossipOptions EndlessRun() const {
    GossipOptions options;
    options.run_id = "agree";
    options.replicas = kReplicas;
    options.steps = 0;
    options.parameters = 20'000;
    options.mode = GetParam();
    options.staleness_rounds_max = GetParam() == attach::Mode::kAsync ? 8 : 0;
    options.own_start = true;
    options.step_ms = {20};
    options.consensus = kEpsilon;
    return options;
  }
  static bool AwaitRounds(const GossipRun& run, int k, uint64_t more) {
    const uint64_t from = run.Stats(k).round();
    return Mesh::Await([&] { return run.Stats(k).round() >= from + more; }, kLimit);
  }
  // Of the replicas' weights: (1/n)·Σ‖xᵢ − x̄‖².
  static double Distance(const std::vector<std::vector<float>>& weights) {
    double sum = 0;
    for (size_t k = 0; k < weights[0].size(); ++k) {
      double mean = 0;
      for (const auto& one : weights) mean += one[k] / static_cast<double>(weights.size());
      for (const auto& one : weights) sum += (one[k] - mean) * (one[k] - mean);
    }
    return sum / static_cast<double>(weights.size());
  }
  // All have agreed, and hold one model.
  void ExpectAgreement(GossipRun* run, const std::vector<int>& replicas, bool undisturbed) const {
    std::vector<std::vector<float>> weights;
    std::set<uint64_t> last_rounds;
    for (int k : replicas) {
      const TrainerResult result = run->Result(k, kLimit);
      ASSERT_EQ(result.exit_code, 0) << "replica " << k;
      EXPECT_TRUE(result.agreed) << "replica " << k << " after " << result.agreement_rounds
                                 << " rounds: " << result.consensus_distance;
      EXPECT_LE(result.consensus_distance, kEpsilon);
      EXPECT_GT(result.agreement_rounds, 0u);
      const bool lockstep = GetParam() == attach::Mode::kLockstep;
      if (undisturbed && lockstep) {
        EXPECT_EQ(result.late, 0u) << "replica " << k;
      }
      last_rounds.insert(result.last_round);
      ASSERT_FALSE(result.weights.empty());
      weights.push_back(result.weights);
    }
    if (GetParam() == attach::Mode::kLockstep) {
      EXPECT_EQ(last_rounds.size(), 1u);
    }
    EXPECT_LE(Distance(weights), kEpsilon);
  }

  Mesh mesh_{kReplicas};
};
INSTANTIATE_TEST_SUITE_P(Modes, Consensus,
                         testing::Values(attach::Mode::kLockstep, attach::Mode::kOverlap,
                                         attach::Mode::kAsync),
                         [](const auto& info) {
                           if (info.param == attach::Mode::kLockstep) return "lockstep";
                           return info.param == attach::Mode::kOverlap ? "overlap" : "async";
                         });

TEST_P(Consensus, AllStopTogetherWhoeverEndsItsTrainingWhen) {
  GossipRun run(&mesh_, EndlessRun());
  for (int k = 0; k < kReplicas; ++k) {
    ASSERT_TRUE(AwaitRounds(run, k, 5)) << mesh_.Logs();
    run.trainer(k).HangUp();  // the others train on for a while
  }
  ExpectAgreement(&run, {0, 1, 2, 3, 4}, /*undisturbed=*/true);
}

TEST_P(Consensus, OthersMayComeAndGoMeanwhile) {
  GossipRun run(&mesh_, EndlessRun());
  for (int k = 0; k < kReplicas; ++k) ASSERT_TRUE(AwaitRounds(run, k, 5)) << mesh_.Logs();
  for (int k = 0; k < 3; ++k) run.trainer(k).HangUp();
  run.trainer(4).Signal(SIGKILL);
  run.trainer(4).Wait(kLimit);
  run.Join(5);
  ASSERT_TRUE(AwaitRounds(run, 5, 5)) << mesh_.Logs();
  run.trainer(5).HangUp();
  run.trainer(3).HangUp();
  ExpectAgreement(&run, {0, 1, 2, 3, 5}, /*undisturbed=*/false);
  EXPECT_EQ(run.Result(5, kLimit).blob.substr(0, 5), "step-") << "who joins is given a blob";
}

TEST_P(Consensus, WhoWaitsInVainGivesUpInTime) {
  GossipOptions options = EndlessRun();
  options.consensus_timeout_ms = 1000;
  GossipRun run(&mesh_, options);
  for (int k = 0; k < kReplicas; ++k) ASSERT_TRUE(AwaitRounds(run, k, 5)) << mesh_.Logs();
  run.trainer(0).HangUp();
  const TrainerResult result = run.Result(0, kLimit);
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_FALSE(result.agreed);
  EXPECT_GT(result.agreement_rounds, 0u);
  for (int k = 1; k < kReplicas; ++k) EXPECT_TRUE(AwaitRounds(run, k, 5)) << "replica " << k;
  run.Stop();
  for (int k = 1; k < kReplicas; ++k) EXPECT_EQ(run.Result(k, kLimit).exit_code, 0);
}

}  // namespace
}  // namespace weightmesh
