// ArenaMapping: the arena of design.md section 6 as the trainer maps it. Used by the handle's
// thread; mix threads read and write slots and inbox through the pointers it gives.
#pragma once

#include <cstddef>
#include <cstdint>

#include "client/src/status.h"
#include "proto/arena_layout.h"
#include "proto/control_page.h"

namespace weightmesh::client {

class ArenaMapping {
 public:
  ArenaMapping() = default;
  ~ArenaMapping();
  ArenaMapping(const ArenaMapping&) = delete;
  ArenaMapping& operator=(const ArenaMapping&) = delete;

  // Maps the memfd `fd`, which the caller may close afterwards. `layout` is copied. REFUSED when
  // size or control page are not those of `layout`; RESOURCES when the system gives no memory.
  Status Map(int fd, const ArenaLayout& layout);

  // Nothing happens when it is not mapped.
  void Unmap();

  // For a forked child, where the mapping does not exist (MADV_DONTFORK): never unmap.
  void Abandon() { base_ = nullptr; }

  bool mapped() const { return base_ != nullptr; }

  // REQUIRES of all below: mapped().
  control_page::ControlPage& page() const {
    return *reinterpret_cast<control_page::ControlPage*>(base_);
  }
  // One entry for each segment. The daemon writes them: copy an entry once before use.
  const volatile control_page::CollectedSegment* collected() const {
    return reinterpret_cast<const control_page::CollectedSegment*>(base_ +
                                                                   control_page::CollectedOffset());
  }
  control_page::MixedSegment* mixed() const {
    return reinterpret_cast<control_page::MixedSegment*>(
        base_ + control_page::MixedOffset(layout_.segments.size()));
  }
  std::byte* Slot(uint32_t slot) const { return base_ + layout_.SlotOffset(slot); }
  const std::byte* Inbox(uint32_t buffer) const { return base_ + layout_.InboxOffset(buffer); }
  uint32_t slots() const { return layout_.slots; }
  uint32_t segments() const { return static_cast<uint32_t>(layout_.segments.size()); }

 private:
  std::byte* base_ = nullptr;
  ArenaLayout layout_;
};

}  // namespace weightmesh::client
