// Sums over what happened.
#include "tests/sim/ledger.h"

#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "daemon/core/hash.h"

namespace weightmesh::sim {

void Ledger::Trace(absl::Span<const uint64_t> words) { trace_ = Mix64(trace_ ^ Hash64(words)); }

void Ledger::Published(absl::Time now, ReplicaId replica, Round round,
                       absl::Span<const double> values) {
  auto& rounds = published_[replica];
  rounds[round] = Snapshot{now, {values.begin(), values.end()}};
  if (rounds.size() > kPublishedKept) rounds.erase(rounds.begin());
}

bool Ledger::IsTrue(ReplicaId replica, Round round, uint32_t segment, double value) const {
  const auto rounds = published_.find(replica);
  if (rounds == published_.end()) return false;
  const auto snapshot = rounds->second.find(round);
  if (snapshot == rounds->second.end()) return round < rounds->second.begin()->first;
  const double published = snapshot->second.values[segment];
  return std::bit_cast<uint64_t>(published) == std::bit_cast<uint64_t>(value);
}

std::optional<absl::Time> Ledger::PublishedAt(ReplicaId replica,
                                              absl::FunctionRef<bool(Round)> will_do) const {
  const auto rounds = published_.find(replica);
  if (rounds == published_.end()) return std::nullopt;
  for (const auto& [round, snapshot] : rounds->second) {
    if (will_do(round)) return snapshot.published_at;
  }
  return std::nullopt;
}

void Ledger::Mixed(uint32_t trainer, Round round, absl::Span<const MixedRow> rows,
                   absl::Span<const double> values, absl::Span<const long double> unmixed) {
  RoundRecord& record = rounds_[round];
  if (record.mixes++ == 0) {
    record.values.assign(trainers_ * segments_, std::numeric_limits<double>::quiet_NaN());
    record.reads.assign(trainers_ * segments_, 0);
    record.unmixed.assign(segments_, 0);
  }
  for (uint32_t segment = 0; segment < segments_; ++segment) {
    const MixedRow& row = rows[segment];
    ++record.outcomes[static_cast<size_t>(row.outcome)];
    // To one alone no pull is due.
    if (row.outcome != Outcome::kNone) ++outcomes_[trainer][static_cast<size_t>(row.outcome)];
    if (row.outcome == Outcome::kArrived) {
      ++record.reads[row.source * segments_ + segment];
      ++staleness_[row.staleness];
    }
    record.values[trainer * segments_ + segment] = values[segment];
    record.unmixed[segment] += unmixed[segment];
    Trace({trainer, Value(round), segment, static_cast<uint64_t>(row.outcome),
           std::bit_cast<uint64_t>(values[segment])});
  }
}

double Ledger::ArrivedShare(uint32_t first, uint32_t last) const {
  uint64_t arrived = 0;
  uint64_t all = 0;
  for (uint32_t trainer = first; trainer < last; ++trainer) {
    arrived += outcomes_[trainer][static_cast<size_t>(Outcome::kArrived)];
    all = std::accumulate(outcomes_[trainer].begin(), outcomes_[trainer].end(), all);
  }
  return all == 0 ? 0 : static_cast<double>(arrived) / static_cast<double>(all);
}

uint64_t Ledger::Count(Outcome outcome) const {
  uint64_t count = 0;
  for (const OutcomeCounts& counts : outcomes_) count += counts[static_cast<size_t>(outcome)];
  return count;
}

double Ledger::ReadShare(uint32_t trainer) const {
  uint64_t read = 0;
  uint64_t published = 0;
  for (const auto& [round, record] : rounds_) {
    for (uint32_t segment = 0; segment < segments_; ++segment) {
      if (std::isnan(record.values[trainer * segments_ + segment])) continue;
      ++published;
      if (record.reads[trainer * segments_ + segment] > 0) ++read;
    }
  }
  return published == 0 ? 0 : static_cast<double>(read) / static_cast<double>(published);
}

double Ledger::Mean(const RoundRecord& record, uint32_t segment) const {
  double sum = 0;
  for (uint32_t k = 0; k < trainers_; ++k) sum += record.values[k * segments_ + segment];
  return sum / trainers_;
}

double Ledger::Spread(const RoundRecord& record, uint32_t segment) const {
  const double mean = Mean(record, segment);
  double spread = 0;
  for (uint32_t k = 0; k < trainers_; ++k) {
    const double distance = record.values[k * segments_ + segment] - mean;
    spread += distance * distance;
  }
  return spread;
}

}  // namespace weightmesh::sim
