// Compares what daemons believe with what is.
#include "tests/sim/check/views.h"

#include <set>

#include "absl/strings/str_cat.h"

namespace weightmesh::sim {
namespace {

// What `node` believes, against the replicas that train.
std::string CheckBeliefs(Simulator& simulator, SimNode& node, absl::string_view run_id,
                         const std::set<ReplicaId>& training) {
  const absl::Time now = absl::UnixEpoch() + simulator.elapsed();
  const TopologySnapshot topology = node.core().Topology(now, run_id);
  std::set<NodeId> reachable;
  for (const NodeSnapshot& other : topology.nodes) {
    if (other.reachable) reachable.insert(other.info.node_id);
  }
  for (uint32_t k = 0; k < simulator.nodes(); ++k) {
    SimNode& other = simulator.node(k);
    if (other.process().is_up() == (reachable.count(other.id()) > 0)) continue;
    return absl::StrCat("node ", k,
                        other.process().is_up() ? " is up, and silent" : " is down, and answers",
                        " to node ", node.index());
  }
  std::set<ReplicaId> live;
  for (const ReplicaSnapshot& replica : topology.replicas) {
    if (TakesPart(replica.info.state) && replica.reachable) live.insert(replica.info.replica_id);
  }
  for (uint32_t k = 0; k < simulator.trainers(); ++k) {
    const ReplicaId replica = simulator.trainer(k).replica();
    if (training.count(replica) == live.count(replica)) continue;
    return absl::StrCat(
        "trainer ", k, live.count(replica) > 0 ? " has ended, and is live" : " trains, and is gone",
        " to node ", node.index());
  }
  return "";
}

}  // namespace

std::string CheckViews(Simulator& simulator, absl::string_view run_id) {
  std::set<ReplicaId> training;
  for (uint32_t k = 0; k < simulator.trainers(); ++k) {
    const SimTrainer& trainer = simulator.trainer(k);
    if (trainer.state() == TrainerState::kTraining) training.insert(trainer.replica());
  }
  const std::vector<uint64_t> digests = simulator.ViewDigests(run_id);
  const std::set<uint64_t> distinct(digests.begin(), digests.end());
  for (uint32_t k = 0; k < simulator.nodes(); ++k) {
    if (!simulator.node(k).process().is_up()) continue;
    std::string wrong = CheckBeliefs(simulator, simulator.node(k), run_id, training);
    if (!wrong.empty()) return wrong;
  }
  if (distinct.size() != 1) {
    return absl::StrCat(digests.size(), " daemons have ", distinct.size(), " views");
  }
  if (distinct.count(0) > 0) return "the run is unknown, or has not started";
  return "";
}

}  // namespace weightmesh::sim
