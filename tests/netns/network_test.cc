// One network for each program; what is asked of it.
#include "tests/netns/network_test.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace weightmesh {
namespace {

constexpr int kPort = 7473;
constexpr uint64_t kCoupledWithin = 2;

}  // namespace

std::unique_ptr<StarNetwork> NetworkTest::network_;

void NetworkTest::SetUp() {
  if (network_ == nullptr) {
    network_ = std::make_unique<StarNetwork>(std::vector<int>(kNodes, 0), kFarFrom);
    // Before anything of gRPC starts a thread.
    if (network_->made()) EnterNetwork(network_->hub());
  }
  if (!network_->made()) {
    GTEST_SKIP() << "network namespaces cannot be made: that takes root and iproute2";
  }
}

MeshOptions NetworkTest::MeshOf(int daemons, const std::string& config) {
  MeshOptions options;
  options.config = "insecure_plaintext: true\n" + config;
  for (int k = 0; k < daemons; ++k) {
    options.sites.push_back({network().NamespaceOf(k), StarNetwork::IpOf(k), kPort});
  }
  return options;
}

GossipOptions NetworkTest::EndlessRun(int replicas) {
  GossipOptions options;
  options.run_id = "run";
  options.replicas = replicas;
  options.steps = 0;
  options.parameters = 20'000;
  options.learning = 0;
  options.deadline_ms = 1000;
  options.step_ms = {20};
  return options;
}

bool NetworkTest::Filter(int k, const std::string& rule) {
  return network().RunIn(k, "iptables -w " + rule);
}

bool NetworkTest::Block(int from, int to, const std::string& target) {
  return Filter(to, absl::StrCat("-A INPUT -p tcp -s ", StarNetwork::IpOf(from), " -j ", target));
}

void NetworkTest::Heal() {
  if (network_ == nullptr || !network_->made()) return;
  network().SetTrunk(true);
  for (int k = 0; k < kNodes; ++k) Filter(k, "-F INPUT");
}

int NetworkTest::Reachable(const Mesh& mesh, int k) {
  const v1::Topology topology = mesh.Topology(k, "");
  int count = 0;
  for (const v1::Node& node : topology.nodes()) count += node.reachable();
  return count;
}

bool NetworkTest::AwaitOneMesh(const Mesh& mesh, const std::vector<int>& daemons) {
  return std::all_of(daemons.begin(), daemons.end(), [&](int k) {
    return Mesh::Await([&] { return Reachable(mesh, k) == static_cast<int>(daemons.size()); },
                       kLimit);
  });
}

bool NetworkTest::AwaitView(const Mesh& mesh, const GossipRun& run, int k, int size) {
  return Mesh::Await([&] { return mesh.ViewSize(k, run.options().run_id) == size; }, kLimit);
}

bool NetworkTest::AwaitRounds(const GossipRun& run, uint64_t more, int without) {
  std::vector<uint64_t> wanted;
  for (int k = 0; k < run.options().replicas; ++k) {
    wanted.push_back(k == without ? 0 : run.Stats(k).round() + more);
  }
  const auto have_come = [&] {
    for (int k = 0; k < run.options().replicas; ++k) {
      if (k != without && run.Stats(k).round() < wanted[k]) return false;
    }
    return true;
  };
  return Mesh::Await(have_come, kLimit);
}

bool NetworkTest::AwaitCoupled(const GossipRun& run) {
  return Mesh::Await(
      [&] {
        std::vector<uint64_t> rounds;
        for (int k = 0; k < run.options().replicas; ++k) rounds.push_back(run.Stats(k).round());
        const auto [least, most] = std::minmax_element(rounds.begin(), rounds.end());
        return *least > 0 && *most - *least <= kCoupledWithin;
      },
      kLimit);
}

uint64_t NetworkTest::ArrivedFrom(const GossipRun& run, int k, int source) {
  const v1::ReplicaStats stats = run.Stats(k);
  for (const v1::SourceStats& row : stats.sources()) {
    if (row.name() == ReplicaName(source)) return row.arrived();
  }
  return 0;
}

void NetworkTest::ExpectOneModel(GossipRun* run) {
  const std::vector<float> start = StartWeights(run->options())[0];
  run->Stop();
  for (int k = 0; k < run->options().replicas; ++k) {
    const TrainerResult result = run->Result(k, kLimit);
    EXPECT_EQ(result.exit_code, 0) << "replica " << k;
    EXPECT_EQ(result.AllPulls(), result.due) << "replica " << k << ": " << result.DescribePulls();
    EXPECT_TRUE(result.weights == start) << "replica " << k << " ends with other weights";
  }
}

}  // namespace weightmesh
