// Starting trainers and reading their results.
#include "tests/process/trainers.h"

#include <fstream>
#include <utility>

namespace weightmesh {

std::string ReplicaName(int replica) { return "replica-" + std::to_string(replica); }

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
  const auto flag = [](const std::string& name, uint64_t value) {
    return "--" + name + "=" + std::to_string(value);
  };
  for (int k = 0; k < options_.replicas; ++k) {
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
        flag("step-ms", options_.step_ms.empty() ? 0 : options_.step_ms[k]),
    };
    if (options_.paced) arguments.push_back("--paced");
    trainers_.push_back(std::make_unique<Child>(
        std::move(arguments), mesh_->Folder() + "/" + options_.run_id + "-trainers.log"));
  }
}

std::string GossipRun::ResultFile(int k) const {
  return mesh_->Folder() + "/" + options_.run_id + "-" + std::to_string(k);
}

void GossipRun::Stop() {
  for (auto& trainer : trainers_) trainer->HangUp();
}

TrainerResult GossipRun::Result(int k, absl::Duration limit) {
  TrainerResult result;
  result.exit_code = trainers_[k]->Wait(limit);
  std::ifstream file(ResultFile(k));
  file >> result.steps >> result.alone >> result.skipped >> result.wait_seconds_max;
  for (uint64_t& count : result.pulls) file >> count;
  std::ifstream weights(ResultFile(k) + ".weights", std::ios::binary);
  result.weights.resize(options_.parameters);
  weights.read(reinterpret_cast<char*>(result.weights.data()),
               static_cast<std::streamsize>(options_.parameters * sizeof(float)));
  if (!weights) result.weights.clear();
  return result;
}

v1::ReplicaStats GossipRun::Stats(int k) const {
  const v1::Stats stats = mesh_->Stats(k % mesh_->size(), options_.run_id);
  for (const v1::ReplicaStats& replica : stats.replicas()) {
    if (replica.name() == ReplicaName(k)) return replica;
  }
  return {};
}

}  // namespace weightmesh
