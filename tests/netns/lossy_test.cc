// Networks that lose packets, here and there or one way only, are no death.
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "tests/netns/network_test.h"

namespace weightmesh {
namespace {

constexpr absl::Duration kDetectionTarget = absl::Seconds(3);  // the default

class Lossy : public NetworkTest {
 protected:
  void SetUp() override {
    NetworkTest::SetUp();
    if (!IsSkipped() && !Filter(0, "-L INPUT")) GTEST_SKIP() << "no iptables here";
  }

  static void ExpectNobodyWasBuried(const Mesh& mesh) {
    for (int k = 0; k < mesh.size(); ++k) {
      EXPECT_EQ(mesh.DaemonLog(k).find(" is dead"), std::string::npos) << "by daemon " << k;
      EXPECT_EQ(Reachable(mesh, k), mesh.size()) << "to daemon " << k;
    }
  }
};

// Pulls of replica k from replica `source` that came to nothing.
uint64_t FailedFrom(const GossipRun& run, int k, int source) {
  const v1::ReplicaStats stats = run.Stats(k);
  for (const v1::SourceStats& row : stats.sources()) {
    if (row.name() == ReplicaName(source)) return row.failed();
  }
  return 0;
}

// All that node 0 sends to node 1 is lost, answers too: neither hears the other, and both hear of
// each other by the rest.
TEST_F(Lossy, ALinkThatWorksOneWayIsNoDeath) {
  Mesh mesh(kNodes, MeshOf(kNodes));
  GossipRun run(&mesh, EndlessRun(kNodes));
  ASSERT_TRUE(AwaitRounds(run, 10));
  ASSERT_TRUE(Block(0, 1, "DROP"));
  const absl::Time until = absl::Now() + 2 * kDetectionTarget;
  while (absl::Now() < until) ASSERT_TRUE(AwaitRounds(run, 5));
  for (int k = 0; k < kNodes; ++k) {
    EXPECT_TRUE(AwaitView(mesh, run, k, kNodes)) << "daemon " << k;
  }
  const uint64_t arrived = ArrivedFrom(run, 1, 0);

  Heal();
  EXPECT_TRUE(AwaitOneMesh(mesh, {0, 1, 2, 3}));
  EXPECT_TRUE(Mesh::Await([&] { return ArrivedFrom(run, 1, 0) > arrived; }, kLimit));
  EXPECT_TRUE(AwaitCoupled(run));
  ExpectNobodyWasBuried(mesh);
  ExpectOneModel(&run);
}

// A firewall that lets only the control plane through: two nodes know that the other lives, and get
// no data from it. Nobody's transport may stand still for it, and it does not cost every round the
// time after which a pull counts as unanswered.
TEST_F(Lossy, ABlockedDataPortHoldsUpNoOtherLink) {
  MeshOptions options = MeshOf(3);
  Mesh mesh(3, options);
  const std::string control = std::to_string(options.sites[0].port);
  for (const auto& [from, to] : {std::pair(0, 2), std::pair(2, 0)}) {
    ASSERT_TRUE(Filter(to, "-A INPUT -p tcp -s " + StarNetwork::IpOf(from) +
                               " -m multiport ! --ports " + control + " -j DROP"));
  }
  GossipRun run(&mesh, EndlessRun(3));
  ASSERT_TRUE(AwaitRounds(run, 5));
  for (const auto& [reader, source] :
       {std::pair(0, 1), std::pair(1, 0), std::pair(1, 2), std::pair(2, 1)}) {
    const uint64_t arrived = ArrivedFrom(run, reader, source);
    EXPECT_TRUE(Mesh::Await([&] { return ArrivedFrom(run, reader, source) > arrived + 5; }, kLimit))
        << reader << " from " << source;
  }
  EXPECT_EQ(ArrivedFrom(run, 0, 2), 0u);
  // Half of the 18 segments would be asked for in each round otherwise.
  constexpr int kRounds = 50;
  const uint64_t failed[] = {FailedFrom(run, 0, 2), FailedFrom(run, 2, 0)};
  ASSERT_TRUE(AwaitRounds(run, kRounds));
  EXPECT_LT(FailedFrom(run, 0, 2) - failed[0], kRounds * 9 / 3u);
  EXPECT_LT(FailedFrom(run, 2, 0) - failed[1], kRounds * 9 / 3u);
  for (int k : {0, 2}) {
    EXPECT_NE(mesh.DaemonLog(k).find("answers no pull"), std::string::npos) << "daemon " << k;
  }
  Heal();
  EXPECT_TRUE(Mesh::Await([&] { return ArrivedFrom(run, 0, 2) > 0; }, kLimit));
  ExpectOneModel(&run);
}

// Every twentieth packet, drawn by iptables, so that no netem is needed.
TEST_F(Lossy, FivePercentOfLossIsNoDeath) {
  Mesh mesh(kNodes, MeshOf(kNodes));
  GossipRun run(&mesh, EndlessRun(kNodes));
  ASSERT_TRUE(AwaitRounds(run, 10));
  for (int k = 0; k < kNodes; ++k) {
    if (!Filter(k, "-A INPUT -i wire -m statistic --mode random --probability 0.05 -j DROP")) {
      GTEST_SKIP() << "the kernel has no statistic match for iptables";
    }
  }
  const absl::Time until = absl::Now() + 2 * kDetectionTarget;
  while (absl::Now() < until) ASSERT_TRUE(AwaitRounds(run, 5));
  ExpectNobodyWasBuried(mesh);
  Heal();
  run.Stop();
  for (int k = 0; k < kNodes; ++k) {
    const TrainerResult result = run.Result(k, kLimit);
    EXPECT_EQ(result.exit_code, 0) << "replica " << k;
    EXPECT_EQ(result.AllPulls(), result.due);
    EXPECT_GT(result.Pulls(Outcome::kArrived), result.due / 2) << result.DescribePulls();
  }
}

}  // namespace
}  // namespace weightmesh
