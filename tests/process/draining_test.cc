// Real daemons that are emptied: by weightmeshctl, and by SIGTERM.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <string>

#include "tests/process/mesh.h"
#include "tests/process/trainers.h"

namespace weightmesh {
namespace {

constexpr int kReplicas = 3;
constexpr int kLeaver = 1;
constexpr absl::Duration kLimit = absl::Seconds(60);

class Draining : public testing::TestWithParam<attach::Mode> {
 protected:
  GossipOptions EndlessRun() const {
    GossipOptions options;
    options.run_id = "emptied";
    options.replicas = kReplicas;
    options.steps = 0;
    options.parameters = 50'000;
    options.mode = GetParam();
    options.step_ms = {10};
    return options;
  }
  static bool AwaitRounds(const GossipRun& run, int k, uint64_t more) {
    const uint64_t from = run.Stats(k).round();
    return Mesh::Await([&] { return run.Stats(k).round() >= from + more; }, kLimit);
  }
  static void ExpectItEndedWell(const TrainerResult& result) {
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_EQ(result.AllPulls(), result.due) << result.DescribePulls();
  }
  // In lockstep, where each is waited for, every pull came so far. Asked while it trains: of those
  // that are told to stop the last may take a round in which the others have left.
  void ExpectNothingLost(const v1::ReplicaStats& stats) const {
    if (GetParam() != attach::Mode::kLockstep) return;
    for (const v1::OutcomeCount& pulls : stats.pulls()) {
      if (pulls.outcome() == v1::OUTCOME_ARRIVED) continue;
      EXPECT_EQ(pulls.count(), 0u) << v1::Outcome_Name(pulls.outcome());
    }
  }
  // The leaver has left in order, and the others train on and lose nothing.
  void ExpectTheOthersTrainOn(GossipRun* run) const {
    const TrainerResult left = run->Result(kLeaver, kLimit);
    EXPECT_TRUE(left.drained);
    ExpectItEndedWell(left);
    if (GetParam() == attach::Mode::kLockstep) {
      EXPECT_EQ(left.Pulls(Outcome::kArrived), left.due) << left.DescribePulls();
    }
    for (int k : {0, 2}) {
      EXPECT_TRUE(AwaitRounds(*run, k, 20));
      ExpectNothingLost(run->Stats(k));
    }
    run->Stop();
    for (int k : {0, 2}) {
      const TrainerResult result = run->Result(k, kLimit);
      EXPECT_FALSE(result.drained);
      ExpectItEndedWell(result);
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Modes, Draining,
                         testing::Values(attach::Mode::kLockstep, attach::Mode::kOverlap),
                         [](const auto& info) {
                           return info.param == attach::Mode::kLockstep ? "lockstep" : "overlap";
                         });

TEST_P(Draining, WeightmeshctlEmptiesADaemonAndWaits) {
  Mesh mesh(kReplicas);
  GossipRun run(&mesh, EndlessRun());
  for (int k = 0; k < kReplicas; ++k) ASSERT_TRUE(AwaitRounds(run, k, 10));
  Child ctl({WEIGHTMESHCTL, "--daemon=" + mesh.address(kLeaver), "drain"},
            mesh.Folder() + "/ctl.log");
  std::string said;
  for (char c = ctl.Hear(kLimit); c != 0; c = ctl.Hear(kLimit)) said += c;
  EXPECT_EQ(ctl.Wait(kLimit), 0);
  EXPECT_THAT(said, testing::HasSubstr("leaves: it takes no part from round "));
  EXPECT_THAT(said, testing::HasSubstr(" has left\ndrained: 1 replica; no trainer attaches to "));
  ExpectTheOthersTrainOn(&run);
  EXPECT_EQ(mesh.daemon(kLeaver).Wait(absl::ZeroDuration()), -1) << "the daemon itself stays";
  Child events({WEIGHTMESHCTL, "--daemon=" + mesh.address(kLeaver), "events"},
               mesh.Folder() + "/ctl.log");
  std::string told;
  for (char c = events.Hear(kLimit); c != 0; c = events.Hear(kLimit)) told += c;
  EXPECT_EQ(events.Wait(kLimit), 0);
  const size_t started = told.find("run emptied starts with 3 replicas");
  const size_t leaves = told.find("leaves: it takes no part from round ");
  EXPECT_NE(started, std::string::npos) << told;
  EXPECT_NE(leaves, std::string::npos) << told;
  EXPECT_LT(started, leaves) << "in order";
}

TEST_P(Draining, ADaemonThatEndsLetsItsReplicasLeaveFirst) {
  Mesh mesh(kReplicas);
  GossipRun run(&mesh, EndlessRun());
  for (int k = 0; k < kReplicas; ++k) ASSERT_TRUE(AwaitRounds(run, k, 10));
  mesh.daemon(kLeaver).Signal(SIGTERM);
  EXPECT_EQ(mesh.daemon(kLeaver).Wait(kLimit), 0);
  ExpectTheOthersTrainOn(&run);
  for (int k : {0, 2}) {
    EXPECT_THAT(mesh.DaemonLog(k), testing::HasSubstr(" has left the mesh")) << mesh.Logs();
    EXPECT_THAT(mesh.DaemonLog(k), testing::Not(testing::HasSubstr(" is dead")));
    EXPECT_THAT(mesh.DaemonLog(k), testing::Not(testing::HasSubstr(" is silent")));
  }
}

TEST_P(Draining, AnotherSignalEndsTheDaemonAtOnce) {
  MeshOptions options;
  options.config = "drain_deadline_ms: 3600000\n";
  Mesh mesh(kReplicas, options);
  GossipRun run(&mesh, EndlessRun());
  for (int k = 0; k < kReplicas; ++k) ASSERT_TRUE(AwaitRounds(run, k, 10));
  run.trainer(kLeaver).Signal(SIGSTOP);
  mesh.daemon(kLeaver).Signal(SIGTERM);
  const auto says = [&] {
    return mesh.DaemonLog(kLeaver).find("another signal ends it at once") != std::string::npos;
  };
  ASSERT_TRUE(Mesh::Await(says, kLimit));
  EXPECT_EQ(mesh.daemon(kLeaver).Wait(absl::Seconds(1)), -1) << "its trainer is waited for";
  mesh.daemon(kLeaver).Signal(SIGTERM);
  EXPECT_EQ(mesh.daemon(kLeaver).Wait(kLimit), 0);
  run.trainer(kLeaver).Signal(SIGCONT);
  run.Stop();
  for (int k = 0; k < kReplicas; ++k) EXPECT_EQ(run.Result(k, kLimit).exit_code, 0);
}

}  // namespace
}  // namespace weightmesh
