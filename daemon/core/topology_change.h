// TopologyChange: what differs between two snapshots of the topology; pure, any thread.
#pragma once

#include <compare>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "daemon/core/snapshot.h"

namespace weightmesh {

// What names a replica among all runs.
struct ReplicaKey {
  std::string run_id;
  ReplicaId replica_id;

  friend auto operator<=>(const ReplicaKey&, const ReplicaKey&) = default;
};

// Put over the older snapshot, it gives the newer one.
struct TopologyChange {
  std::vector<NodeSnapshot> nodes;  // new or changed
  std::vector<NodeId> nodes_removed;
  std::vector<ReplicaSnapshot> replicas;  // new or changed
  std::vector<ReplicaKey> replicas_removed;

  bool empty() const {
    return nodes.empty() && nodes_removed.empty() && replicas.empty() && replicas_removed.empty();
  }
};

struct TopologyDiffOptions {
  std::string run_id;        // only this run's replicas; empty: all
  bool with_rounds = false;  // whether an advance of a replica's rounds is a change
};

// NodeSnapshot::silent grows all the time: that is never a change by itself.
TopologyChange Diff(const TopologySnapshot& before, const TopologySnapshot& after,
                    const TopologyDiffOptions& options);

}  // namespace weightmesh
