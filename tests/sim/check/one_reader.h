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

// The same of any other schedule: there a redirect around the dead may lead to somebody who is read
// already, or back to the reader, whose pull ends as DEAD.
std::string CheckAllRead(const Ledger& ledger, absl::Span<const uint32_t> rows, Round first,
                         Round last);

}  // namespace weightmesh::sim
