// An ordered set of subjects, and where each of them stands in it.
#include "daemon/core/broadcast_queue.h"

#include <iterator>

namespace weightmesh::swim {
namespace {

// Subjects that are passed over because they do not fit, before a message counts as full.
constexpr size_t kPassedOverMax = 8;

}  // namespace

void BroadcastQueue::Push(NodeId subject) {
  Erase(subject);
  const Place place{0, next_age_--, subject};
  if (order_.size() >= subjects_max_) {
    places_.erase(std::prev(order_.end())->subject);
    order_.erase(std::prev(order_.end()));
  }
  order_.insert(place);
  places_.emplace(subject, place);
}

void BroadcastQueue::Erase(NodeId subject) {
  const auto found = places_.find(subject);
  if (found == places_.end()) return;
  order_.erase(found->second);
  places_.erase(found);
}

void BroadcastQueue::Clear() {
  order_.clear();
  places_.clear();
}

std::vector<NodeId> BroadcastQueue::Take(size_t budget, uint32_t limit,
                                         absl::FunctionRef<size_t(NodeId)> bytes_of) {
  std::vector<Place> taken;
  size_t passed_over = 0;
  for (const Place& place : order_) {
    const size_t bytes = bytes_of(place.subject);
    if (bytes == kKnown) continue;
    if (bytes > budget) {
      if (++passed_over > kPassedOverMax) break;
      continue;
    }
    budget -= bytes;
    taken.push_back(place);
  }
  std::vector<NodeId> subjects;
  for (Place place : taken) {
    subjects.push_back(place.subject);
    order_.erase(place);
    if (++place.told >= limit) {
      places_.erase(place.subject);
    } else {
      order_.insert(place);
      places_[place.subject] = place;
    }
  }
  return subjects;
}

}  // namespace weightmesh::swim
