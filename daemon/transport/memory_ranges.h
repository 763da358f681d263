// MemoryRanges: the registered memory of a transport, by address. Confined to its owner's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>

#include "absl/types/span.h"

namespace weightmesh {

// Maps disjoint ranges of memory to a `Handle` each (a registration).
template <typename Handle>
class MemoryRanges {
 public:
  // False when `memory` is empty, or overlaps a range that is already here.
  bool Add(absl::Span<const std::byte> memory, Handle handle) {
    if (memory.empty()) return false;
    const auto next = ranges_.lower_bound(Begin(memory));
    if (next != ranges_.end() && next->first < End(memory)) return false;
    if (next != ranges_.begin() && std::prev(next)->second.end > Begin(memory)) return false;
    ranges_.emplace_hint(next, Begin(memory), Range{End(memory), std::move(handle)});
    return true;
  }

  // Forgets the range added as exactly `memory`; moves its handle to `handle`. False if none is.
  bool Remove(absl::Span<const std::byte> memory, Handle* handle) {
    const auto found = ranges_.find(Begin(memory));
    if (found == ranges_.end() || found->second.end != End(memory)) return false;
    *handle = std::move(found->second.handle);
    ranges_.erase(found);
    return true;
  }

  // The handle of the range in which all of `memory` lies; null if there is none. Valid until that
  // range is removed.
  const Handle* Find(absl::Span<const std::byte> memory) const {
    if (memory.empty()) return nullptr;
    auto after = ranges_.upper_bound(Begin(memory));
    if (after == ranges_.begin()) return nullptr;
    const Range& range = std::prev(after)->second;
    return End(memory) <= range.end ? &range.handle : nullptr;
  }

  // Removes every range and gives its handle to `visit`.
  template <typename Visit>
  void Drain(Visit visit) {
    for (auto& [begin, range] : ranges_) visit(std::move(range.handle));
    ranges_.clear();
  }

 private:
  struct Range {
    uintptr_t end;
    Handle handle;
  };

  static uintptr_t Begin(absl::Span<const std::byte> memory) {
    return reinterpret_cast<uintptr_t>(memory.data());
  }
  static uintptr_t End(absl::Span<const std::byte> memory) { return Begin(memory) + memory.size(); }

  std::map<uintptr_t, Range> ranges_;
};

}  // namespace weightmesh
