// The least and the greatest of all replicas, by segment.
#include "tests/sim/check/hull.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"

namespace weightmesh::sim {

void Hull::Add(absl::Span<const double> weights) {
  low_.resize(weights.size(), INFINITY);
  high_.resize(weights.size(), -INFINITY);
  for (size_t k = 0; k < weights.size(); ++k) {
    low_[k] = std::min(low_[k], weights[k]);
    high_[k] = std::max(high_[k], weights[k]);
  }
}

std::string Hull::Check(const Ledger& ledger) const {
  const size_t segments = low_.size();
  for (const auto& [round, record] : ledger.rounds()) {
    for (size_t k = 0; k < record.values.size(); ++k) {
      const double value = record.values[k];
      if (std::isnan(value)) continue;  // did not mix
      if (value >= low_[k % segments] && value <= high_[k % segments]) continue;
      return absl::StrCat("round ", Value(round), ": ", value, " of replica ", k / segments,
                          " is not within ", low_[k % segments], " and ", high_[k % segments]);
    }
  }
  return "";
}

}  // namespace weightmesh::sim
