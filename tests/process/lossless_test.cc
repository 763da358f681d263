// Nothing is lost without a fault: in lockstep, with trainers that stall at random, every pull of
// every round arrives, in each schedule, on small and larger meshes, with one segment and many.
//
// WEIGHTMESH_LOSSLESS_ROUNDS (default 120) sets the rounds of each of the 18 runs.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "daemon/core/run_config.h"
#include "tests/process/mesh.h"
#include "tests/process/trainers.h"
#include "tests/testing/environment.h"

namespace weightmesh {
namespace {

constexpr int kDaemons = 8;
constexpr absl::Duration kRoundLimit = absl::Seconds(1);

class Lossless : public testing::TestWithParam<attach::ScheduleKind> {};

// All sizes at once on one mesh: the trainers sleep most of the time.
TEST_P(Lossless, EveryPullArrivesThoughTrainersStall) {
  Mesh mesh(kDaemons, {.config = "membership { sync_interval_ms: 100 }", .config_of = {}});
  const uint64_t rounds = FromEnvironment("WEIGHTMESH_LOSSLESS_ROUNDS", 120);
  std::vector<std::unique_ptr<GossipRun>> runs;
  for (const int replicas : {2, 3, 8}) {
    for (const uint64_t segments : {1, 18}) {
      GossipOptions options;
      options.run_id =
          "replicas-" + std::to_string(replicas) + "-segments-" + std::to_string(segments);
      options.schedule = GetParam();
      options.replicas = replicas;
      options.segments = segments;
      options.parameters = 20'000;
      options.steps = rounds;
      options.stall_ms = 50;
      options.deadline_ms = 5000;
      options.update_seed = 10 * segments + replicas;
      runs.push_back(std::make_unique<GossipRun>(&mesh, options));
    }
  }
  for (const auto& run : runs) {
    SCOPED_TRACE(run->options().run_id);
    for (int k = 0; k < run->options().replicas; ++k) {
      const TrainerResult result = run->Result(k, absl::Seconds(60) + rounds * kRoundLimit);
      EXPECT_EQ(result.exit_code, 0);
      EXPECT_EQ(result.skipped, 0u);
      EXPECT_EQ(result.due, rounds * run->options().segments);
      EXPECT_EQ(result.Pulls(Outcome::kArrived), result.due)
          << result.DescribePulls() << " of replica " << k;
    }
  }
  EXPECT_EQ(mesh.FramesRefused(), 0u);
  std::printf("%s: %zu runs of %lu rounds, every pull arrived\n", ScheduleName(GetParam()),
              runs.size(), static_cast<unsigned long>(rounds));
}

INSTANTIATE_TEST_SUITE_P(Schedules, Lossless,
                         testing::Values(attach::ScheduleKind::kHashCycle,
                                         attach::ScheduleKind::kDerangement,
                                         attach::ScheduleKind::kExponential),
                         [](const auto& info) { return std::string(ScheduleName(info.param)); });

}  // namespace
}  // namespace weightmesh
