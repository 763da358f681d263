// The corner cases that users meet first: one replica, two, several on one daemon, several runs,
// one that comes too late.
#include <gtest/gtest.h>

#include <string>

#include "tests/process/mesh.h"
#include "tests/process/trainers.h"
#include "weightmesh/weightmesh.h"

namespace weightmesh {
namespace {

constexpr absl::Duration kLimit = absl::Seconds(60);

GossipOptions SmallRun(const std::string& run_id, int replicas) {
  GossipOptions options;
  options.run_id = run_id;
  options.replicas = replicas;
  options.parameters = 40'000;
  return options;
}

void ExpectReference(GossipRun* run) {
  const std::vector<std::vector<float>> expected = ReferenceWeights(run->options());
  for (int k = 0; k < run->options().replicas; ++k) {
    const TrainerResult result = run->Result(k, kLimit);
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_EQ(result.weights, expected[k]) << "replica " << k;
  }
}

TEST(SmallMesh, OneReplicaTrainsByItself) {
  Mesh mesh(1);
  GossipOptions options = SmallRun("one", 1);
  options.segments = 1;
  GossipRun run(&mesh, options);
  const TrainerResult result = run.Result(0, kLimit);
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.alone, 0u);
  EXPECT_EQ(run.Stats(0).rounds_published(), options.steps);
  EXPECT_EQ(PullsOf(run.Stats(0)), 0u);
}

TEST(SmallMesh, TwoReplicasOnTwoDaemons) {
  Mesh mesh(2);
  GossipRun run(&mesh, SmallRun("two", 2));
  ExpectReference(&run);
}

// Five replicas on two daemons: some pulls are copies within a daemon, some cross the network; two
// such runs at once, of different schedules.
TEST(SmallMesh, SeveralReplicasAndRunsOnADaemon) {
  Mesh mesh(2);
  GossipOptions other = SmallRun("second", 5);
  other.schedule = attach::ScheduleKind::kDerangement;
  other.wire = WireFormat::kBf16;
  GossipRun first_run(&mesh, SmallRun("first", 5));
  GossipRun second_run(&mesh, other);
  ExpectReference(&first_run);
  ExpectReference(&second_run);
  EXPECT_EQ(mesh.Stats(0, "").replicas_size(), 6);
}

TEST(SmallMesh, AfterTheStartAnAttachIsRefusedWithTheReason) {
  Mesh mesh(1);
  GossipOptions options = SmallRun("founded", 2);
  options.steps = 0;
  GossipRun run(&mesh, options);
  ASSERT_TRUE(Mesh::Await([&] { return run.Stats(0).round() >= 1; }, kLimit));
  Child late({GOSSIP_TRAINER, "--socket=" + mesh.socket(0), "--run-id=founded", "--name=late",
              "--replicas=2", "--segments=18", "--schedule=1", "--wire=1", "--mode=1", "--seed=7",
              "--parameters=40000", "--result=" + mesh.Folder() + "/late"},
             mesh.Folder() + "/late.log");
  EXPECT_EQ(late.Wait(kLimit), 10 + WEIGHTMESH_REFUSED);
  EXPECT_NE(mesh.Logs().find("run founded has started"), std::string::npos);
  run.Stop();
  for (int k = 0; k < 2; ++k) EXPECT_EQ(run.Result(k, kLimit).exit_code, 0);
}

TEST(SmallMesh, AModelThatDiffersIsRefusedNamingTheTensor) {
  Mesh mesh(1);
  GossipOptions options = SmallRun("other-model", 1);
  options.steps = 0;
  GossipRun run(&mesh, options);
  ASSERT_TRUE(Mesh::Await([&] { return run.Stats(0).round() >= 1; }, kLimit));
  Child other({GOSSIP_TRAINER, "--socket=" + mesh.socket(0), "--run-id=other-model", "--name=other",
               "--replicas=1", "--segments=18", "--schedule=1", "--wire=1", "--mode=1", "--seed=7",
               "--parameters=40001", "--result=" + mesh.Folder() + "/other"},
              mesh.Folder() + "/other.log");
  EXPECT_EQ(other.Wait(kLimit), 10 + WEIGHTMESH_REFUSED);
  EXPECT_NE(mesh.Logs().find("'tensor3' [38988] here"), std::string::npos) << mesh.Logs();
  run.Stop();
  EXPECT_EQ(run.Result(0, kLimit).exit_code, 0);
}

}  // namespace
}  // namespace weightmesh
