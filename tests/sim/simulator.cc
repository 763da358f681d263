// Puts the simulated world together and audits it.
#include "tests/sim/simulator.h"

#include <algorithm>
#include <map>
#include <numeric>

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

Simulator::Simulator(SimOptions options) {
  const uint32_t trainers = options.nodes * options.replicas_per_node;
  world_ = std::make_unique<World>(Complete(std::move(options)), trainers);
  data_ = std::make_unique<DataPlane>(world_.get());
  control_ = std::make_unique<ControlPlane>(world_.get(), data_.get());
  for (uint32_t index = 0; index < world_->options.nodes; ++index) {
    nodes_.push_back(std::make_unique<SimNode>(index, world_.get(), data_.get(), control_.get()));
    world_->nodes.push_back(nodes_.back().get());
  }
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
  for (auto& node : nodes_) node->Start();
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

// What a trainer's core counted against what the trainer itself has seen.
std::string Simulator::AuditOutcomes(uint32_t index, const ReplicaStatistics& statistics) const {
  const SimTrainer& trainer = *trainers_[index];
  if (statistics.sources.size() < 2) return "";  // alone, or never started
  const uint64_t outcomes =
      std::accumulate(statistics.pulls.begin(), statistics.pulls.end(), uint64_t{0});
  const uint64_t pulls = statistics.segments_published;  // none are due to one alone
  if (outcomes != pulls) {
    return absl::StrCat("trainer ", index, " had ", pulls, " pulls and ", outcomes, " outcomes");
  }
  const bool shares_its_row =
      trainers_.size() > world_->options.nodes * world_->options.replicas_per_node;
  if (trainer.state() != TrainerState::kLeft || shares_its_row) return "";
  // Rounds that it did not mix are LATE or CANCELLED, or failed before.
  const OutcomeCounts& seen = world_->ledger.outcomes(trainer.index());
  for (size_t k = 0; k < seen.size(); ++k) {
    const bool exact = k == static_cast<size_t>(Outcome::kArrived) ||
                       k == static_cast<size_t>(Outcome::kCorrupt) ||
                       k == static_cast<size_t>(Outcome::kRefused);
    if (exact ? statistics.pulls[k] != seen[k] : statistics.pulls[k] < seen[k]) {
      return absl::StrCat("trainer ", index, " saw ", seen[k], " pulls end as ",
                          OutcomeName(static_cast<Outcome>(k)), ", its core counted ",
                          statistics.pulls[k]);
    }
  }
  return "";
}

std::string Simulator::Audit() const {
  std::vector<std::string> wrong = world_->ledger.violations();
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
      std::string differs = AuditOutcomes(k, statistics[trainer.attach()]);
      if (!differs.empty()) wrong.push_back(std::move(differs));
    }
  }
  if (all_over && data_->open_transfers() > 0) {
    wrong.push_back(absl::StrCat(data_->open_transfers(), " transfers never ended"));
  }
  if (wrong.empty()) return "";
  return absl::StrCat("seed ", world_->options.seed, ": ", absl::StrJoin(wrong, "; "));
}

}  // namespace weightmesh::sim
