// OneReader: once views agree, each live replica is read exactly once in each round and segment.
#pragma once

#include <cstdint>
#include <string>

#include "absl/types/span.h"
#include "tests/sim/ledger.h"

namespace weightmesh::sim {

// Of lockstep and hash_cycle, where no fault is injected: in all rounds from `first` to `last` the
// trainers of `rows`, and nobody else, mix and are read, and every pull arrives. Empty, or what is
// wrong.
std::string CheckOneReader(const Ledger& ledger, absl::Span<const uint32_t> rows, Round first,
                           Round last);

// The same of any other schedule, of rounds of which the dead are still part. A redirect around
// them may lead back to the reader, whose pull ends as DEAD; or to somebody who is read already and
// keeps no slot for a second reader, whose pull ends as GONE if it comes late. That one then goes
// on where the others are: of a round, up to half of `rows` may be missing.
std::string CheckAroundTheDead(const Ledger& ledger, absl::Span<const uint32_t> rows, Round first,
                               Round last);

}  // namespace weightmesh::sim
