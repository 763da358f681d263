// The meshes of chaos.
#include <algorithm>
#include <limits>

#include "tests/sim/chaos.h"

namespace weightmesh::sim {
namespace {

// One seed in so many is of a larger mesh.
constexpr uint32_t kLargeMeshes = 12;
constexpr uint32_t kSpareRows = 6;

}  // namespace

SimOptions Chaos::DrawOptions(uint64_t seed) {
  CounterRng rng(Hash64({seed, 3}));
  const auto between = [&](uint32_t least, uint32_t most) {
    return least + static_cast<uint32_t>(rng.Below(most - least + 1));
  };
  SimOptions options;
  options.seed = seed;
  options.nodes = between(2, 8);
  options.replicas_per_node = between(1, 3);
  options.seeds = between(1, 2);
  options.segments = between(1, 6);
  options.slots = between(2, 4);
  options.sends_per_peer_max = between(1, 4);
  options.rounds = std::numeric_limits<uint64_t>::max();
  options.spare_rows = kSpareRows;
  options.keepalive = absl::Seconds(2);
  options.run.replicas_min = 0;
  options.run.seed = seed;
  options.run.mode = between(0, 2) == 0 ? Mode::kOverlap : Mode::kLockstep;
  constexpr ScheduleKind kSchedules[] = {ScheduleKind::kHashCycle, ScheduleKind::kDerangement,
                                         ScheduleKind::kExponential};
  options.run.schedule = kSchedules[between(0, 2)];
  options.run.round_deadline = absl::Milliseconds(between(150, 600));
  options.step = absl::Milliseconds(between(2, 20));
  options.step_jitter = 0.3 * rng.Unit();
  options.stall_chance = 0.1 * rng.Unit();
  options.stall_max = absl::Milliseconds(50);
  options.single = between(0, 1) == 0;
  if (options.run.mode == Mode::kOverlap && between(0, 1) == 0) {
    options.run.mode = Mode::kAsync;
    options.run.staleness_rounds_max = between(1, 8);
  }
  if (between(1, kLargeMeshes) == 1) {
    options.nodes = between(16, 40);
    options.replicas_per_node = 1;
    options.segments = 1;
    options.step = absl::Milliseconds(100);
    // These steps take 70 to 180 ms. A replica whose source is dead waits for nobody, and so may be
    // ahead of its next source by the difference of two steps, which is no fault.
    options.run.round_deadline = std::max(options.run.round_deadline, 3 * options.step);
  }
  return options;
}

}  // namespace weightmesh::sim
