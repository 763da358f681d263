// PageWriter: writes the daemon's words of one control page. Confined to the core thread; the page
// is shared with the trainer.
#pragma once

#include "absl/types/span.h"
#include "daemon/core/actions.h"
#include "daemon/mem/arena.h"

namespace weightmesh {

class PageWriter {
 public:
  // `arena` must outlive the writer.
  explicit PageWriter(const Arena* arena) : arena_(arena) {}

  // Writes every word that UpdatePage carries. Waits are rounded up to whole microseconds.
  void Update(const UpdatePage& update);

  // Writes the table of collected segments, then collected_round: a trainer that acquires that
  // round sees the whole table. REQUIRES: one row for each segment.
  void WriteCollected(Round round, absl::Span<const FrozenSegment> segments);

 private:
  const Arena* const arena_;
};

}  // namespace weightmesh
