// Hull: weights stay in the convex hull of what the replicas began with.
#pragma once

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "tests/sim/ledger.h"

namespace weightmesh::sim {

class Hull {
 public:
  // One replica's weights at its beginning, one for each segment.
  void Add(absl::Span<const double> weights);

  // Exactly, without a tolerance: own and peer are representable, own + fl(peer − own) / 2 lies
  // between them but for its last rounding, and rounding to nearest keeps an order. Empty, or which
  // value is out of it. REQUIRES: no updates beside the mixes.
  std::string Check(const Ledger& ledger) const;

 private:
  std::vector<double> low_;  // by segment
  std::vector<double> high_;
};

}  // namespace weightmesh::sim
