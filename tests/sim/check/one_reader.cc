// Looks at who was read.
#include "tests/sim/check/one_reader.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proto/outcome.h"

namespace weightmesh::sim {
namespace {

std::string Describe(const OutcomeCounts& outcomes) {
  std::string text;
  for (uint32_t k = 0; k < kOutcomeCount; ++k) {
    if (outcomes[k] == 0) continue;
    absl::StrAppend(&text, text.empty() ? "" : ", ", outcomes[k], " ",
                    OutcomeName(static_cast<Outcome>(k)));
  }
  return text;
}

// Every round is there, all but `skipping` of `rows` at most mix it, and of the outcomes only those
// of `good` occur.
std::string CheckRounds(const Ledger& ledger, absl::Span<const uint32_t> rows, Round first,
                        Round last, size_t skipping, absl::Span<const Outcome> good) {
  for (Round round = first; round <= last; round = Next(round)) {
    const auto found = ledger.rounds().find(round);
    const size_t mixes = found == ledger.rounds().end() ? 0 : found->second.mixes;
    if (mixes > rows.size() || mixes + skipping < rows.size()) {
      return absl::StrCat("round ", Value(round), ": ", mixes, " of ", rows.size(), " mix it");
    }
    uint64_t count = 0;
    for (Outcome outcome : good) count += found->second.outcomes[static_cast<size_t>(outcome)];
    if (count != mixes * ledger.segments()) {
      return absl::StrCat("round ", Value(round), ": ", Describe(found->second.outcomes));
    }
  }
  return "";
}

}  // namespace

std::string CheckOneReader(const Ledger& ledger, absl::Span<const uint32_t> rows, Round first,
                           Round last) {
  const Outcome arrived[] = {rows.size() == 1 ? Outcome::kNone : Outcome::kArrived};
  if (std::string wrong = CheckRounds(ledger, rows, first, last, 0, arrived); !wrong.empty()) {
    return wrong;
  }
  const uint32_t reads = rows.size() == 1 ? 0 : 1;
  for (Round round = first; round <= last; round = Next(round)) {
    const Ledger::RoundRecord& record = ledger.rounds().find(round)->second;
    for (size_t k = 0; k < record.reads.size(); ++k) {
      const uint32_t row = static_cast<uint32_t>(k) / ledger.segments();
      const bool is_live = std::find(rows.begin(), rows.end(), row) != rows.end();
      if (record.reads[k] == (is_live ? reads : 0)) continue;
      return absl::StrCat("round ", Value(round), ", segment ", k % ledger.segments(), ": replica ",
                          row, " is read ", record.reads[k], " times");
    }
  }
  return "";
}

std::string CheckAroundTheDead(const Ledger& ledger, absl::Span<const uint32_t> rows, Round first,
                               Round last) {
  const Outcome good[] = {rows.size() == 1 ? Outcome::kNone : Outcome::kArrived, Outcome::kDead,
                          Outcome::kGone, Outcome::kSkipped};
  return CheckRounds(ledger, rows, first, last, rows.size() / 2, good);
}

}  // namespace weightmesh::sim
