// SlotPool: a fixed number of objects that are used again and again, without allocation.
#pragma once

#include <cstddef>
#include <vector>

namespace weightmesh {

// Not thread-safe. A slot's address never changes, and its content stays as its user left it.
template <typename Slot>
class SlotPool {
 public:
  explicit SlotPool(size_t slots_max) : slots_(slots_max) {
    free_.reserve(slots_max);
    for (size_t i = slots_max; i > 0; --i) free_.push_back(&slots_[i - 1]);
  }

  // Null when all are in use.
  Slot* Acquire() {
    if (free_.empty()) return nullptr;
    Slot* slot = free_.back();
    free_.pop_back();
    return slot;
  }
  void Release(Slot* slot) { free_.push_back(slot); }

  // All slots, in use or not.
  std::vector<Slot>& slots() { return slots_; }

 private:
  std::vector<Slot> slots_;
  std::vector<Slot*> free_;
};

}  // namespace weightmesh
