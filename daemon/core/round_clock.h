// RoundClock: the median length of a replica's recent rounds; core thread.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include "absl/time/time.h"

namespace weightmesh {

class RoundClock {
 public:
  // Rounds that the median is taken over.
  static constexpr size_t kRoundsMeasured = 32;

  void Add(absl::Duration length) { lengths_[count_++ % kRoundsMeasured] = length; }

  // Zero before the first round has been measured.
  absl::Duration Median() const {
    const size_t size = std::min(count_, kRoundsMeasured);
    if (size == 0) return absl::ZeroDuration();
    auto sorted = lengths_;
    std::nth_element(sorted.begin(), sorted.begin() + size / 2, sorted.begin() + size);
    return sorted[size / 2];
  }

 private:
  std::array<absl::Duration, kRoundsMeasured> lengths_{};
  size_t count_ = 0;
};

}  // namespace weightmesh
