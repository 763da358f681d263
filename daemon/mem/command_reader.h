// CommandReader: takes the trainer's commands out of the control page. Confined to the core thread;
// the page is shared with the trainer and nothing in it is trusted.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "daemon/core/actions.h"
#include "daemon/core/events.h"
#include "daemon/mem/arena.h"

namespace weightmesh {

class CommandReader {
 public:
  using Sink = absl::FunctionRef<void(const Event&)>;

  // `arena` must outlive the reader.
  CommandReader(AttachId attach, const Arena* arena);

  // Gives `sink` one Published, PublishSkipped, CollectRequested or Mixed for each command posted
  // so far, at most kCommandsMax; Mixed::segments is valid during the call. Commands that make no
  // sense (kind, slot, round) are dropped and counted. DataLoss when the count of posted commands
  // was overwritten: the ring is unusable from then on, and so is the attachment.
  // `sink` may write to the arena, but must not destroy it or the reader.
  absl::Status Drain(Sink sink);

  // Tells which segments the trainer was given in `round`: the next Mixed of that round has results
  // for those, and kNone for all others.
  void ExpectMixed(Round round, absl::Span<const FrozenSegment> segments);

  // The numbers that the trainer reports, in order of first report. Names are printable ASCII; rows
  // with any other name are left out.
  std::vector<std::pair<std::string, double>> Scalars() const;

  uint64_t commands_dropped() const { return commands_dropped_; }

 private:
  void Take(const control_page::Command& command, Sink sink);
  void ReadMixed(Round round);

  const AttachId attach_;
  const Arena* const arena_;
  uint64_t taken_ = 0;  // our own count: the page's copy can be scribbled
  bool scribbled_ = false;
  uint64_t commands_dropped_ = 0;
  Round delivered_round_{};
  std::vector<bool> delivered_;              // by segment, of delivered_round_
  std::vector<MixedSegmentResult> results_;  // by segment; reused by every Mixed
};

}  // namespace weightmesh
