// Puts the simulated world together and audits it.
#include "tests/sim/simulator.h"

#include <algorithm>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace weightmesh::sim {
namespace {

SimOptions Complete(SimOptions options) {
  if (options.run.replicas_min == 0) {
    options.run.replicas_min = options.nodes * options.replicas_per_node;
  }
  return options;
}

}  // namespace

Simulator::Simulator(SimOptions options)
    : world_(std::make_unique<World>(
          Complete(options), options.nodes * options.replicas_per_node + options.spare_rows)),
      leased_slots_(&world_->ledger),
      pulls_end_once_(&world_->ledger),
      limits_({options.segments, options.sends_per_peer_max}, &world_->ledger),
      waits_(&world_->ledger) {
  for (Observer* check :
       std::initializer_list<Observer*>{&leased_slots_, &pulls_end_once_, &limits_, &waits_}) {
    Watch(check);
  }
  data_ = std::make_unique<DataPlane>(world_.get());
  control_ = std::make_unique<ControlPlane>(world_.get(), data_.get());
  for (uint32_t index = 0; index < world_->options.nodes; ++index) {
    nodes_.push_back(std::make_unique<SimNode>(index, world_.get(), data_.get(), control_.get()));
    world_->nodes.push_back(nodes_.back().get());
  }
  const uint32_t trainers = world_->options.nodes * world_->options.replicas_per_node;
  for (uint32_t index = 0; index < trainers; ++index) {
    AddTrainer(index / world_->options.replicas_per_node, index, nullptr);
  }
}

TrainerOptions Simulator::DefaultTrainer(uint32_t index) const {
  TrainerOptions options;
  options.name = absl::StrCat("replica ", index);
  options.founding.config = world_->options.run;
  options.founding.parameters = world_->options.segments;
  options.founding.segments = world_->options.segments;
  options.founding.schema_digest = Digest{1, 2};
  options.rounds = world_->options.rounds;
  options.start_timeout = world_->options.start_timeout;
  return options;
}

SimTrainer& Simulator::AddTrainer(uint32_t node, uint32_t ledger_row,
                                  const std::function<void(TrainerOptions*)>& change) {
  TrainerOptions options = DefaultTrainer(static_cast<uint32_t>(trainers_.size()));
  if (change) change(&options);
  trainers_.push_back(std::make_unique<SimTrainer>(ledger_row, world_.get(), nodes_[node].get(),
                                                   std::move(options)));
  world_->rows[trainers_.back()->replica()] = ledger_row;
  return *trainers_.back();
}

void Simulator::StartAll() {
  StartNodes();
  AttachAll();
}

void Simulator::StartNodes() {
  const uint32_t wave = world_->options.wave == 0 ? nodes() : world_->options.wave;
  for (uint32_t k = 0; k < nodes(); ++k) {
    if (k < wave) {
      nodes_[k]->Start();
    } else {
      world_->queue.After(k / wave * absl::Seconds(1), [node = nodes_[k].get()] { node->Start(); });
    }
  }
}

void Simulator::AttachAll() {
  for (auto& trainer : trainers_) {
    if (trainer->state() != TrainerState::kNew) continue;
    world_->queue.After(world_->Draw(absl::ZeroDuration(), world_->options.attach_spread),
                        [t = trainer.get()] { t->Start(); });
  }
}

void Simulator::Lose(double frames, double calls) {
  world_->options.frame_loss = frames;
  world_->options.control_loss = calls;
}

void Simulator::Inject(const SimFaults& faults) { world_->options.faults = faults; }

void Simulator::Disorder(absl::Duration jitter, double duplicate) {
  world_->options.control_jitter = jitter;
  world_->options.control_duplicate = duplicate;
}

void Simulator::Part(const std::function<bool(uint32_t, uint32_t)>& apart) {
  control_->Block(apart);
  for (uint32_t a = 0; apart != nullptr && a < nodes(); ++a) {
    for (uint32_t b = a + 1; b < nodes(); ++b) {
      if (apart(a, b)) data_->Hang(a, b);
    }
  }
}

void Simulator::Slow(uint32_t ledger_row, double factor) {
  std::vector<double>& slowness = world_->options.slowness;
  if (slowness.size() <= ledger_row) slowness.resize(ledger_row + 1, 1);
  slowness[ledger_row] = factor;
}

void Simulator::RunFor(absl::Duration time) {
  const absl::Time end = world_->queue.now() + time;
  while (world_->queue.RunOne(end)) {
  }
}

bool Simulator::RunUntil(const std::function<bool()>& done, absl::Duration limit) {
  const absl::Time end = world_->queue.now() + limit;
  while (!done()) {
    if (!world_->queue.RunOne(end)) return false;
  }
  return true;
}

bool Simulator::RunToEnd(absl::Duration limit) {
  RunFor(world_->options.attach_spread);
  size_t seen = 0;  // the trainers before it are over, and stay so
  const auto all_over = [&] {
    while (seen < trainers_.size() && IsOver(*trainers_[seen])) ++seen;
    return seen == trainers_.size();
  };
  return RunUntil(all_over, limit);
}

bool Simulator::IsOver(const SimTrainer& trainer) {
  if (trainer.state() == TrainerState::kNew) return true;
  return trainer.IsDone() && (!trainer.node().process().is_up() ||
                              trainer.node().FindArena(trainer.attach()) == nullptr);
}

ReplicaStatistics Simulator::StatisticsOf(uint32_t trainer) const {
  const SimTrainer& one = *trainers_[trainer];
  for (const ReplicaStatsSnapshot& snapshot : one.node().core().Stats("")) {
    if (snapshot.attach == one.attach()) return snapshot.statistics;
  }
  return {};
}

std::vector<uint64_t> Simulator::ViewDigests(absl::string_view run_id) const {
  std::vector<uint64_t> digests;
  for (const auto& node : nodes_) {
    if (!node->process().is_up()) continue;
    uint64_t digest = 0;
    for (const RunState& run : node->core().MakeSync().runs) {
      if (run.run_id == run_id) digest = run.view_digest;
    }
    digests.push_back(digest);
  }
  return digests;
}

std::string Simulator::Audit() const {
  std::vector<std::string> wrong = world_->ledger.violations();
  if (std::string late = waits_.Check(world_->queue.now()); !late.empty()) wrong.push_back(late);
  bool all_over = true;
  for (uint32_t k = 0; k < trainers_.size(); ++k) {
    const SimTrainer& trainer = *trainers_[k];
    all_over &= trainer.IsDone() && trainer.node().FindArena(trainer.attach()) == nullptr;
  }
  for (const auto& node : nodes_) {
    if (!node->process().is_up()) continue;
    std::map<AttachId, ReplicaStatistics> statistics;
    for (ReplicaStatsSnapshot& snapshot : node->core().Stats("")) {
      statistics[snapshot.attach] = std::move(snapshot.statistics);
    }
    for (uint32_t k = 0; k < trainers_.size(); ++k) {
      const SimTrainer& trainer = *trainers_[k];
      const bool over =
          trainer.state() == TrainerState::kLeft || trainer.state() == TrainerState::kDead;
      if (!over || &trainer.node() != node.get()) continue;
      const ReplicaStatistics& counted = statistics[trainer.attach()];
      if (counted.sources.size() < 2) continue;  // alone, or never started
      const bool left = trainer.state() == TrainerState::kLeft;
      std::string differs = CheckOutcomes(counted, trainer.outcomes(), left);
      if (!differs.empty()) wrong.push_back(absl::StrCat("trainer ", k, ": ", differs));
    }
  }
  if (all_over && data_->open_transfers() > 0) {
    wrong.push_back(absl::StrCat(data_->open_transfers(), " transfers never ended"));
  }
  if (wrong.empty()) return "";
  return absl::StrCat("seed ", world_->options.seed, ": ", absl::StrJoin(wrong, "; "));
}

}  // namespace weightmesh::sim
