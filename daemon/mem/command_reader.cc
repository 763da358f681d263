// Validation of everything that the trainer writes into the control page.
#include "daemon/mem/command_reader.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "daemon/core/check.h"

namespace weightmesh {

using control_page::Command;
using control_page::CommandKind;
using control_page::ControlPage;
using control_page::kCommandsMax;

namespace {

// Copies `shared` once: what is checked afterwards is what is used, whatever the trainer writes
// meanwhile. The fence keeps the compiler from reading the original a second time.
template <typename T>
T CopyOnce(const T& shared) {
  T copy;
  std::memcpy(&copy, &shared, sizeof copy);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  return copy;
}

// What the mix made of a delivered segment; CORRUPT stands for every word that says nothing else.
MixedSegmentResult Sanitise(const control_page::MixedSegment& mixed) {
  MixedSegmentResult result;
  switch (static_cast<Outcome>(mixed.outcome)) {
    case Outcome::kArrived:
    case Outcome::kRefused:
      result.outcome = static_cast<Outcome>(mixed.outcome);
      break;
    default:
      result.outcome = Outcome::kCorrupt;
  }
  const double difference = mixed.difference_squared;
  result.difference_squared = std::isfinite(difference) && difference > 0 ? difference : 0;
  return result;
}

}  // namespace

CommandReader::CommandReader(AttachId attach, const Arena* arena)
    : attach_(attach),
      arena_(arena),
      delivered_(arena->layout().segments.size()),
      results_(arena->layout().segments.size()) {}

absl::Status CommandReader::Drain(Sink sink) {
  ControlPage* const page = arena_->page();
  const uint64_t posted = page->commands_posted.load(std::memory_order_acquire);
  if (scribbled_ || posted - taken_ > kCommandsMax) {
    scribbled_ = true;
    return absl::DataLossError(absl::StrCat(
        "the trainer's count of posted commands is ", posted, " while ", taken_, " were taken and ",
        kCommandsMax,
        " fit: its control page was overwritten; look for a write out of bounds in the "
        "trainer, and attach it again"));
  }
  while (taken_ != posted) {
    const Command command = CopyOnce(page->commands[taken_ % kCommandsMax]);
    ++taken_;
    page->commands_taken.store(taken_, std::memory_order_release);
    Take(command, sink);
  }
  return absl::OkStatus();
}

void CommandReader::Take(const Command& command, Sink sink) {
  const Round round{command.round};
  if (round == kNoRound || round > kRoundMax) {
    ++commands_dropped_;
    return;
  }
  switch (static_cast<CommandKind>(command.kind)) {
    case CommandKind::kPublish:
      if (command.slot >= arena_->layout().slots) break;
      return sink(Published{attach_, round, SlotId{command.slot}});
    case CommandKind::kSkip:
      return sink(PublishSkipped{attach_, round});
    case CommandKind::kCollect:
      return sink(CollectRequested{attach_, round});
    case CommandKind::kCaughtUp:
      return sink(CaughtUp{attach_});
    case CommandKind::kAgree: {
      const double distance = std::bit_cast<double>(command.distance_bits);
      if (std::isnan(distance) || distance < 0 || command.slot > 1) break;
      return sink(AgreementWanted{attach_, round, distance, command.slot == 1});
    }
    case CommandKind::kMixed:
      ReadMixed(round);
      return sink(Mixed{attach_, round, results_});
  }
  ++commands_dropped_;
}

void CommandReader::ExpectMixed(Round round, absl::Span<const FrozenSegment> segments) {
  WEIGHTMESH_CHECK(segments.size() == delivered_.size(),
                   "a collect must have a row for each segment");
  delivered_round_ = round;
  for (size_t i = 0; i < delivered_.size(); ++i) delivered_[i] = segments[i].delivered;
}

void CommandReader::ReadMixed(Round round) {
  const absl::Span<const control_page::MixedSegment> rows = arena_->mixed();
  for (size_t i = 0; i < results_.size(); ++i) {
    const bool expected = round == delivered_round_ && delivered_[i];
    results_[i] = expected ? Sanitise(CopyOnce(rows[i])) : MixedSegmentResult{};
  }
}

std::vector<std::pair<std::string, double>> CommandReader::Scalars() const {
  const ControlPage& page = *arena_->page();
  const uint64_t count = std::min<uint64_t>(page.scalar_count.load(std::memory_order_acquire),
                                            control_page::kScalarsMax);
  std::vector<std::pair<std::string, double>> scalars;
  for (uint64_t i = 0; i < count; ++i) {
    char name[control_page::kScalarNameBytesMax];
    std::memcpy(name, page.scalars[i].name, sizeof name);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    const auto* end = static_cast<const char*>(std::memchr(name, 0, sizeof name));
    if (end == nullptr || end == name) continue;
    const bool printable = std::all_of(static_cast<const char*>(name), end, [](char c) {
      return absl::ascii_isprint(static_cast<unsigned char>(c));
    });
    if (!printable) continue;
    const uint64_t bits = page.scalars[i].value_bits.load(std::memory_order_relaxed);
    scalars.emplace_back(std::string(name, static_cast<size_t>(end - name)),
                         std::bit_cast<double>(bits));
  }
  return scalars;
}

}  // namespace weightmesh
