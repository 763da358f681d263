// Rows by their names, the older against the newer.
#include "daemon/core/topology_change.h"

#include <map>

namespace weightmesh {
namespace {

bool Same(const NodeSnapshot& a, const NodeSnapshot& b) {
  return a.info == b.info && a.reachable == b.reachable &&
         a.unreachable_reason == b.unreachable_reason;
}

bool Same(const ReplicaSnapshot& a, const ReplicaSnapshot& b, bool with_rounds) {
  const bool same_rounds =
      a.info.published_round == b.info.published_round && a.info.mixed_round == b.info.mixed_round;
  return a.info.name == b.info.name && a.info.state == b.info.state && a.node == b.node &&
         a.rank == b.rank && a.reachable == b.reachable && (same_rounds || !with_rounds);
}

std::map<ReplicaKey, const ReplicaSnapshot*> ReplicasOf(const TopologySnapshot& topology,
                                                        const std::string& run_id) {
  std::map<ReplicaKey, const ReplicaSnapshot*> replicas;
  for (const ReplicaSnapshot& replica : topology.replicas) {
    if (!run_id.empty() && replica.run_id != run_id) continue;
    replicas[{replica.run_id, replica.info.replica_id}] = &replica;
  }
  return replicas;
}

}  // namespace

TopologyChange Diff(const TopologySnapshot& before, const TopologySnapshot& after,
                    const TopologyDiffOptions& options) {
  TopologyChange change;
  std::map<NodeId, const NodeSnapshot*> old_nodes;
  for (const NodeSnapshot& node : before.nodes) old_nodes[node.info.node_id] = &node;
  for (const NodeSnapshot& node : after.nodes) {
    const auto old = old_nodes.find(node.info.node_id);
    if (old == old_nodes.end() || !Same(*old->second, node)) change.nodes.push_back(node);
    if (old != old_nodes.end()) old_nodes.erase(old);
  }
  for (const auto& [node_id, node] : old_nodes) change.nodes_removed.push_back(node_id);

  std::map<ReplicaKey, const ReplicaSnapshot*> old_replicas = ReplicasOf(before, options.run_id);
  for (const auto& [key, replica] : ReplicasOf(after, options.run_id)) {
    const auto old = old_replicas.find(key);
    if (old == old_replicas.end() || !Same(*old->second, *replica, options.with_rounds)) {
      change.replicas.push_back(*replica);
    }
    if (old != old_replicas.end()) old_replicas.erase(old);
  }
  for (const auto& [key, replica] : old_replicas) change.replicas_removed.push_back(key);
  return change;
}

}  // namespace weightmesh
