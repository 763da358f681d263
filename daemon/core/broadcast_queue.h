// BroadcastQueue: of whom there is news, and how often it has been told.
#pragma once

#include <compare>
#include <cstdint>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/functional/function_ref.h"
#include "daemon/core/ids.h"

namespace weightmesh::swim {

// Holds subjects, not messages: what is told of a subject is read where it is kept when a message
// is made, so that it is never out of date. What has been told least often comes first, and of
// that the newest (SWIM section 4.1).
class BroadcastQueue {
 public:
  // REQUIRES: subjects_max >= 1.
  explicit BroadcastQueue(size_t subjects_max) : subjects_max_(subjects_max) {}

  // There is news of `subject`: older news of it gives place. Of too many the one that was told
  // most often is dropped.
  void Push(NodeId subject);
  void Erase(NodeId subject);
  void Clear();

  // The next subjects whose news fits into `budget` bytes together; each is given at most `limit`
  // times. A subject that does not fit leaves room for smaller ones; one of kKnown bytes is news to
  // others only.
  static constexpr size_t kKnown = SIZE_MAX;
  std::vector<NodeId> Take(size_t budget, uint32_t limit,
                           absl::FunctionRef<size_t(NodeId)> bytes_of);

  bool empty() const { return order_.empty(); }
  size_t size() const { return order_.size(); }

 private:
  struct Place {
    uint32_t told = 0;
    uint64_t age = 0;  // counts down: the newest is the least
    NodeId subject;
    friend auto operator<=>(const Place&, const Place&) = default;
  };

  const size_t subjects_max_;
  uint64_t next_age_ = UINT64_MAX;
  absl::btree_set<Place> order_;
  absl::btree_map<NodeId, Place> places_;
};

}  // namespace weightmesh::swim
