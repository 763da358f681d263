// A mesh that falls into halves trains on in both, and is one again when the network is: whatever
// the network says of it meanwhile.
#include <array>
#include <string>
#include <vector>

#include "tests/netns/network_test.h"

namespace weightmesh {
namespace {

enum class Cut {
  kLink,    // a switch in the middle loses its uplink: nobody is told
  kDrop,    // packets vanish
  kReject,  // connections are reset, and new ones refused
};

class Partition : public NetworkTest, public testing::WithParamInterface<Cut> {
 protected:
  static bool CutInHalves(Cut cut) {
    if (cut == Cut::kLink) return network().SetTrunk(false);
    const char* const target = cut == Cut::kDrop ? "DROP" : "REJECT --reject-with tcp-reset";
    bool done = true;
    for (int near = 0; near < kFarFrom; ++near) {
      for (int far = kFarFrom; far < kNodes; ++far) {
        done = done && Block(near, far, target) && Block(far, near, target);
      }
    }
    return done;
  }
};
INSTANTIATE_TEST_SUITE_P(
    Cuts, Partition, testing::Values(Cut::kLink, Cut::kDrop, Cut::kReject), [](const auto& info) {
      return std::string(std::array{"link", "drop", "reject"}[static_cast<int>(info.param)]);
    });

TEST_P(Partition, BothHalvesTrainOnAndAreOneMeshAgain) {
  if (!Filter(0, "-L INPUT") && GetParam() != Cut::kLink) GTEST_SKIP() << "no iptables here";
  Mesh mesh(kNodes, MeshOf(kNodes, "membership { detection_target_ms: 1500 }"));
  GossipOptions options = EndlessRun(kNodes);
  options.step_ms = {10, 10, 20, 20};  // the halves' rounds drift apart
  GossipRun run(&mesh, options);
  ASSERT_TRUE(AwaitRounds(run, 10));

  ASSERT_TRUE(CutInHalves(GetParam()));
  for (int k = 0; k < kNodes; ++k) {
    EXPECT_TRUE(AwaitView(mesh, run, k, kNodes / 2)) << "daemon " << k;
  }
  std::vector<uint64_t> arrived;
  for (int k = 0; k < kNodes; ++k) arrived.push_back(CountOf(run.Stats(k), v1::OUTCOME_ARRIVED));
  EXPECT_TRUE(AwaitRounds(run, 20));
  for (int k = 0; k < kNodes; ++k) {
    EXPECT_GT(CountOf(run.Stats(k), v1::OUTCOME_ARRIVED), arrived[k]) << "replica " << k;
  }
  const uint64_t of_far = ArrivedFrom(run, 0, kNodes - 1);
  const uint64_t of_near = ArrivedFrom(run, kNodes - 1, 0);

  Heal();
  for (int k = 0; k < kNodes; ++k) {
    EXPECT_TRUE(AwaitView(mesh, run, k, kNodes)) << "daemon " << k;
  }
  EXPECT_TRUE(AwaitCoupled(run));
  EXPECT_TRUE(AwaitRounds(run, 20));
  EXPECT_GT(ArrivedFrom(run, 0, kNodes - 1), of_far);
  EXPECT_GT(ArrivedFrom(run, kNodes - 1, 0), of_near);
  ExpectOneModel(&run);
}

using OwnLink = NetworkTest;

// The one that is cut off is told so by its own kernel, and cannot be asked how it fares.
TEST_F(OwnLink, WhoseIsDownTrainsOnAloneAndComesBack) {
  Mesh mesh(kNodes, MeshOf(kNodes, "membership { detection_target_ms: 1500 }"));
  GossipRun run(&mesh, EndlessRun(kNodes));
  ASSERT_TRUE(AwaitRounds(run, 10));
  const int last = kNodes - 1;
  const uint64_t published = run.Stats(last).rounds_published();

  ASSERT_TRUE(network().RunIn(last, "ip link set wire down"));
  for (int k = 0; k < last; ++k) {
    EXPECT_TRUE(AwaitView(mesh, run, k, kNodes - 1)) << "daemon " << k;
  }
  EXPECT_TRUE(AwaitRounds(run, 20, last));
  ASSERT_TRUE(network().RunIn(last, "ip link set wire up"));
  for (int k = 0; k < kNodes; ++k) {
    EXPECT_TRUE(AwaitView(mesh, run, k, kNodes)) << "daemon " << k;
  }
  EXPECT_GT(run.Stats(last).rounds_published(), published + 20);
  EXPECT_TRUE(AwaitCoupled(run));
  const uint64_t of_last = ArrivedFrom(run, 0, last);
  EXPECT_TRUE(AwaitRounds(run, 20));
  EXPECT_GT(ArrivedFrom(run, 0, last), of_last);
  ExpectOneModel(&run);
}

}  // namespace
}  // namespace weightmesh
