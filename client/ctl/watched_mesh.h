// The events of a watch put together to the whole that they tell of; pure.
#pragma once

#include <map>
#include <utility>

#include "absl/time/time.h"
#include "proto/weightmesh/v1/mesh.pb.h"

namespace weightmesh::ctl {

class WatchedTopology {
 public:
  // `now`: when the event came, by any clock that At is asked by, too.
  void Apply(const v1::TopologyEvent& event, absl::Time now);

  // Rows in the order in which GetTopology lists them. Who cannot be reached has been silent since
  // its row came; who can is taken to be heard all the time (silent_ms 0), for its silence is no
  // change that would be told.
  v1::Topology At(absl::Time now) const;

 private:
  using Key = std::pair<uint64_t, uint64_t>;  // of an Id
  struct Node {
    v1::Node row;
    absl::Time came;
  };

  v1::Id self_;
  std::map<Key, Node> nodes_;
  std::map<std::pair<std::string, Key>, v1::Replica> replicas_;
};

class WatchedStats {
 public:
  void Apply(const v1::StatsEvent& event);
  const v1::Stats& stats() const { return stats_; }

 private:
  v1::Stats stats_;
};

}  // namespace weightmesh::ctl
