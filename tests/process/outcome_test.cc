// Exactly one outcome: whatever fails when, on every daemon at once, each pull that was due ends as
// one thing, for the trainer and in the statistics; and what is mixed is whole.
#include <gtest/gtest.h>

#include <string>

#include "daemon/core/run_config.h"
#include "tests/process/marks.h"
#include "tests/process/mesh.h"
#include "tests/process/trainers.h"

namespace weightmesh {
namespace {

constexpr int kReplicas = 4;
constexpr absl::Duration kLimit = absl::Seconds(100);

std::string Faults(int seed) {
  std::string text = "transport { faults { seed: " + std::to_string(seed) + " delay_ms_max: 2 ";
  for (const char* kind :
       {"fail_pull", "drop_request", "drop_answer", "drop_cancel", "fail_send", "duplicate_request",
        "duplicate_answer", "duplicate_send", "corrupt", "tear"}) {
    text += std::string(kind) + " { rate: 0.005 } ";
  }
  return text + "stop_pull { rate: 0.001 } stop_send { rate: 0.001 } } }";
}

class OneOutcome : public testing::TestWithParam<attach::Mode> {};

TEST_P(OneOutcome, ForEveryPullWhateverFails) {
  MeshOptions mesh_options;
  for (int k = 0; k < kReplicas; ++k) mesh_options.config_of.push_back(Faults(21 + k));
  Mesh mesh(kReplicas, mesh_options);
  GossipOptions options;
  options.run_id = std::string("outcomes-") + ModeName(GetParam());
  options.mode = GetParam();
  options.staleness_rounds_max = GetParam() == attach::Mode::kAsync ? 8 : 0;
  options.replicas = kReplicas;
  options.parameters = 18 * 2224;
  options.steps = 60;
  options.deadline_ms = 300;
  options.marked = true;
  options.step_ms.assign(kReplicas, GetParam() == attach::Mode::kLockstep ? 0 : 20);
  options.alpha = 1;
  GossipRun run(&mesh, options);
  TrainerResult all;
  for (int k = 0; k < kReplicas; ++k) {
    const TrainerResult result = run.Result(k, kLimit);
    ASSERT_EQ(result.exit_code, 0);
    EXPECT_EQ(result.alone, 0u);
    EXPECT_EQ(result.AllPulls(), result.due) << result.DescribePulls();
    EXPECT_EQ(result.due, (result.steps - result.skipped) * options.segments);
    for (size_t j = 0; j < all.pulls.size(); ++j) all.pulls[j] += result.pulls[j];
    const auto counted = [&] {
      const v1::ReplicaStats stats = run.Stats(k);
      return PullsOf(stats) == stats.rounds_published() * options.segments;
    };
    EXPECT_TRUE(Mesh::Await(counted, kLimit))
        << PullsOf(run.Stats(k)) << " outcomes of " << run.Stats(k).rounds_published()
        << " rounds of " << options.segments << " pulls";
    EXPECT_EQ(run.Stats(k).rounds_published(), result.steps - result.skipped);
  }
  std::printf("%s: %s\n", ModeName(GetParam()), all.DescribePulls().c_str());
  EXPECT_GT(all.Pulls(Outcome::kArrived), 0u);
  EXPECT_GT(all.Pulls(Outcome::kLate), 0u);
  EXPECT_GT(all.Pulls(Outcome::kCorrupt), 0u);
  ExpectWholeSnapshots(run, /*from_scheduled=*/false);
}

INSTANTIATE_TEST_SUITE_P(Modes, OneOutcome,
                         testing::Values(attach::Mode::kLockstep, attach::Mode::kOverlap,
                                         attach::Mode::kAsync),
                         [](const auto& info) { return std::string(ModeName(info.param)); });

}  // namespace
}  // namespace weightmesh
