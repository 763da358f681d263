// Contraction: where every pull arrives, the replicas come together as the law says.
#pragma once

#include <cstdint>
#include <string>

#include "absl/types/span.h"
#include "tests/sim/ledger.h"

namespace weightmesh::sim {

// Gathers ratios by which Σ|xᵢ − x̄|² shrinks in a round, over any number of meshes.
//
// A round that all of n replicas mix with α = ½ along a permutation P makes x to (x + Px)/2, whose
// spread is never greater; and where P is a random cycle or derangement, half of it on the mean but
// for the chance to meet oneself: (n − 2) / (2(n − 1)).
class Contraction {
 public:
  // The rounds from `first` to `last`, in which the trainers of `rows` all mixed, every pull
  // arrived and nobody had updates. `is_random`: the schedule is. Empty, or which spread has grown.
  std::string Add(const Ledger& ledger, absl::Span<const uint32_t> rows, Round first, Round last,
                  bool is_random);

  // Whether the mean ratio is that of the law. Each ratio is within [0, 1] and its mean, whatever
  // came before it, is the law's: by Azuma and Hoeffding the sum over N of them is off by more than
  // N·t with probability 2·exp(−2·N·t²) at most, which is held below 1e-9. Empty, or by how much.
  std::string Check() const;
  uint64_t ratios() const { return ratios_; }

 private:
  uint64_t ratios_ = 0;
  double excess_ = 0;  // sum of ratio − law
};

// (1/n)·Σ|xᵢ − x̄|² of one segment over the trainers of `rows`. REQUIRES: all mixed that round.
double SpreadOf(const Ledger& ledger, const Ledger::RoundRecord& record,
                absl::Span<const uint32_t> rows, uint32_t segment);

}  // namespace weightmesh::sim
