// Views: after the healing all daemons have one view of a run, and it is true.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "tests/sim/simulator.h"

namespace weightmesh::sim {

// Whether every daemon that is up has the same view of `run_id`, names exactly those replicas as
// live whose trainers take part in it, and answers to every other one. Empty, or who believes what.
// A schedule other than hash_cycle keeps the dead in its view.
std::string CheckViews(Simulator& simulator, absl::string_view run_id);

}  // namespace weightmesh::sim
