// Checks on a run of marked trainers that has ended.
#pragma once

#include "tests/process/trainers.h"

namespace weightmesh {

// Nothing that any replica mixed was torn or misplaced, and each segment that was mixed in a round
// is a snapshot that its replica published as that very round. `from_scheduled`: and of the replica
// that the schedule names; true when nothing was redirected. Reads results: after Result(k) of all.
void ExpectWholeSnapshots(const GossipRun& run, bool from_scheduled);

}  // namespace weightmesh
