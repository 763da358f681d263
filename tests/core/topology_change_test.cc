// What counts as a change of the topology, and that the change put over the old gives the new.
#include "daemon/core/topology_change.h"

#include <gtest/gtest.h>

#include <functional>

namespace weightmesh {
namespace {

NodeSnapshot MakeNode(uint64_t k) {
  NodeSnapshot node;
  node.info = NodeInfo{NodeId{0, k}, 7 + k, "10.0.0.1:7473", "1.0"};
  node.silent = absl::Milliseconds(k);
  return node;
}

ReplicaSnapshot MakeReplica(const std::string& run_id, const std::string& name) {
  ReplicaSnapshot replica;
  replica.run_id = run_id;
  replica.info.replica_id = MakeReplicaId(run_id, name);
  replica.info.name = name;
  replica.info.state = ReplicaState::kActive;
  replica.info.published_round = Round{5};
  replica.node = NodeId{0, 1};
  return replica;
}

TopologySnapshot Sample() {
  TopologySnapshot topology;
  topology.self = NodeId{0, 1};
  for (uint64_t k : {1, 2, 3}) topology.nodes.push_back(MakeNode(k));
  topology.replicas = {MakeReplica("faces", "a"), MakeReplica("letters", "a"),
                       MakeReplica("letters", "b")};
  return topology;
}

TEST(TopologyChange, NothingButTheTimePasses) {
  TopologySnapshot after = Sample();
  for (NodeSnapshot& node : after.nodes) node.silent += absl::Seconds(5);
  EXPECT_TRUE(Diff(Sample(), after, {}).empty());
}

TEST(TopologyChange, EveryFieldOfANodeCounts) {
  const std::function<void(NodeSnapshot*)> spoils[] = {
      [](auto* n) { ++n->info.session; },
      [](auto* n) { n->info.control_address += "0"; },
      [](auto* n) { n->info.version += "1"; },
      [](auto* n) { n->reachable = false; },
      [](auto* n) { n->unreachable_reason += "refused"; },
  };
  for (const auto& spoil : spoils) {
    TopologySnapshot after = Sample();
    spoil(&after.nodes[1]);
    const TopologyChange change = Diff(Sample(), after, {});
    ASSERT_EQ(change.nodes.size(), 1u) << &spoil - spoils;
    EXPECT_EQ(change.nodes[0].info.node_id, (NodeId{0, 2}));
    EXPECT_TRUE(change.nodes_removed.empty() && change.replicas.empty() &&
                change.replicas_removed.empty());
  }
}

TEST(TopologyChange, EveryFieldOfAReplicaCounts) {
  const std::function<void(ReplicaSnapshot*)> spoils[] = {
      [](auto* r) { r->info.name += "c"; },    [](auto* r) { r->info.state = ReplicaState::kDead; },
      [](auto* r) { r->node = NodeId{0, 2}; }, [](auto* r) { r->rank = 1; },
      [](auto* r) { r->reachable = false; },
  };
  for (const auto& spoil : spoils) {
    TopologySnapshot after = Sample();
    spoil(&after.replicas[2]);
    const TopologyChange change = Diff(Sample(), after, {});
    ASSERT_EQ(change.replicas.size(), 1u) << &spoil - spoils;
    EXPECT_EQ(change.replicas[0].info.replica_id, MakeReplicaId("letters", "b"));
    EXPECT_TRUE(change.nodes.empty() && change.replicas_removed.empty());
  }
}

TEST(TopologyChange, RoundsCountWhenAskedFor) {
  TopologySnapshot published = Sample();
  published.replicas[0].info.published_round = Round{6};
  TopologySnapshot mixed = Sample();
  mixed.replicas[1].info.mixed_round = Round{5};
  for (const TopologySnapshot& after : {published, mixed}) {
    EXPECT_TRUE(Diff(Sample(), after, {}).empty());
    EXPECT_EQ(Diff(Sample(), after, {"", true}).replicas.size(), 1u);
  }
}

TEST(TopologyChange, RowsComeAndGo) {
  TopologySnapshot after = Sample();
  after.nodes.erase(after.nodes.begin() + 1);
  after.nodes.push_back(MakeNode(4));
  after.replicas.erase(after.replicas.begin());
  after.replicas.push_back(MakeReplica("letters", "c"));
  const TopologyChange change = Diff(Sample(), after, {});
  ASSERT_EQ(change.nodes.size(), 1u);
  EXPECT_EQ(change.nodes[0].info.node_id, (NodeId{0, 4}));
  EXPECT_EQ(change.nodes_removed, std::vector<NodeId>({NodeId{0, 2}}));
  ASSERT_EQ(change.replicas.size(), 1u);
  EXPECT_EQ(change.replicas[0].info.name, "c");
  EXPECT_EQ(change.replicas_removed,
            std::vector<ReplicaKey>({{"faces", MakeReplicaId("faces", "a")}}));
}

TEST(TopologyChange, OneRunHearsNothingOfAnother) {
  TopologySnapshot after = Sample();
  after.replicas.erase(after.replicas.begin());        // of faces
  after.replicas[0].info.state = ReplicaState::kLeft;  // of letters
  EXPECT_EQ(Diff(Sample(), after, {"faces", false}).replicas_removed.size(), 1u);
  EXPECT_TRUE(Diff(Sample(), after, {"faces", false}).replicas.empty());
  EXPECT_EQ(Diff(Sample(), after, {"letters", false}).replicas.size(), 1u);
  EXPECT_TRUE(Diff(Sample(), after, {"letters", false}).replicas_removed.empty());
}

// Two replicas of one name in two runs are two.
TEST(TopologyChange, AReplicaIsNamedByItsRunToo) {
  TopologySnapshot before = Sample();
  TopologySnapshot after = Sample();
  before.replicas[1].info.replica_id = before.replicas[0].info.replica_id;
  after.replicas[1].info.replica_id = after.replicas[0].info.replica_id;
  EXPECT_TRUE(Diff(before, after, {}).empty());
  after.replicas[1].reachable = false;
  ASSERT_EQ(Diff(before, after, {}).replicas.size(), 1u);
  EXPECT_EQ(Diff(before, after, {}).replicas[0].run_id, "letters");
}

}  // namespace
}  // namespace weightmesh
