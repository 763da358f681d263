// LocalHealth: how far a node may trust its own eyes; Lifeguard's local health multiplier.
#pragma once

#include <algorithm>
#include <cstdint>

namespace weightmesh::swim {

// A score in [0, max): 0 is healthy. Lifeguard section III.A counts one up for a probe that failed,
// for each nack that should have come and did not, and for a suspicion of oneself that had to be
// refuted; and one down for a probe that was answered.
class LocalHealth {
 public:
  // REQUIRES: max >= 1; 1 keeps the score at 0.
  explicit LocalHealth(uint32_t max) : max_(max) {}

  void ProbeAnswered() { score_ -= score_ > 0 ? 1 : 0; }
  // `nacks_missed`: indirect probers that said nothing at all.
  void ProbeFailed(uint32_t nacks_missed) { Raise(1 + nacks_missed); }
  void Refuted() { Raise(1); }
  // Beyond the paper: this process itself was not served for a while.
  void Stalled() { Raise(1); }

  uint32_t score() const { return score_; }

 private:
  void Raise(uint32_t by) { score_ = std::min(score_ + by, max_ - 1); }

  const uint32_t max_;
  uint32_t score_ = 0;
};

}  // namespace weightmesh::swim
