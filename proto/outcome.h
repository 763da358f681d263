// Outcome: how a pull ended. One enum in the control page, the client, the core and the statistics.
#pragma once

#include <cstdint>

namespace weightmesh {

enum class Outcome : uint32_t {
  kNone = 0,       // no pull was due (alone in the view), or it has not ended yet
  kArrived = 1,    // whole, verified and mixed
  kLate = 2,       // not there at the deadline (lockstep) or within overlap_grace (overlap, async)
  kGone = 3,       // the source had recycled that round's slot
  kSkipped = 4,    // the source published nothing in that round
  kBusy = 5,       // a limit was reached, the source's or this daemon's own
  kDead = 6,       // the source is gone or silent, and nobody else could be asked
  kCorrupt = 7,    // a block's checksum was wrong; that block kept its own value
  kRefused = 8,    // the source's snapshot holds NaN or infinity
  kCancelled = 9,  // this replica left, or its daemon stopped, while the pull was open
};

constexpr uint32_t kOutcomeCount = 10;

constexpr const char* OutcomeName(Outcome outcome) {
  constexpr const char* kNames[kOutcomeCount] = {"NONE",    "ARRIVED",  "LATE", "GONE",
                                                 "SKIPPED", "BUSY",     "DEAD", "CORRUPT",
                                                 "REFUSED", "CANCELLED"};
  const auto index = static_cast<uint32_t>(outcome);
  return index < kOutcomeCount ? kNames[index] : "UNKNOWN";
}

}  // namespace weightmesh
