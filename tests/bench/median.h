// Median of measured values, and Best of times.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace weightmesh::bench {

// REQUIRES: !values.empty(). The upper one of the two in the middle.
inline double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// For what a neighbour on the machine slows down, and nothing speeds up. REQUIRES: as above.
inline double Best(const std::vector<double>& seconds) {
  return *std::min_element(seconds.begin(), seconds.end());
}

}  // namespace weightmesh::bench
