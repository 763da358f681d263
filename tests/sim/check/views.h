// Views: after the healing all daemons have one view of a run, and it is true.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "tests/sim/simulator.h"

namespace weightmesh::sim {

// Whether to every daemon that is up exactly the others answer that are, exactly those replicas of
// `run_id` are live whose trainers take part in it, and just they are in its view of the next
// round. A schedule other than hash_cycle keeps the dead in its view beside them, the same in all.
// Empty, or who believes what.
std::string CheckViews(Simulator& simulator, absl::string_view run_id);

}  // namespace weightmesh::sim
