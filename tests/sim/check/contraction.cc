// Sums up how replicas come together.
#include "tests/sim/check/contraction.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"

namespace weightmesh::sim {
namespace {

// Below it rounding decides.
constexpr double kSpreadMin = 1e-8;
// Of a value that is mixed in fp32, relative to it.
constexpr double kRounding = std::numeric_limits<float>::epsilon();
constexpr double kChanceOfFalseAlarm = 1e-9;

// How much a round may increase `spread`, as a factor, by rounding alone: it moves each value by δ
// at most, and (d + δ)² ≤ d² + 2dδ + δ².
double RatioMax(const Ledger& ledger, const Ledger::RoundRecord& record,
                absl::Span<const uint32_t> rows, uint32_t segment, double spread) {
  double largest = 0;
  for (uint32_t row : rows) {
    largest = std::max(largest, std::abs(record.values[row * ledger.segments() + segment]));
  }
  const double moved = kRounding * largest / std::sqrt(spread);
  return 1 + 2 * moved + moved * moved;
}

}  // namespace

double SpreadOf(const Ledger& ledger, const Ledger::RoundRecord& record,
                absl::Span<const uint32_t> rows, uint32_t segment) {
  const double n = static_cast<double>(rows.size());
  double mean = 0;
  for (uint32_t row : rows) mean += record.values[row * ledger.segments() + segment] / n;
  double spread = 0;
  for (uint32_t row : rows) {
    const double distance = record.values[row * ledger.segments() + segment] - mean;
    spread += distance * distance / n;
  }
  return spread;
}

std::string Contraction::Add(const Ledger& ledger, absl::Span<const uint32_t> rows, Round first,
                             Round last, bool is_random) {
  const double n = static_cast<double>(rows.size());
  const double law = n < 2 ? 0 : (n - 2) / (2 * (n - 1));
  for (Round round = first; round < last; round = Next(round)) {
    const Ledger::RoundRecord& before = ledger.rounds().at(round);
    const Ledger::RoundRecord& after = ledger.rounds().at(Next(round));
    for (uint32_t segment = 0; segment < ledger.segments(); ++segment) {
      const double spread = SpreadOf(ledger, before, rows, segment);
      if (spread < kSpreadMin) continue;
      const double ratio = SpreadOf(ledger, after, rows, segment) / spread;
      if (!(ratio <= RatioMax(ledger, before, rows, segment, spread))) {
        return absl::StrCat("the replicas drift apart: by ", ratio, " in round ",
                            Value(Next(round)), ", segment ", segment);
      }
      if (!is_random) continue;
      ++ratios_;
      excess_ += ratio - law;
    }
  }
  return "";
}

std::string Contraction::Check() const {
  if (ratios_ == 0) return "";
  const double count = static_cast<double>(ratios_);
  const double bound = std::sqrt(std::log(2 / kChanceOfFalseAlarm) / (2 * count));
  const double off = excess_ / count;
  if (std::abs(off) <= bound) return "";
  return absl::StrCat("the mean ratio of ", ratios_, " rounds is off the law by ", off,
                      ", more than ", bound);
}

}  // namespace weightmesh::sim
