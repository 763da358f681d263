// What goes wrong in chaos, and who comes and goes.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "tests/sim/chaos.h"

namespace weightmesh::sim {
namespace {

constexpr absl::Duration kDrainDeadline = absl::Seconds(2);

}  // namespace

const std::vector<Chaos::Kind>& Chaos::Kinds() {
  static const auto* const kKinds = new std::vector<Kind>{
      {"kill or start a daemon", &Chaos::KillNode},
      {"kill a trainer", &Chaos::KillTrainer},
      {"stop or resume", &Chaos::StopOrResume},
      {"pause", &Chaos::Pause},
      {"block calls", &Chaos::Block},
      {"split", &Chaos::Split},
      {"faults", &Chaos::Fault},
      {"disorder", &Chaos::Disorder},
      {"slow", &Chaos::Slow},
      {"a clock jumps", &Chaos::JumpClock},
      {"join", &Chaos::Join},
      {"leave", &Chaos::Leave},
      {"drain", &Chaos::Drain},
      {"a wave of joins", &Chaos::WaveOfJoins},
      {"a wave of drains", &Chaos::WaveOfDrains},
  };
  return *kKinds;
}

void Chaos::Disturb() {
  const Kind& kind = kinds_[rng_.Below(kinds_.size())];
  absl::StrAppend(&history_, absl::FormatDuration(simulator_->elapsed()), " ", kind.name, "; ");
  (this->*kind.disturb)();
}

bool Chaos::IsStaying(const SimTrainer& trainer) const {
  return trainer.state() == TrainerState::kTraining && !trainer.is_to_finish() &&
         draining_.count(trainer.node().index()) == 0;
}

uint32_t Chaos::Staying(const SimNode* but) const {
  uint32_t count = 0;
  for (uint32_t k = 0; k < simulator_->trainers(); ++k) {
    const SimTrainer& trainer = simulator_->trainer(k);
    count += IsStaying(trainer) && &trainer.node() != but;
  }
  return count;
}

// --- faults ---

void Chaos::KillNode() {
  SimNode& node = AnyNode();
  if (!node.process().is_up()) return node.Start();
  if (Staying(&node) < 2) return;
  node.Kill();
  draining_.erase(node.index());
}

void Chaos::KillTrainer() {
  SimTrainer& trainer = AnyTrainer();
  if (Staying(nullptr) > 2 || !IsStaying(trainer)) trainer.Kill();
}

void Chaos::StopOrResume() {
  SimNode& node = AnyNode();
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

// Short enough that nobody should hold it against the daemon.
void Chaos::Pause() {
  SimNode& node = AnyNode();
  node.Stop();
  simulator_->RunFor(absl::Milliseconds(rng_.Below(200)));
  node.Resume();
}

// Calls between two nodes do not pass, in one direction or both; the data links stay.
void Chaos::Block() {
  const uint32_t a = OneOf(simulator_->nodes());
  const uint32_t b = OneOf(simulator_->nodes());
  blocked_.insert({a, b});
  if (Coin()) blocked_.insert({b, a});
  simulator_->control().Block([this](uint32_t from, uint32_t to) {
    return blocked_.count({from, to}) > 0;
  });
}

// Nothing at all passes between some nodes and the others, until the next split or the healing.
void Chaos::Split() {
  std::set<uint32_t> side;
  for (uint32_t k = 0; k < simulator_->nodes(); ++k) {
    if (Coin()) side.insert(k);
  }
  simulator_->Part([this, side](uint32_t from, uint32_t to) {
    return (side.count(from) > 0) != (side.count(to) > 0) || blocked_.count({from, to}) > 0;
  });
}

void Chaos::Fault() {
  SimFaults faults;
  for (struct Fault* one : {&faults.delay, &faults.duplicate, &faults.fail, &faults.no_room,
                            &faults.corrupt, &faults.tear, &faults.stop}) {
    if (Coin()) one->rate = 0.1 * rng_.Unit();
  }
  faults.stop.rate /= 10;  // each costs two deadlines
  simulator_->Inject(faults);
  simulator_->Lose(0.05 * rng_.Unit(), 0.2 * rng_.Unit());
}

void Chaos::Disorder() {
  simulator_->Disorder(absl::Milliseconds(rng_.Below(200)), 0.3 * rng_.Unit());
}

void Chaos::Slow() {
  simulator_->Slow(OneOf(simulator_->ledger().trainers()), 1 + 7 * rng_.Unit());
}

void Chaos::JumpClock() {
  AnyNode().JumpClock(absl::Milliseconds(rng_.Below(Coin() ? 300 : 20000)));
}

// --- who comes and goes ---

bool Chaos::IsNameFree(const SimTrainer& trainer) const {
  for (uint32_t k = 0; k < simulator_->trainers(); ++k) {
    const SimTrainer& other = simulator_->trainer(k);
    if (other.replica() == trainer.replica() && !other.IsDone()) return false;
  }
  // Of those that have had the name, the last one speaks for all.
  for (uint32_t k = simulator_->trainers(); k-- > 0;) {
    const SimTrainer& other = simulator_->trainer(k);
    if (other.replica() == trainer.replica()) return &other == &trainer;
  }
  return false;
}

SimTrainer& Chaos::JoinAt(uint32_t node, const SimTrainer* former) {
  const uint32_t row = former != nullptr ? former->index() : rows_used_++;
  SimTrainer& trainer = simulator_->AddTrainer(node, row, [&](TrainerOptions* options) {
    if (former != nullptr) options->name = former->name();
    options->joins = true;
    options->start_timeout = absl::Seconds(10);
  });
  trainer.Start();
  return trainer;
}

// Under a name that has ended, or a new one.
void Chaos::Join() {
  const uint32_t node = OneOf(simulator_->nodes());
  const SimTrainer& former = AnyTrainer();
  if (!simulator_->node(node).process().is_up()) return;
  if (IsNameFree(former)) {
    JoinAt(node, &former);
  } else if (rows_used_ < simulator_->ledger().trainers()) {
    JoinAt(node, nullptr);
  }
}

void Chaos::Leave() {
  SimTrainer& trainer = AnyTrainer();
  if (Staying(nullptr) > 2 && IsStaying(trainer)) trainer.Finish();
}

void Chaos::DrainNode(SimNode& node, bool ends) {
  if (!node.process().is_up() || Staying(&node) < 2) return;
  draining_.insert(node.index());
  node.Drain(kDrainDeadline, ends);
}

void Chaos::Drain() { DrainNode(AnyNode(), Coin()); }

void Chaos::WaveOfJoins() {
  for (uint32_t k = 0; k < 4; ++k) Join();
}

void Chaos::WaveOfDrains() {
  for (uint32_t k = 0; k < 3; ++k) Drain();
}

}  // namespace weightmesh::sim
