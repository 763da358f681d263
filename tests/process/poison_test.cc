// One poisoned replica stays alone: what is not finite is refused by every reader, whatever shares
// the model with it arrives, and all others stay finite to the end.
#include <gtest/gtest.h>

#include <cmath>

#include "daemon/core/run_config.h"
#include "tests/process/mesh.h"
#include "tests/process/trainers.h"

namespace weightmesh {
namespace {

constexpr int kReplicas = 4;
constexpr int kPoisoned = 2;
constexpr uint64_t kPoisonedSegments = 2;  // the first holds NaN, the last infinity
constexpr absl::Duration kLimit = absl::Seconds(60);

class Poison : public testing::TestWithParam<WireFormat> {};

TEST_P(Poison, OfOneReplicaIsRefusedByItsReaders) {
  Mesh mesh(kReplicas);
  GossipOptions options;
  options.run_id = "poison";
  options.wire = GetParam();
  options.replicas = kReplicas;
  options.parameters = 40'000;
  options.steps = 200;
  options.poisoned = kPoisoned;
  options.poison_step = 21;
  GossipRun run(&mesh, options);
  const uint64_t poisoned_rounds = options.steps - options.poison_step + 1;
  uint64_t refused = 0;
  for (int k = 0; k < kReplicas; ++k) {
    const TrainerResult result = run.Result(k, kLimit);
    ASSERT_EQ(result.exit_code, 0);
    EXPECT_EQ(result.Pulls(Outcome::kArrived) + result.Pulls(Outcome::kRefused),
              options.steps * options.segments)
        << result.DescribePulls() << " of replica " << k;
    uint64_t not_finite = 0;
    for (const float weight : result.weights) not_finite += !std::isfinite(weight);
    EXPECT_EQ(not_finite, k == kPoisoned ? 2u : 0u) << "replica " << k;
    refused += result.Pulls(Outcome::kRefused);
    EXPECT_EQ(result.Pulls(Outcome::kRefused) == 0, k == kPoisoned) << "replica " << k;
    EXPECT_EQ(CountOf(run.Stats(k), v1::OUTCOME_REFUSED), result.Pulls(Outcome::kRefused));
  }
  // Each of its snapshots is read once, segment by segment.
  EXPECT_EQ(refused, poisoned_rounds * kPoisonedSegments);
}

INSTANTIATE_TEST_SUITE_P(Wires, Poison, testing::Values(WireFormat::kFp32, WireFormat::kBf16),
                         [](const auto& info) { return std::string(WireName(info.param)); });

}  // namespace
}  // namespace weightmesh
