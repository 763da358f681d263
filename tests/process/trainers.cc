// Starting trainers and reading their results.
#include "tests/process/trainers.h"

#include <filesystem>
#include <fstream>
#include <utility>

#include "tests/process/gossip_model.h"

namespace weightmesh {
namespace {

// A binary file of rows; empty when there is none.
template <typename Row>
std::vector<Row> ReadRows(const std::string& path) {
  std::error_code none;
  const uintmax_t bytes = std::filesystem::file_size(path, none);
  if (none) return {};
  std::vector<Row> rows(bytes / sizeof(Row));
  std::ifstream(path, std::ios::binary)
      .read(reinterpret_cast<char*>(rows.data()),
            static_cast<std::streamsize>(rows.size() * sizeof(Row)));
  return rows;
}

}  // namespace

std::string ReplicaName(int replica) { return "replica-" + std::to_string(replica); }

std::vector<std::vector<float>> StartWeights(const GossipOptions& options) {
  std::vector<std::vector<float>> weights;
  for (int k = 0; k < options.replicas; ++k) {
    weights.push_back(options.own_start
                          ? OwnInitialWeights(options.update_seed, k, options.parameters)
                          : InitialWeights(options.update_seed, options.parameters));
  }
  return weights;
}

std::string TrainerResult::DescribePulls() const {
  std::string text;
  for (uint32_t k = 0; k < kOutcomeCount; ++k) {
    if (pulls[k] == 0) continue;
    if (!text.empty()) text += " ";
    text += OutcomeName(Outcome{k});
    text += " ";
    text += std::to_string(pulls[k]);
  }
  return text;
}

GossipRun::GossipRun(Mesh* mesh, GossipOptions options)
    : mesh_(mesh), options_(std::move(options)) {
  for (int k = 0; k < options_.replicas; ++k) Start(k, Arguments(k));
}

void GossipRun::Join(int k) {
  std::vector<std::string> arguments = Arguments(k);
  arguments.push_back("--join");
  Start(k, std::move(arguments));
}

void GossipRun::Start(int k, std::vector<std::string> arguments) {
  if (static_cast<size_t>(k) >= trainers_.size()) trainers_.resize(k + 1);
  trainers_[k] = std::make_unique<Child>(std::move(arguments),
                                         mesh_->Folder() + "/" + options_.run_id + "-trainers.log");
}

std::vector<std::string> GossipRun::Arguments(int k) const {
  const auto flag = [](const std::string& name, uint64_t value) {
    return "--" + name + "=" + std::to_string(value);
  };
  std::vector<std::string> arguments = {
      GOSSIP_TRAINER,
      "--socket=" + mesh_->socket(k % mesh_->size()),
      "--run-id=" + options_.run_id,
      "--name=" + ReplicaName(k),
      "--result=" + ResultFile(k),
      flag("replica", k),
      flag("replicas", options_.replicas),
      flag("segments", options_.segments),
      flag("schedule", static_cast<uint64_t>(options_.schedule)),
      flag("wire", static_cast<uint64_t>(options_.wire)),
      flag("mode", static_cast<uint64_t>(options_.mode)),
      flag("seed", options_.seed),
      flag("update-seed", options_.update_seed),
      flag("deadline-ms", options_.deadline_ms),
      flag("start-timeout-ms", 60000),
      flag("parameters", options_.parameters),
      flag("steps", options_.steps),
      flag("stall-ms", options_.stall_ms),
      flag("step-ms", options_.step_ms.empty() ? 0 : options_.step_ms[k % options_.step_ms.size()]),
      flag("slots", options_.slots),
      flag("staleness-rounds-max", options_.staleness_rounds_max),
      flag("poison-step", k == options_.poisoned ? options_.poison_step : 0),
      "--alpha=" + std::to_string(options_.alpha),
      "--learning=" + std::to_string(options_.learning),
  };
  if (options_.paced) arguments.push_back("--paced");
  if (options_.own_start) arguments.push_back("--own-start");
  if (options_.trace) arguments.push_back("--trace");
  if (options_.delays) arguments.push_back("--delays");
  if (options_.marked) arguments.push_back("--marked");
  if (options_.consensus >= 0) {
    arguments.push_back("--consensus=" + std::to_string(options_.consensus));
    arguments.push_back(flag("consensus-timeout-ms", options_.consensus_timeout_ms));
  }
  return arguments;
}

std::string GossipRun::ResultFile(int k) const {
  return mesh_->Folder() + "/" + options_.run_id + "-" + std::to_string(k);
}

void GossipRun::Stop() {
  for (auto& trainer : trainers_) trainer->HangUp();
}

bool GossipRun::StepTogether(uint64_t step, absl::Duration limit) {
  for (auto& trainer : trainers_) {
    if (!trainer->Tell('g')) return false;
  }
  for (auto& trainer : trainers_) {
    if (trainer->Hear(limit) != 's') return false;
  }
  for (int k = 0; k < options_.replicas; ++k) {
    const auto landed = [&] { return Stats(k).pull_time_us().count() == step * options_.segments; };
    if (!Mesh::Await(landed, limit)) return false;
  }
  return true;
}

TrainerResult GossipRun::Result(int k, absl::Duration limit) {
  TrainerResult result;
  result.exit_code = trainers_[k]->Wait(limit);
  std::ifstream file(ResultFile(k));
  file >> result.steps >> result.alone >> result.skipped >> result.due >> result.wait_seconds_max;
  for (uint64_t& count : result.pulls) file >> count;
  file >> result.drained >> result.agreed >> result.agreement_rounds >> result.last_round >>
      result.consensus_distance >> result.late >> result.blob;
  result.weights = ReadRows<float>(ResultFile(k) + ".weights");
  if (result.weights.size() != options_.parameters) result.weights.clear();
  return result;
}

std::vector<std::vector<float>> GossipRun::Trace(int k) const {
  const std::vector<float> all = ReadRows<float>(ResultFile(k) + ".trace");
  std::vector<std::vector<float>> steps;
  for (size_t at = 0; at + options_.parameters <= all.size(); at += options_.parameters) {
    steps.emplace_back(all.begin() + at, all.begin() + at + options_.parameters);
  }
  return steps;
}

MarkResult GossipRun::Marks(int k) const {
  MarkResult result;
  std::ifstream(ResultFile(k) + ".marks") >> result.torn >> result.misplaced >> result.miscounted;
  result.rounds = ReadRows<uint64_t>(ResultFile(k) + ".rounds");
  result.records = ReadRows<MarkRecord>(ResultFile(k) + ".records");
  return result;
}

std::vector<RoundDelay> GossipRun::Delays(int k) const {
  return ReadRows<RoundDelay>(ResultFile(k) + ".delays");
}

v1::ReplicaStats GossipRun::Stats(int k) const {
  const v1::Stats stats = mesh_->Stats(k % mesh_->size(), options_.run_id);
  for (const v1::ReplicaStats& replica : stats.replicas()) {
    if (replica.name() == ReplicaName(k)) return replica;
  }
  return {};
}

}  // namespace weightmesh
