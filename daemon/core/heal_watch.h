// HealWatch: what happens to the consensus distance of a run when replicas that were held for dead
// are back, as after a partition in which both halves have trained on. Core thread.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "absl/time/time.h"

namespace weightmesh {

class Run;

// Whose return was watched, and the estimates of the consensus distance around it.
struct Heal {
  std::set<uint32_t> back;  // numbers of the roster
  double before = 0;        // a moving mean, before they were back
  double highest = 0;       // of the first rounds with something of them
  uint64_t rounds = 0;      // those rounds
};

class HealWatch {
 public:
  // Replica `number` of the roster is back. Those that come within a short time are one heal.
  void Returned(absl::Time now, uint32_t number);
  // It is gone again.
  void Gone(uint32_t number) { heal_.back.erase(number); }
  // Whether mixing something of replica `number` is worth telling.
  bool Awaits(uint32_t number) const { return heal_.back.contains(number); }

  // A local replica has mixed a round, `with_returned`: something of one that is awaited.
  // `distance` is its estimate. What has come of the heal, once.
  std::optional<Heal> Mixed(absl::Time now, bool with_returned, double distance);

 private:
  Heal heal_;
  absl::Time returned_at_ = absl::InfinitePast();  // the last of them
  double distance_ = 0;                            // a moving mean of the estimates; 0: none
};

// One line for people; empty when nobody of `heal` takes part any more.
std::string DescribeHeal(const Run& run, const Heal& heal);

}  // namespace weightmesh
