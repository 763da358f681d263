// BestOf: the shortest time of each of several things, measured in turn.
//
// On a shared machine disturbances only add time, and come in waves: what is compared runs
// alternately, and the shortest time of each counts.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <limits>
#include <vector>

namespace weightmesh::bench {

inline double SecondsOf(const std::function<void()>& work) {
  const auto begun = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
}

// Seconds, by work. Each runs once before, unmeasured: pages are touched, threads started.
inline std::vector<double> BestOf(int tries, const std::vector<std::function<void()>>& works) {
  std::vector<double> best(works.size(), std::numeric_limits<double>::infinity());
  for (const auto& work : works) work();
  for (int k = 0; k < tries; ++k) {
    for (size_t i = 0; i < works.size(); ++i) best[i] = std::min(best[i], SecondsOf(works[i]));
  }
  return best;
}

}  // namespace weightmesh::bench
