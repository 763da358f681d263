// Real kills: what dies is redirected around, its memory comes back, and nobody else waits long.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "tests/process/mesh.h"
#include "tests/process/trainers.h"

namespace weightmesh {
namespace {

constexpr int kReplicas = 4;
constexpr uint64_t kDeadlineMs = 2000;
constexpr absl::Duration kLimit = absl::Seconds(60);
// One deadline, and half a second for a busy machine to run the woken trainer.
constexpr double kWaitSecondsMax = kDeadlineMs / 1000.0 + 0.5;

// Arenas (memfds) that a process maps.
int ArenasOf(pid_t pid) {
  int arenas = 0;
  std::error_code ignored;
  for (const auto& entry :
       std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd", ignored)) {
    const std::string target = std::filesystem::read_symlink(entry, ignored).string();
    arenas += target.rfind("/memfd:", 0) == 0;
  }
  return arenas;
}

GossipOptions EndlessRun(const std::string& run_id) {
  GossipOptions options;
  options.run_id = run_id;
  options.replicas = kReplicas;
  options.steps = 0;
  options.parameters = 50'000;
  options.deadline_ms = kDeadlineMs;
  options.step_ms.assign(kReplicas, 5);
  return options;
}

// Pulls of replica k that ended without being mixed.
uint64_t LostPulls(const GossipRun& run, int k) {
  const v1::ReplicaStats stats = run.Stats(k);
  return PullsOf(stats) - CountOf(stats, v1::OUTCOME_ARRIVED);
}

bool AwaitRound(const GossipRun& run, int k, uint64_t round) {
  return Mesh::Await([&] { return run.Stats(k).round() >= round; }, kLimit);
}

TEST(Fault, ATrainerIsKilled) {
  Mesh mesh(kReplicas);
  GossipRun run(&mesh, EndlessRun("trainer-killed"));
  for (int k = 0; k < kReplicas; ++k) ASSERT_TRUE(AwaitRound(run, k, 10));
  ASSERT_EQ(ArenasOf(mesh.daemon(1).pid()), 1);

  run.trainer(1).Signal(SIGKILL);
  EXPECT_TRUE(Mesh::Await([&] { return ArenasOf(mesh.daemon(1).pid()) == 0; }, kLimit))
      << "the dead trainer's arena is still there";
  EXPECT_TRUE(Mesh::Await([&] { return run.Stats(1).state() == v1::REPLICA_STATE_DEAD; }, kLimit));
  const v1::ReplicaStats killed = run.Stats(1);
  EXPECT_EQ(PullsOf(killed), killed.rounds_published() * run.options().segments)
      << "a pull of the dead trainer has no outcome, or two";
  for (int k : {0, 2, 3}) {
    EXPECT_TRUE(AwaitRound(run, k, run.Stats(k).round() + 50)) << "replica " << k;
    EXPECT_GT(run.Stats(k).redirects(), 0u);
  }

  // Redirected around, the three others lose nothing: every further pull arrives.
  const uint64_t lost_before = LostPulls(run, 0);
  EXPECT_TRUE(AwaitRound(run, 0, run.Stats(0).round() + 50));
  EXPECT_EQ(LostPulls(run, 0), lost_before);
  run.Stop();
  for (int k : {0, 2, 3}) {
    const TrainerResult result = run.Result(k, kLimit);
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_EQ(result.alone, 0u);
    EXPECT_EQ(result.AllPulls(), result.due) << result.DescribePulls();
    EXPECT_LE(result.wait_seconds_max, kWaitSecondsMax) << "replica " << k;
  }
}

TEST(Fault, ADaemonIsKilled) {
  Mesh mesh(kReplicas);
  GossipRun run(&mesh, EndlessRun("daemon-killed"));
  for (int k = 0; k < kReplicas; ++k) ASSERT_TRUE(AwaitRound(run, k, 10));

  mesh.daemon(2).Signal(SIGKILL);
  for (int k : {0, 1, 3}) {
    EXPECT_TRUE(AwaitRound(run, k, run.Stats(k).round() + 50)) << "replica " << k;
    EXPECT_GT(run.Stats(k).redirects(), 0u);
    const v1::Topology topology = mesh.Topology(k, run.options().run_id);
    EXPECT_EQ(std::count_if(topology.nodes().begin(), topology.nodes().end(),
                            [](const v1::Node& node) { return !node.reachable(); }),
              1);
  }
  run.Stop();
  for (int k = 0; k < kReplicas; ++k) {
    const TrainerResult result = run.Result(k, kLimit);
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_EQ(result.AllPulls(), result.due) << result.DescribePulls();
    EXPECT_LE(result.wait_seconds_max, kWaitSecondsMax) << "replica " << k;
    if (k == 2) {
      EXPECT_GT(result.alone, 0u) << "the dead daemon's trainer was not told";
    } else {
      EXPECT_EQ(result.alone, 0u);
    }
  }
}

// A daemon that is asked to stop lets its trainer train on alone, and ends by itself.
TEST(Fault, ADaemonIsStopped) {
  Mesh mesh(2);
  GossipOptions options = EndlessRun("daemon-stopped");
  options.replicas = 2;
  GossipRun run(&mesh, options);
  ASSERT_TRUE(AwaitRound(run, 0, 5));
  mesh.daemon(1).Signal(SIGTERM);
  EXPECT_EQ(mesh.daemon(1).Wait(kLimit), 0);
  EXPECT_TRUE(AwaitRound(run, 0, run.Stats(0).round() + 20));
  run.Stop();
  EXPECT_EQ(run.Result(0, kLimit).exit_code, 0);
  const TrainerResult left_alone = run.Result(1, kLimit);
  EXPECT_EQ(left_alone.exit_code, 0);
  EXPECT_GT(left_alone.alone, 0u);
}

}  // namespace
}  // namespace weightmesh
