// Async with one trainer three times slower, by counters: every pull of the others has one outcome,
// nearly all of them arrive, those from the slow one a few rounds old, and nobody is held up.
#include <gtest/gtest.h>

#include "tests/process/mesh.h"
#include "tests/process/trainers.h"

namespace weightmesh {
namespace {

constexpr int kReplicas = 4;
constexpr int kSlow = 2;
constexpr uint64_t kSlowRounds = 40;
constexpr uint64_t kStalenessRoundsMax = 8;
constexpr absl::Duration kLimit = absl::Seconds(60);

TEST(Async, OneTrainerIsThreeTimesSlower) {
  Mesh mesh(kReplicas);
  GossipOptions options;
  options.run_id = "one-slow";
  options.mode = attach::Mode::kAsync;
  options.staleness_rounds_max = kStalenessRoundsMax;
  options.replicas = kReplicas;
  options.steps = 0;
  options.parameters = 20'000;
  options.step_ms.assign(kReplicas, 67);
  options.step_ms[kSlow] = 200;
  GossipRun run(&mesh, options);
  ASSERT_TRUE(
      Mesh::Await([&] { return run.Stats(kSlow).rounds_published() >= kSlowRounds; }, kLimit));

  uint64_t pulls = 0;
  uint64_t arrived = 0;
  for (int k = 0; k < kReplicas; ++k) {
    const v1::ReplicaStats stats = run.Stats(k);
    std::printf("replica %d: %lu rounds, %lu of %lu pulls arrived, %lu rounds old all together\n",
                k, static_cast<unsigned long>(stats.rounds_published()),
                static_cast<unsigned long>(CountOf(stats, v1::OUTCOME_ARRIVED)),
                static_cast<unsigned long>(PullsOf(stats)),
                static_cast<unsigned long>(stats.staleness().sum()));
    pulls += PullsOf(stats);
    arrived += CountOf(stats, v1::OUTCOME_ARRIVED);
    EXPECT_EQ(CountOf(stats, v1::OUTCOME_GONE), 0u) << "replica " << k;
    EXPECT_EQ(CountOf(stats, v1::OUTCOME_SKIPPED), 0u) << "replica " << k;
    EXPECT_EQ(CountOf(stats, v1::OUTCOME_BUSY), 0u) << "replica " << k;
    EXPECT_EQ(stats.redirects(), 0u) << "replica " << k;
    EXPECT_EQ(stats.staleness().count(), CountOf(stats, v1::OUTCOME_ARRIVED)) << "replica " << k;
    if (k == kSlow) continue;
    EXPECT_GT(stats.staleness().sum(), 0u) << "replica " << k << " took nothing that was older";
    EXPECT_EQ(stats.publishes_skipped(), 0u) << "replica " << k << " waited for a slot";
    EXPECT_GE(stats.rounds_published(), 2 * kSlowRounds) << "replica " << k << " was held up";
  }
  EXPECT_GE(arrived, 0.95 * pulls);
  run.Stop();
  for (int k = 0; k < kReplicas; ++k) {
    const TrainerResult result = run.Result(k, kLimit);
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_EQ(result.AllPulls(), result.due) << result.DescribePulls();
  }
}

}  // namespace
}  // namespace weightmesh
