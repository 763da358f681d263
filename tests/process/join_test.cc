// Who comes late, or comes back: a trainer that joins takes over the others' weights and takes part
// from then on, and nobody loses a pull by it.
#include <gtest/gtest.h>
#include <signal.h>

#include <string>

#include "tests/process/mesh.h"
#include "tests/process/trainers.h"

namespace weightmesh {
namespace {

constexpr int kReplicas = 3;
constexpr absl::Duration kLimit = absl::Seconds(60);

class Join : public testing::TestWithParam<attach::Mode> {
 protected:
  // Nobody learns anything: all weights stay what they are, and a joiner's must become the same.
  GossipOptions EndlessRun(const std::string& run_id) const {
    GossipOptions options;
    options.run_id = run_id;
    options.replicas = kReplicas;
    options.steps = 0;
    options.parameters = 50'000;
    options.mode = GetParam();
    options.learning = 0;
    options.step_ms = {10};
    return options;
  }

  static bool AwaitRounds(const GossipRun& run, int k, uint64_t more) {
    const uint64_t from = run.Stats(k).round();
    return Mesh::Await([&] { return run.Stats(k).round() >= from + more; }, kLimit);
  }
  static bool AwaitState(const GossipRun& run, int k, v1::ReplicaState state) {
    return Mesh::Await([&] { return run.Stats(k).state() == state; }, kLimit);
  }

  // All end in order, with the weights that the run began with.
  static void ExpectOneModel(GossipRun* run, int replicas) {
    const std::vector<float> start = StartWeights(run->options())[0];
    run->Stop();
    for (int k = 0; k < replicas; ++k) {
      const TrainerResult result = run->Result(k, kLimit);
      EXPECT_EQ(result.exit_code, 0) << "replica " << k;
      EXPECT_EQ(result.alone, 0u);
      EXPECT_EQ(result.AllPulls(), result.due) << result.DescribePulls();
      EXPECT_GT(result.Pulls(Outcome::kArrived), 0u) << "replica " << k;
      EXPECT_TRUE(result.weights == start) << "replica " << k << " ends with other weights";
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Modes, Join,
                         testing::Values(attach::Mode::kLockstep, attach::Mode::kOverlap),
                         [](const auto& info) {
                           return info.param == attach::Mode::kLockstep ? "lockstep" : "overlap";
                         });

TEST_P(Join, AKilledTrainerComesBackUnderItsName) {
  Mesh mesh(kReplicas);
  GossipRun run(&mesh, EndlessRun("comes-back"));
  for (int k = 0; k < kReplicas; ++k) ASSERT_TRUE(AwaitRounds(run, k, 10));
  run.trainer(1).Signal(SIGKILL);
  ASSERT_TRUE(AwaitState(run, 1, v1::REPLICA_STATE_DEAD));
  ASSERT_TRUE(Mesh::Await([&] { return mesh.ViewSize(0, "comes-back") == kReplicas - 1; }, kLimit));
  ASSERT_TRUE(AwaitRounds(run, 0, 20));

  run.Join(1);
  ASSERT_TRUE(AwaitState(run, 1, v1::REPLICA_STATE_ACTIVE)) << mesh.Logs();
  for (int k = 0; k < kReplicas; ++k) {
    EXPECT_TRUE(Mesh::Await([&] { return mesh.ViewSize(k, "comes-back") == kReplicas; }, kLimit));
    EXPECT_TRUE(AwaitRounds(run, k, 20)) << "replica " << k;
  }
  ExpectOneModel(&run, kReplicas);
}

TEST_P(Join, OneMoreTrainerJoins) {
  Mesh mesh(kReplicas + 1);
  GossipRun run(&mesh, EndlessRun("one-more"));
  for (int k = 0; k < kReplicas; ++k) ASSERT_TRUE(AwaitRounds(run, k, 10));
  run.Join(kReplicas);
  ASSERT_TRUE(Mesh::Await([&] { return mesh.ViewSize(0, "one-more") == kReplicas + 1; }, kLimit))
      << mesh.Logs();
  for (int k = 0; k <= kReplicas; ++k) EXPECT_TRUE(AwaitRounds(run, k, 20)) << "replica " << k;
  ExpectOneModel(&run, kReplicas + 1);
}

TEST_P(Join, TheTrainerOfARestartedDaemonComesBack) {
  Mesh mesh(kReplicas);
  GossipRun run(&mesh, EndlessRun("restarted"));
  for (int k = 0; k < kReplicas; ++k) ASSERT_TRUE(AwaitRounds(run, k, 10));
  mesh.Kill(1);
  run.trainer(1).HangUp();
  EXPECT_EQ(run.Result(1, kLimit).exit_code, 0) << "alone, it trains on and ends in order";
  mesh.Restart(1);
  run.Join(1);  // the daemon may not have heard of the run yet
  ASSERT_TRUE(AwaitState(run, 1, v1::REPLICA_STATE_ACTIVE)) << mesh.Logs();
  for (int k = 0; k < kReplicas; ++k) EXPECT_TRUE(AwaitRounds(run, k, 20)) << "replica " << k;
  ExpectOneModel(&run, kReplicas);
}

}  // namespace
}  // namespace weightmesh
