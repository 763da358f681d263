// What goes wrong, and when.
#include "tests/sim/chaos.h"

#include <algorithm>
#include <limits>

namespace weightmesh::sim {

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
  return options;
}

Chaos::Chaos(uint64_t seed, Simulator* simulator)
    : simulator_(simulator), rng_(Hash64({seed, 4})) {}

uint32_t Chaos::live() const {
  uint32_t count = 0;
  for (uint32_t k = 0; k < simulator_->trainers(); ++k) count += !simulator_->trainer(k).IsDone();
  return count;
}

bool Chaos::Run() {
  simulator_->StartAll();
  const bool started = simulator_->RunUntil(
      [&] {
        for (uint32_t k = 0; k < simulator_->trainers(); ++k) {
          if (simulator_->trainer(k).state() != TrainerState::kTraining) return false;
        }
        return true;
      },
      absl::Seconds(20));
  const uint32_t disturbances = 3 + OneOf(12);
  for (uint32_t k = 0; started && k < disturbances; ++k) {
    simulator_->RunFor(absl::Milliseconds(rng_.Below(300)));
    Disturb();
  }
  return started;
}

void Chaos::Disturb() {
  switch (rng_.Below(8)) {
    case 0:
      return KillNode();
    case 1:
      return KillTrainer();
    case 2:
    case 3:
      return StopOrResume();
    case 4:
      return Partition();
    default:
      return Fault();
  }
}

void Chaos::KillNode() {
  SimNode& node = simulator_->node(OneOf(simulator_->nodes()));
  if (!node.process().is_up()) return node.Start();
  uint32_t others = 0;
  for (uint32_t k = 0; k < simulator_->trainers(); ++k) {
    const SimTrainer& trainer = simulator_->trainer(k);
    others += !trainer.IsDone() && &trainer.node() != &node;
  }
  if (others >= 2) node.Kill();
}

void Chaos::KillTrainer() {
  if (live() > 2) AnyTrainer().Kill();
}

void Chaos::StopOrResume() {
  SimNode& node = simulator_->node(OneOf(simulator_->nodes()));
  SimTrainer& trainer = AnyTrainer();
  switch (rng_.Below(4)) {
    case 0:
      return node.Stop();
    case 1:
      return node.Resume();
    case 2:
      return trainer.Stop();
    default:
      return trainer.Resume();
  }
}

// Calls between two nodes do not pass, in one direction or both; the data links stay.
void Chaos::Partition() {
  const uint32_t a = OneOf(simulator_->nodes());
  const uint32_t b = OneOf(simulator_->nodes());
  blocked_.insert({a, b});
  if (rng_.Below(2) == 0) blocked_.insert({b, a});
  simulator_->control().Block([this](uint32_t from, uint32_t to) {
    return blocked_.count({from, to}) > 0;
  });
}

void Chaos::Fault() {
  SimFaults faults;
  for (struct Fault* one : {&faults.delay, &faults.duplicate, &faults.fail, &faults.no_room,
                            &faults.corrupt, &faults.tear, &faults.stop}) {
    if (rng_.Below(2) == 0) one->rate = 0.1 * rng_.Unit();
  }
  faults.stop.rate /= 10;  // each costs two deadlines
  simulator_->Inject(faults);
  simulator_->Lose(0.05 * rng_.Unit(), 0.2 * rng_.Unit());
}

void Chaos::Heal() {
  simulator_->Inject(SimFaults{});
  simulator_->Lose(0, 0);
  blocked_.clear();
  for (uint32_t k = 0; k < simulator_->nodes(); ++k) {
    SimNode& node = simulator_->node(k);
    node.process().is_up() ? node.Resume() : node.Start();
  }
  for (uint32_t k = 0; k < simulator_->trainers(); ++k) simulator_->trainer(k).Resume();
}

bool Chaos::Finish() {
  for (uint32_t k = 0; k < simulator_->trainers(); ++k) simulator_->trainer(k).Finish();
  return simulator_->RunToEnd(absl::Seconds(60));
}

}  // namespace weightmesh::sim
