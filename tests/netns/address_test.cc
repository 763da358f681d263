// A node whose address changes is the same node at another address.
#include "absl/strings/str_cat.h"
#include "tests/netns/network_test.h"

namespace weightmesh {
namespace {

constexpr int kReplicas = 3;
constexpr int kMoved = 1;
constexpr char kNewIp[] = "10.78.0.101";

class Address : public NetworkTest {
 protected:
  void TearDown() override {
    Move(kNewIp, StarNetwork::IpOf(kMoved));
    NetworkTest::TearDown();
  }
  static bool Move(const std::string& from, const std::string& to) {
    return network().RunIn(kMoved, absl::StrCat("ip addr del ", from, "/24 dev wire")) &&
           network().RunIn(kMoved, absl::StrCat("ip addr add ", to, "/24 dev wire"));
  }
};

// Its trainer trains on meanwhile, and joins again by itself.
TEST_F(Address, ADaemonComesBackAtAnotherOneAndItsTrainerWithIt) {
  MeshOptions options = MeshOf(kReplicas);
  DaemonSite site = options.sites[kMoved];
  Mesh mesh(kReplicas, options);
  GossipRun run(&mesh, EndlessRun(kReplicas));
  ASSERT_TRUE(AwaitRounds(run, 10));

  mesh.Kill(kMoved);
  ASSERT_TRUE(Move(site.ip, kNewIp));
  site.ip = kNewIp;
  EXPECT_TRUE(AwaitRounds(run, 20, kMoved)) << "the others are held up";
  mesh.RestartAt(kMoved, site);
  for (int k = 0; k < kReplicas; ++k) {
    EXPECT_TRUE(AwaitView(mesh, run, k, kReplicas)) << "daemon " << k;
  }
  EXPECT_TRUE(AwaitOneMesh(mesh, {0, 1, 2}));
  EXPECT_TRUE(Mesh::Await([&] { return ArrivedFrom(run, kMoved, 0) > 0; }, kLimit));
  const uint64_t arrived = ArrivedFrom(run, 0, kMoved);
  EXPECT_TRUE(Mesh::Await([&] { return ArrivedFrom(run, 0, kMoved) > arrived; }, kLimit));
  EXPECT_TRUE(AwaitCoupled(run));
  const v1::Topology topology = mesh.Topology(0, "");
  for (const v1::Node& node : topology.nodes()) {
    EXPECT_NE(node.info().control_address(),
              absl::StrCat(StarNetwork::IpOf(kMoved), ":", site.port));
  }
  ExpectOneModel(&run);
}

}  // namespace
}  // namespace weightmesh
