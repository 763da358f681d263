// Median and Best of times, in seconds, that were measured in turn with others.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace weightmesh::bench {

// REQUIRES: !seconds.empty(). The upper one of the two in the middle.
inline double Median(std::vector<double> seconds) {
  const auto middle = seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2);
  std::nth_element(seconds.begin(), middle, seconds.end());
  return *middle;
}

// For what a neighbour on the machine slows down, and nothing speeds up. REQUIRES: as above.
inline double Best(const std::vector<double>& seconds) {
  return *std::min_element(seconds.begin(), seconds.end());
}

}  // namespace weightmesh::bench
