// letter_trainer without the mesh.
#include "deploy/demo/baselines.h"

#include "absl/strings/str_cat.h"
#include "deploy/demo/results.h"

namespace weightmesh::demo {

Baselines::Baselines(const Options& options, const std::string& work_dir)
    : options_(options), work_dir_(work_dir) {}

absl::Status Baselines::StartTrainer(const std::string& name, std::vector<std::string> arguments,
                                     const std::string& output_file) {
  Command command;
  command.name = name;
  command.arguments = std::move(arguments);
  command.arguments.insert(command.arguments.begin(), options_.letter_trainer);
  if (!options_.data.empty()) {
    command.arguments.insert(command.arguments.end(), {"--data", options_.data});
  }
  command.environment = {"OPENBLAS_NUM_THREADS=1"};
  command.log_file = File(name + ".log");
  command.output_file = output_file;
  absl::StatusOr<std::unique_ptr<ChildProcess>> child = ChildProcess::Start(command);
  if (!child.ok()) return child.status();
  children_.push_back(*std::move(child));
  return absl::OkStatus();
}

absl::Status Baselines::Start(const std::vector<std::string>& weights_files) {
  std::vector<std::string> evaluate = {"--evaluate"};
  evaluate.insert(evaluate.end(), weights_files.begin(), weights_files.end());
  absl::Status status = StartTrainer("evaluation", evaluate, File("evaluation.json"));
  if (!status.ok() || !options_.baselines) return status;
  for (const char* method : {"allreduce", "none"}) {
    status =
        StartTrainer(method,
                     {"--method", method, "--replicas", absl::StrCat(options_.nodes), "--rounds",
                      absl::StrCat(options_.rounds), "--seed", absl::StrCat(options_.seed),
                      "--result", File(absl::StrCat(method, ".json"))},
                     "");
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

bool Baselines::Running() {
  bool running = false;
  for (const auto& child : children_) running = child->IsRunning() || running;
  return running;
}

absl::Status Baselines::Collect(Report* report) {
  for (const auto& child : children_) {
    if (absl::Status status = child->Result(); !status.ok()) return status;
  }
  const absl::StatusOr<ModelScores> evaluation = ReadEvaluation(File("evaluation.json"));
  if (!evaluation.ok()) return evaluation.status();
  report->mean_model_accuracy = evaluation->mean_model;
  if (!options_.baselines) return absl::OkStatus();

  const absl::StatusOr<TrainerResult> all_reduce = ReadTrainerResult(File("allreduce.json"));
  if (!all_reduce.ok()) return all_reduce.status();
  report->all_reduce_accuracy = all_reduce->accuracy;
  AloneReport& alone = report->alone.emplace();
  if (options_.nodes == 1) {  // then the trainer writes the result of one replica
    const absl::StatusOr<TrainerResult> one = ReadTrainerResult(File("none.json"));
    if (!one.ok()) return one.status();
    alone.accuracies = {one->accuracy};
    alone.mean_model = one->accuracy;
  } else {
    const absl::StatusOr<ModelScores> all = ReadAloneResult(File("none.json"));
    if (!all.ok()) return all.status();
    alone.accuracies = all->accuracies;
    alone.mean_model = all->mean_model;
  }
  for (double accuracy : alone.accuracies) {
    alone.mean += accuracy / static_cast<double>(alone.accuracies.size());
  }
  return absl::OkStatus();
}

}  // namespace weightmesh::demo
