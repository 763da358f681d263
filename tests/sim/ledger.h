// Ledger: what happened in a simulation: every mix, who was read, and each broken promise.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "daemon/core/ids.h"
#include "daemon/core/statistics.h"
#include "proto/outcome.h"

namespace weightmesh::sim {

// What a trainer's mix made of one segment.
struct MixedRow {
  Outcome outcome = Outcome::kNone;
  uint32_t source = 0;     // index of the trainer that was read, when kArrived
  uint64_t staleness = 0;  // by so many rounds its snapshot was older, when kArrived
};

class Ledger {
 public:
  Ledger(uint32_t trainers, uint32_t segments)
      : trainers_(trainers), segments_(segments), outcomes_(trainers) {}

  // A promise of the core, or a rule of the simulation, was broken. The first are kept as text.
  void Violate(std::string what) {
    if (++violation_count_ <= kViolationsKept) violations_.push_back(std::move(what));
  }
  const std::vector<std::string>& violations() const { return violations_; }

  // Rows of trainers, and segments.
  uint32_t trainers() const { return trainers_; }
  uint32_t segments() const { return segments_; }

  // Everything that decides goes in; equal simulations end with equal hashes.
  void Trace(absl::Span<const uint64_t> words);
  uint64_t trace() const { return trace_; }

  // `replica` has published `values` as `round`, one for each segment.
  void Published(absl::Time now, ReplicaId replica, Round round, absl::Span<const double> values);
  // When it published the first round that `will_do`; nothing: none, or it is long past.
  std::optional<absl::Time> PublishedAt(ReplicaId replica,
                                        absl::FunctionRef<bool(Round)> will_do) const;
  // Whether that is what it published. Rounds that are long past are taken on trust.
  bool IsTrue(ReplicaId replica, Round round, uint32_t segment, double value) const;

  // Trainer `trainer` holds `values` after its mix of `round`; `unmixed` is what it would hold
  // without any mix: its initial weights and all its updates.
  void Mixed(uint32_t trainer, Round round, absl::Span<const MixedRow> rows,
             absl::Span<const double> values, absl::Span<const long double> unmixed);

  struct RoundRecord {
    uint32_t mixes = 0;
    std::vector<double> values;        // by trainer and segment; NaN: that trainer did not mix
    std::vector<uint32_t> reads;       // ARRIVED, by trainer that was read and segment
    std::vector<long double> unmixed;  // by segment: the sum over those that mixed
    OutcomeCounts outcomes{};
  };
  // By round, those that anybody mixed.
  const std::map<Round, RoundRecord>& rounds() const { return rounds_; }
  // All outcomes of a trainer's mixes.
  const OutcomeCounts& outcomes(uint32_t trainer) const { return outcomes_[trainer]; }
  // Share of ARRIVED among the outcomes of trainers [first, last).
  double ArrivedShare(uint32_t first, uint32_t last) const;
  uint64_t Count(Outcome outcome) const;
  // Segments that arrived, by how many rounds old they were.
  const std::map<uint64_t, uint64_t>& staleness() const { return staleness_; }
  // Of the rounds that `trainer` mixed, the share of its segments that somebody else mixed.
  double ReadShare(uint32_t trainer) const;

  // Sum over trainers of |x_i - mean|² of one segment after a round. REQUIRES: all mixed it.
  double Spread(const RoundRecord& record, uint32_t segment) const;
  double Mean(const RoundRecord& record, uint32_t segment) const;

 private:
  static constexpr uint64_t kViolationsKept = 20;
  static constexpr size_t kPublishedKept = 128;  // rounds of each replica

  const uint32_t trainers_;
  const uint32_t segments_;
  uint64_t violation_count_ = 0;
  std::vector<std::string> violations_;
  uint64_t trace_ = 0;
  std::map<Round, RoundRecord> rounds_;
  struct Snapshot {
    absl::Time published_at;
    std::vector<double> values;
  };
  std::map<ReplicaId, std::map<Round, Snapshot>> published_;
  std::vector<OutcomeCounts> outcomes_;
  std::map<uint64_t, uint64_t> staleness_;
};

}  // namespace weightmesh::sim
