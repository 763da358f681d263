// letter_trainer: trains on UCI Letter as one replica of a mesh, or without one to compare. Start
// with TrainOnMesh in training.cc to see how a trainer uses weightmesh.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <iostream>
#include <numeric>
#include <stdexcept>

#include "client/examples/json.h"
#include "client/examples/options.h"
#include "client/examples/training.h"
#include "client/examples/weights_file.h"

namespace letter {
namespace {

constexpr int kExitFailed = 1;
constexpr int kExitNothingToJoin = 3;

// By weightmesh_outcome.
constexpr std::array<const char*, WEIGHTMESH_OUTCOME_COUNT> kOutcomeNames = {
    "NONE", "ARRIVED", "LATE",    "GONE",    "SKIPPED",
    "BUSY", "DEAD",    "CORRUPT", "REFUSED", "CANCELLED"};

const char* MethodName(Method method) {
  switch (method) {
    case Method::kMesh:
      return "mesh";
    case Method::kAllReduce:
      return "allreduce";
    case Method::kNone:
      return "none";
  }
  return "unknown";
}

std::string ScoredOn(ScoreOn score_on) {
  return JsonString(score_on == ScoreOn::kTest ? "test" : "validation");
}

std::string NumberArray(const std::vector<double>& values) {
  std::vector<std::string> texts;
  for (const double value : values) texts.push_back(JsonNumber(value));
  return JsonArray(texts);
}

// What every result says.
JsonObject ResultHead(const Options& options) {
  const TrainingOptions& training = options.training;
  JsonObject json;
  json.Add("method", JsonString(MethodName(options.method)))
      .Add("replicas", JsonNumber(static_cast<double>(training.replicas)))
      .Add("seed", std::to_string(training.seed))
      .Add("rounds", JsonNumber(static_cast<double>(training.rounds)))
      .Add("learning_rate", JsonNumber(training.peak_learning_rate))
      .Add("scored_on", ScoredOn(options.score_on));
  return json;
}

void AddMesh(const Options& options, const TrainingResult& result, JsonObject* json) {
  JsonObject pulls;
  for (size_t k = WEIGHTMESH_ARRIVED; k < kOutcomeNames.size(); ++k) {
    pulls.Add(kOutcomeNames[k], std::to_string(result.pulls[k]));
  }
  json->Add("mode", JsonString(ModeName(options.mesh.mode)))
      .Add("first_round", std::to_string(result.first_round))
      .Add("rejoins", std::to_string(result.rejoins))
      .Add("rounds_alone", std::to_string(result.rounds_alone))
      .Add("alone", JsonBool(result.alone))
      .Add("drained", JsonBool(result.drained))
      .Add("rounds_published", std::to_string(result.rounds_published))
      .Add("rounds_mixed", std::to_string(result.rounds_mixed))
      .Add("pulls", pulls.text())
      .Add("wait_seconds", JsonNumber(result.wait_seconds));
  if (!options.mesh.consensus.has_value()) return;
  json->Add("agreed", JsonBool(result.agreement.agreed))
      .Add("agreement_rounds", std::to_string(result.agreement.rounds))
      .Add("consensus_distance", JsonNumber(result.agreement.consensus_distance));
}

std::string ResultJson(const Options& options, const TrainingResult& result) {
  std::vector<std::string> losses;
  for (const Progress& progress : result.progress) {
    losses.push_back(JsonObject()
                         .Add("round", std::to_string(progress.round))
                         .Add("loss", JsonNumber(progress.loss))
                         .Add("accuracy", JsonNumber(progress.accuracy))
                         .text());
  }
  JsonObject json = ResultHead(options);
  if (options.method != Method::kAllReduce) {
    json.Add("replica", std::to_string(options.training.replica));
  }
  json.Add("accuracy", JsonNumber(result.accuracy))
      .Add("final_loss", JsonNumber(result.final_loss))
      .Add("losses", JsonArray(losses))
      .Add("seconds", JsonNumber(result.seconds));
  if (options.method == Method::kMesh) AddMesh(options, result, &json);
  json.Add("weights_file",
           options.weights_file.empty() ? "null" : JsonString(options.weights_file));
  return json.text();
}

void WriteResult(const std::string& path, const std::string& json) {
  if (path.empty()) return;
  std::ofstream file(path);
  file << json << '\n';
  file.close();
  if (!file) {
    throw std::runtime_error("cannot write result file '" + path + "': " + std::strerror(errno) +
                             "; give another path with --result");
  }
}

// Trains every replica by itself, one after the other.
void TrainEachAlone(const Options& options, const Split& split) {
  std::vector<std::vector<float>> models;
  double seconds = 0;
  for (size_t k = 0; k < options.training.replicas; ++k) {
    TrainingOptions training = options.training;
    training.replica = k;
    const TrainingResult result = TrainAlone(split, training);
    std::printf("replica %zu: accuracy %.2f %%\n", k, 100 * result.accuracy);
    models.push_back(result.weights);
    seconds += result.seconds;
  }
  const Evaluation evaluation = Evaluate(models, split.score);
  const double mean = std::accumulate(evaluation.models.begin(), evaluation.models.end(), 0.0) /
                      static_cast<double>(models.size());
  std::printf("mean of the replicas %.2f %%, the mean model %.2f %%\n", 100 * mean,
              100 * evaluation.mean_model);
  JsonObject json = ResultHead(options);
  json.Add("accuracy", JsonNumber(mean))
      .Add("accuracies", NumberArray(evaluation.models))
      .Add("mean_model_accuracy", JsonNumber(evaluation.mean_model))
      .Add("seconds", JsonNumber(seconds));
  WriteResult(options.result_file, json.text());
}

TrainingResult Train(const Options& options, const Split& split) {
  switch (options.method) {
    case Method::kMesh:
      return TrainOnMesh(split, options.training, options.mesh);
    case Method::kAllReduce:
      return TrainAllReduce(split, options.training);
    case Method::kNone:
      break;
  }
  return TrainAlone(split, options.training);
}

void TrainOne(const Options& options, const Split& split) {
  const TrainingResult result = Train(options, split);
  std::printf("accuracy %.2f %% after %zu rounds in %.1f s%s\n", 100 * result.accuracy,
              result.rounds, result.seconds,
              result.drained ? ", drained"
              : result.alone ? ", alone"
                             : "");
  if (!options.weights_file.empty()) WriteWeights(options.weights_file, result.weights);
  WriteResult(options.result_file, ResultJson(options, result));
}

void PrintEvaluation(const Options& options, const Split& split) {
  std::vector<std::vector<float>> models;
  for (const std::string& path : options.evaluate) models.push_back(ReadWeights(path));
  const Evaluation evaluation = Evaluate(models, split.score);
  std::vector<std::string> scores;
  for (size_t k = 0; k < models.size(); ++k) {
    scores.push_back(JsonObject()
                         .Add("weights_file", JsonString(options.evaluate[k]))
                         .Add("accuracy", JsonNumber(evaluation.models[k]))
                         .text());
  }
  std::cout << JsonObject()
                   .Add("scored_on", ScoredOn(options.score_on))
                   .Add("models", JsonArray(scores))
                   .Add("mean_model_accuracy", JsonNumber(evaluation.mean_model))
                   .text()
            << '\n';
}

void Run(Options options) {
  const size_t rounds = options.training.rounds;
  options.training.on_progress = [rounds](const Progress& progress) {
    std::printf("round %zu/%zu  loss %.4f  accuracy %.2f %%  learning rate %.3f\n", progress.round,
                rounds, progress.loss, 100 * progress.accuracy, progress.learning_rate);
    std::fflush(stdout);
  };
  options.training.on_notice = [replica = options.training.replica](const std::string& notice) {
    std::fprintf(stderr, "letter_trainer: replica %zu: %s\n", replica, notice.c_str());
  };
  const Split split = LoadLetter(options.data_file, options.score_on);
  if (!options.evaluate.empty()) {
    PrintEvaluation(options, split);
  } else if (options.all_replicas) {
    options.training.on_progress = [](const Progress&) {};
    TrainEachAlone(options, split);
  } else {
    TrainOne(options, split);
  }
}

}  // namespace
}  // namespace letter

int main(int argc, char** argv) {
  int exit_code = 0;
  const std::optional<letter::Options> options = letter::ParseCommandLine(argc, argv, &exit_code);
  if (!options) return exit_code;
  try {
    letter::Run(*options);
  } catch (const weightmesh::Error& error) {
    std::fprintf(stderr, "letter_trainer: %s\n", error.what());
    return options->mesh.join && error.status() == WEIGHTMESH_START_TIMEOUT
               ? letter::kExitNothingToJoin
               : letter::kExitFailed;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "letter_trainer: %s\n", error.what());
    return letter::kExitFailed;
  }
  return 0;
}
