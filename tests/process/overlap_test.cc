// Overlap with one trainer three times slower, by counters: the others wait for nobody and still
// get most of their pulls; the slow one gets nearly all of its own, and is read.
#include <gtest/gtest.h>

#include "tests/process/mesh.h"
#include "tests/process/trainers.h"

namespace weightmesh {
namespace {

constexpr int kReplicas = 8;
constexpr int kSlow = 3;
constexpr uint64_t kSlowRounds = 40;
constexpr absl::Duration kLimit = absl::Seconds(60);

TEST(Overlap, OneTrainerIsThreeTimesSlower) {
  Mesh mesh(kReplicas);
  GossipOptions options;
  options.run_id = "one-slow";
  options.mode = attach::Mode::kOverlap;
  options.replicas = kReplicas;
  options.steps = 0;
  options.parameters = 20'000;
  options.step_ms.assign(kReplicas, 67);
  options.step_ms[kSlow] = 200;
  GossipRun run(&mesh, options);
  ASSERT_TRUE(
      Mesh::Await([&] { return run.Stats(kSlow).rounds_published() >= kSlowRounds; }, kLimit));

  uint64_t others_pulls = 0;
  uint64_t others_arrived = 0;
  for (int k = 0; k < kReplicas; ++k) {
    const v1::ReplicaStats stats = run.Stats(k);
    std::printf("replica %d: %lu rounds, %lu of %lu pulls arrived, %lu of %lu segments read\n", k,
                static_cast<unsigned long>(stats.rounds_published()),
                static_cast<unsigned long>(CountOf(stats, v1::OUTCOME_ARRIVED)),
                static_cast<unsigned long>(PullsOf(stats)),
                static_cast<unsigned long>(stats.segments_read()),
                static_cast<unsigned long>(stats.segments_published()));
    if (k == kSlow) {
      EXPECT_GE(CountOf(stats, v1::OUTCOME_ARRIVED), 0.95 * PullsOf(stats));
      EXPECT_GE(stats.segments_read(), 0.90 * stats.segments_published());
      continue;
    }
    others_pulls += PullsOf(stats);
    others_arrived += CountOf(stats, v1::OUTCOME_ARRIVED);
    EXPECT_EQ(stats.publishes_skipped(), 0u) << "replica " << k << " waited for a slot";
    EXPECT_GE(stats.rounds_published(), 2 * kSlowRounds) << "replica " << k << " was held up";
  }
  EXPECT_GE(others_arrived, 0.85 * others_pulls);
  run.Stop();
  for (int k = 0; k < kReplicas; ++k) EXPECT_EQ(run.Result(k, kLimit).exit_code, 0);
}

}  // namespace
}  // namespace weightmesh
