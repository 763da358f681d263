// A vector, a cursor, and a keyed shuffle (Fisher-Yates).
#include "daemon/core/probe_order.h"

#include <algorithm>
#include <utility>

namespace weightmesh::swim {

void ProbeOrder::Insert(NodeId node) {
  const size_t place = rng_.Below(nodes_.size() + 1);
  nodes_.insert(nodes_.begin() + static_cast<std::ptrdiff_t>(place), node);
  if (place < next_) ++next_;
}

void ProbeOrder::Erase(NodeId node) {
  const auto found = std::find(nodes_.begin(), nodes_.end(), node);
  if (found == nodes_.end()) return;
  if (static_cast<size_t>(found - nodes_.begin()) < next_) --next_;
  nodes_.erase(found);
}

NodeId ProbeOrder::Next() {
  if (nodes_.empty()) return NodeId{};
  if (next_ >= nodes_.size()) {
    Shuffle();
    next_ = 0;
  }
  return nodes_[next_++];
}

void ProbeOrder::Shuffle() {
  for (size_t k = nodes_.size(); k > 1; --k) std::swap(nodes_[k - 1], nodes_[rng_.Below(k)]);
}

std::vector<NodeId> ProbeOrder::Sample(size_t count, absl::FunctionRef<bool(NodeId)> fits) {
  std::vector<NodeId> chosen;
  const auto take = [&](NodeId node) {
    const bool is_new = std::find(chosen.begin(), chosen.end(), node) == chosen.end();
    if (is_new && fits(node)) chosen.push_back(node);
  };
  if (nodes_.empty()) return chosen;
  // Draws as long as that is likely to find somebody, then goes through all.
  for (size_t draws = 4 * count; draws > 0 && chosen.size() < count; --draws) {
    take(nodes_[rng_.Below(nodes_.size())]);
  }
  const size_t start = rng_.Below(nodes_.size());
  for (size_t k = 0; k < nodes_.size() && chosen.size() < count; ++k) {
    take(nodes_[(start + k) % nodes_.size()]);
  }
  return chosen;
}

}  // namespace weightmesh::swim
