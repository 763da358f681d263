// Arena: the memory of one replica: control page, slots and inbox. Made and freed on the core
// thread; its bytes are also the transport's and the trainer's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "cuda/device.h"
#include "daemon/core/ids.h"
#include "daemon/mem/arena_budget.h"
#include "proto/arena_layout.h"
#include "proto/control_page.h"

namespace weightmesh {

constexpr uint32_t kSlotsMin = 2;
constexpr uint32_t kInboxBuffers = 2;

struct ArenaSpec {
  std::vector<uint64_t> bounds;  // of the segments, in parameters: Schema::bounds
  WireFormat wire = WireFormat::kFp32;
  uint32_t slots = control_page::kSlotsDefault;
};

// The layout that a spec leads to. InvalidArgument when `slots` is out of range; the message names
// range and cure. REQUIRES: bounds as MakeSchema checks them.
absl::StatusOr<ArenaLayout> LayOutArena(const ArenaSpec& spec);

class Arena {
 public:
  // Counts the arena's bytes into `budget`, allocates them from `device` and initialises the
  // control page: all slots READABLE of round 0. `budget` must outlive the arena; it gets the bytes
  // back with the arena's end. ResourceExhausted beyond the budget or the device's memory;
  // InvalidArgument as LayOutArena.
  static absl::StatusOr<std::unique_ptr<Arena>> Create(const ArenaSpec& spec, Device* device,
                                                       ArenaBudget* budget);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  const ArenaLayout& layout() const { return layout_; }
  // The unrounded size of the control page, which MakeArenaLayout takes.
  uint64_t control_bytes() const;

  // All of it, as Transport::Register takes it.
  absl::Span<std::byte> bytes() const { return memory_->bytes(); }
  MemoryKind kind() const { return memory_->kind(); }
  int descriptor() const { return memory_->descriptor(); }

  // One segment with its seal and checksums, SegmentPlace::total_bytes long: what a pull moves.
  // REQUIRES: slot < slots, buffer < kInboxBuffers, segment < segments.
  absl::Span<const std::byte> SlotSegment(SlotId slot, SegmentId segment) const;
  absl::Span<std::byte> InboxSegment(uint32_t buffer, SegmentId segment) const;

  // The page and its tables, one row for each segment. The trainer can write all of it at any time.
  control_page::ControlPage* page() const;
  absl::Span<control_page::CollectedSegment> collected() const;
  absl::Span<const control_page::MixedSegment> mixed() const;

 private:
  Arena(ArenaLayout layout, std::unique_ptr<DeviceMemory> memory, ArenaBudget* budget);
  absl::Span<std::byte> SegmentAt(uint64_t snapshot_offset, SegmentId segment) const;

  const ArenaLayout layout_;
  const std::unique_ptr<DeviceMemory> memory_;
  ArenaBudget* const budget_;
};

}  // namespace weightmesh
