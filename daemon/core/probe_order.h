// ProbeOrder: whom to probe next, and random choices among those who may live.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "daemon/core/hash.h"
#include "daemon/core/ids.h"

namespace weightmesh::swim {

// Round robin over a shuffled list (SWIM section 4.3): each node is probed once in every pass, so
// that the time to the first probe of a dead one is bounded. The list is shuffled anew for each
// pass, and a newcomer takes a random place.
class ProbeOrder {
 public:
  explicit ProbeOrder(uint64_t key) : rng_(key) {}

  // REQUIRES: `node` is not in the order.
  void Insert(NodeId node);
  // Does nothing when it is not there.
  void Erase(NodeId node);

  // Zero when there is nobody.
  NodeId Next();

  // Up to `count` different nodes at random, of those that `fits` accepts.
  std::vector<NodeId> Sample(size_t count, absl::FunctionRef<bool(NodeId)> fits);

  size_t size() const { return nodes_.size(); }

 private:
  void Shuffle();

  CounterRng rng_;
  std::vector<NodeId> nodes_;
  size_t next_ = 0;
};

}  // namespace weightmesh::swim
