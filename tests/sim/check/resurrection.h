// Resurrection: nobody dead comes back. A replica that a node has once held for dead or left is
// that for ever, but for another trainer under its name; and a node whose process has ended, once
// it is silent to another one, never answers that one again, but by another process.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "daemon/core/snapshot.h"
#include "tests/sim/simulator.h"

namespace weightmesh::sim {

class Resurrection {
 public:
  // `ledger` must outlive the check.
  explicit Resurrection(Ledger* ledger) : ledger_(ledger) {}

  // `observer` names one process of a daemon, which believes `topology`. `is_over(node, session)`:
  // that process has ended, so long ago that none of its messages is under way any more.
  template <typename IsOver>
  void Believes(uint64_t observer, const TopologySnapshot& topology, const IsOver& is_over) {
    for (const ReplicaSnapshot& replica : topology.replicas) Believes(observer, replica);
    for (const NodeSnapshot& node : topology.nodes) {
      Believes(observer, node, is_over(node.info.node_id, node.info.session));
    }
  }

 private:
  void Believes(uint64_t observer, const ReplicaSnapshot& replica);
  void Believes(uint64_t observer, const NodeSnapshot& node, bool is_over);

  Ledger* const ledger_;
  // Of a trainer: its daemon's node, its replica and its life there.
  std::set<std::tuple<uint64_t, NodeId, ReplicaId, uint64_t>> dead_;
  std::set<std::tuple<uint64_t, NodeId, SessionId>> silent_;
};

// Lets the check know what each daemon believes whenever another one has told it something.
class ResurrectionWatch final : public Observer {
 public:
  // `simulator` must outlive the watch.
  explicit ResurrectionWatch(Simulator* simulator)
      : simulator_(simulator), check_(&simulator->ledger()) {}

  void OnStep(absl::Time now, uint32_t node, const Event& event,
              absl::Span<const Action> actions) override;
  void OnNode(absl::Time now, uint32_t node, ProcessChange change) override;

 private:
  Simulator* const simulator_;
  Resurrection check_;
  std::map<uint32_t, SessionId> sessions_;                       // of the daemons that are up
  std::map<std::pair<NodeId, SessionId>, absl::Time> ended_at_;  // processes
  std::map<uint32_t, absl::Time> resumed_at_;                    // daemons that stood still
};

}  // namespace weightmesh::sim
