// The phases: chaos, healing, return, end.
#include "tests/sim/chaos.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace weightmesh::sim {
namespace {

constexpr absl::Duration kStartLimit = absl::Seconds(20);
constexpr absl::Duration kDrainLimit = absl::Seconds(4);
constexpr absl::Duration kReturnLimit = absl::Seconds(30);
constexpr absl::Duration kEndLimit = absl::Seconds(60);

}  // namespace

Chaos::Chaos(uint64_t seed, Simulator* simulator)
    : simulator_(simulator),
      rng_(Hash64({seed, 4})),
      rows_used_(simulator->nodes() * simulator->options().replicas_per_node) {
  for (const Kind& kind : Kinds()) {
    if (Coin()) kinds_.push_back(kind);
  }
  if (kinds_.empty()) kinds_ = Kinds();
}

std::vector<uint32_t> Chaos::live() const {
  std::vector<uint32_t> rows;
  for (uint32_t k = 0; k < simulator_->trainers(); ++k) {
    const SimTrainer& trainer = simulator_->trainer(k);
    if (trainer.state() == TrainerState::kTraining) rows.push_back(trainer.index());
  }
  std::sort(rows.begin(), rows.end());
  return rows;
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
      kStartLimit);
  const uint32_t disturbances = 5 + OneOf(15);
  for (uint32_t k = 0; started && k < disturbances; ++k) {
    // Now and then long enough for the mesh to bury somebody.
    const uint64_t pause_ms = rng_.Below(12) == 0 ? 5000 : 300;
    simulator_->RunFor(absl::Milliseconds(rng_.Below(pause_ms)));
    Disturb();
  }
  return started;
}

void Chaos::Heal() {
  simulator_->Inject(SimFaults{});
  simulator_->Lose(0, 0);
  simulator_->Disorder(absl::Microseconds(500), 0);
  simulator_->Part(nullptr);
  blocked_.clear();
  for (uint32_t row = 0; row < simulator_->ledger().trainers(); ++row) simulator_->Slow(row, 1);
  for (uint32_t k = 0; k < simulator_->trainers(); ++k) simulator_->trainer(k).Resume();
  for (uint32_t k = 0; k < simulator_->nodes(); ++k) simulator_->node(k).Resume();
  // A daemon that is emptied takes nobody any more, so that another one has to take its place.
  if (!draining_.empty()) simulator_->RunFor(kDrainLimit);
  for (uint32_t k = 0; k < simulator_->nodes(); ++k) {
    SimNode& node = simulator_->node(k);
    if (draining_.count(k) > 0) node.Kill();
    if (!node.process().is_up()) node.Start();
  }
  draining_.clear();
}

bool Chaos::ReturnAll() {
  std::vector<const SimTrainer*> joiners;
  const uint32_t trainers = simulator_->trainers();
  for (uint32_t k = 0; k < trainers; ++k) {
    const SimTrainer& former = simulator_->trainer(k);
    if (!IsNameFree(former)) continue;
    joiners.push_back(&JoinAt(former.node().index(), &former));
    simulator_->RunFor(absl::Milliseconds(rng_.Below(100)));
  }
  return simulator_->RunUntil(
      [&] {
        return std::all_of(joiners.begin(), joiners.end(), [](const SimTrainer* trainer) {
          return trainer->state() == TrainerState::kTraining;
        });
      },
      kReturnLimit);
}

bool Chaos::Finish() {
  for (uint32_t k = 0; k < simulator_->trainers(); ++k) simulator_->trainer(k).Finish();
  return simulator_->RunToEnd(kEndLimit);
}

}  // namespace weightmesh::sim
