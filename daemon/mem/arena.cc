// Allocation and addressing of one replica's arena.
#include "daemon/mem/arena.h"

#include <new>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "daemon/core/check.h"

namespace weightmesh {
namespace {

// Writes what is constant after attach, and the slots' first words.
void InitialisePage(std::byte* memory, const ArenaLayout& layout) {
  auto* page = new (memory) control_page::ControlPage();
  page->magic = control_page::kMagic;
  page->version = control_page::kVersion;
  page->segments = static_cast<uint32_t>(layout.segments.size());
  page->slots = layout.slots;
  page->page_bytes = control_page::ControlPageBytes(layout.segments.size());
  for (uint32_t slot = 0; slot < layout.slots; ++slot) {
    page->slot_words[slot].store(control_page::SlotWord(0, control_page::SlotState::kReadable),
                                 std::memory_order_release);
  }
}

}  // namespace

absl::StatusOr<ArenaLayout> LayOutArena(const ArenaSpec& spec) {
  if (spec.slots < kSlotsMin || spec.slots > control_page::kSlotsMax) {
    return absl::InvalidArgumentError(absl::StrCat("slots is ", spec.slots, "; it must be between ",
                                                   kSlotsMin, " and ", control_page::kSlotsMax,
                                                   " (default ", control_page::kSlotsDefault, ")"));
  }
  WEIGHTMESH_CHECK(spec.bounds.size() >= 2, "an arena needs a checked schema");
  return MakeArenaLayout(spec.bounds, spec.wire, spec.slots,
                         control_page::ControlPageBytes(spec.bounds.size() - 1));
}

absl::StatusOr<std::unique_ptr<Arena>> Arena::Create(const ArenaSpec& spec, Device* device,
                                                     ArenaBudget* budget) {
  absl::StatusOr<ArenaLayout> layout = LayOutArena(spec);
  if (!layout.ok()) return layout.status();
  if (absl::Status taken = budget->Take(layout->arena_bytes); !taken.ok()) return taken;
  absl::StatusOr<std::unique_ptr<DeviceMemory>> memory = device->Allocate(layout->arena_bytes);
  if (!memory.ok()) {
    budget->Return(layout->arena_bytes);
    return memory.status();
  }
  return std::unique_ptr<Arena>(new Arena(*std::move(layout), *std::move(memory), budget));
}

Arena::Arena(ArenaLayout layout, std::unique_ptr<DeviceMemory> memory, ArenaBudget* budget)
    : layout_(std::move(layout)), memory_(std::move(memory)), budget_(budget) {
  WEIGHTMESH_CHECK(memory_->bytes().size() == layout_.arena_bytes, "a device gave other memory");
  InitialisePage(memory_->bytes().data(), layout_);
}

Arena::~Arena() { budget_->Return(layout_.arena_bytes); }

uint64_t Arena::control_bytes() const {
  return control_page::ControlPageBytes(layout_.segments.size());
}

absl::Span<std::byte> Arena::SegmentAt(uint64_t snapshot_offset, SegmentId segment) const {
  WEIGHTMESH_CHECK(Value(segment) < layout_.segments.size(), "no such segment in the arena");
  const SegmentPlace& place = layout_.segments[Value(segment)];
  return bytes().subspan(snapshot_offset + place.offset, place.total_bytes);
}

absl::Span<const std::byte> Arena::SlotSegment(SlotId slot, SegmentId segment) const {
  WEIGHTMESH_CHECK(Value(slot) < layout_.slots, "no such slot in the arena");
  return SegmentAt(layout_.SlotOffset(Value(slot)), segment);
}

absl::Span<std::byte> Arena::InboxSegment(uint32_t buffer, SegmentId segment) const {
  WEIGHTMESH_CHECK(buffer < kInboxBuffers, "no such inbox buffer in the arena");
  return SegmentAt(layout_.InboxOffset(buffer), segment);
}

control_page::ControlPage* Arena::page() const {
  return std::launder(reinterpret_cast<control_page::ControlPage*>(bytes().data()));
}

absl::Span<control_page::CollectedSegment> Arena::collected() const {
  return absl::MakeSpan(reinterpret_cast<control_page::CollectedSegment*>(
                            bytes().data() + control_page::CollectedOffset()),
                        layout_.segments.size());
}

absl::Span<const control_page::MixedSegment> Arena::mixed() const {
  return absl::MakeConstSpan(
      reinterpret_cast<const control_page::MixedSegment*>(
          bytes().data() + control_page::MixedOffset(layout_.segments.size())),
      layout_.segments.size());
}

}  // namespace weightmesh
