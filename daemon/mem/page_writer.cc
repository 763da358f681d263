// Stores into the daemon's words of the control page.
#include "daemon/mem/page_writer.h"

#include <algorithm>
#include <bit>

#include "daemon/core/check.h"

namespace weightmesh {
namespace {

uint64_t CeilMicroseconds(absl::Duration duration) {
  return static_cast<uint64_t>(
      std::max<int64_t>(0, absl::ToInt64Microseconds(absl::Ceil(duration, absl::Microseconds(1)))));
}

}  // namespace

void PageWriter::Update(const UpdatePage& update) {
  control_page::ControlPage* const page = arena_->page();
  page->publish_wait_us.store(CeilMicroseconds(update.publish_wait), std::memory_order_release);
  page->collect_wait_us.store(CeilMicroseconds(update.collect_wait), std::memory_order_release);
  page->view_replicas.store(update.view_replicas, std::memory_order_release);
  page->mesh_newest_round.store(Value(update.newest_round), std::memory_order_release);
  page->active_from.store(Value(update.active_from), std::memory_order_release);
  page->leaves_at.store(Value(update.leaves_at), std::memory_order_release);
  page->agreed_distance_bits.store(std::bit_cast<uint64_t>(update.agreed_distance),
                                   std::memory_order_release);
  page->agreed_at.store(Value(update.agreed_at), std::memory_order_release);
  page->next_round.store(Value(update.next_round), std::memory_order_release);
}

void PageWriter::WriteCollected(Round round, absl::Span<const FrozenSegment> segments) {
  const absl::Span<control_page::CollectedSegment> rows = arena_->collected();
  WEIGHTMESH_CHECK(segments.size() == rows.size(), "a collect must have a row for each segment");
  for (size_t i = 0; i < rows.size(); ++i) {
    const FrozenSegment& frozen = segments[i];
    rows[i] = {.delivered = frozen.delivered ? 1u : 0u,
               .outcome = static_cast<uint32_t>(frozen.outcome),
               .buffer = frozen.buffer,
               .reserved = 0,
               .source_round = Value(frozen.source_round),
               .source_high = frozen.source.high,
               .source_low = frozen.source.low};
  }
  arena_->page()->collected_round.store(Value(round), std::memory_order_release);
}

}  // namespace weightmesh
