// letter_trainer's command line, with CLI11.
#include "client/examples/options.h"

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdint>
#include <iostream>
#include <limits>
#include <map>

#include "client/examples/learner.h"

namespace letter {
namespace {

constexpr int kExitUsage = 2;
constexpr int64_t kRoundsMax = 10'000'000;
constexpr int64_t kMillisecondsMax = 3'600'000;
constexpr int64_t kRoundDeadlineMsMin = 10;
constexpr int64_t kSegmentsMax = 65536;
constexpr int64_t kStalenessRoundsMax = 1024;

const std::map<std::string, Method> kMethods = {
    {"mesh", Method::kMesh}, {"allreduce", Method::kAllReduce}, {"none", Method::kNone}};
const std::map<std::string, weightmesh_mode> kModes = {{"lockstep", WEIGHTMESH_LOCKSTEP},
                                                       {"overlap", WEIGHTMESH_OVERLAP},
                                                       {"async", WEIGHTMESH_ASYNC}};
const std::map<std::string, weightmesh_schedule> kSchedules = {
    {"hash_cycle", WEIGHTMESH_HASH_CYCLE},
    {"derangement", WEIGHTMESH_DERANGEMENT},
    {"exponential", WEIGHTMESH_EXPONENTIAL}};
const std::map<std::string, weightmesh_wire> kWires = {{"fp32", WEIGHTMESH_FP32},
                                                       {"bf16", WEIGHTMESH_BF16}};

// The options as they are written, before they mean something together.
struct Words {
  std::string method = "mesh";
  std::string mode = "lockstep";
  std::string schedule = "hash_cycle";
  std::string wire = "fp32";
  int64_t pace_ms = 0;
  int64_t stall_ms = 0;
  bool validate = false;
};

void AddTrainingOptions(CLI::App& app, Options* options, Words* words) {
  TrainingOptions& training = options->training;
  const CLI::Range milliseconds(int64_t{0}, kMillisecondsMax);
  app.add_option("--method", words->method,
                 "mesh: one replica, over weightmesh; allreduce: all replicas in this process, "
                 "gradients averaged exactly; none: without communication")
      ->check(CLI::IsMember(kMethods))
      ->capture_default_str();
  app.add_option("--replica", training.replica,
                 "Which replica this is, from 0; --method none without it trains all of them")
      ->check(CLI::Range(int64_t{0}, static_cast<int64_t>(kGlobalBatch) - 1));
  app.add_option("--replicas", training.replicas, "Replicas that share the global batch of 2048")
      ->check(CLI::Range(int64_t{1}, static_cast<int64_t>(kGlobalBatch)))
      ->capture_default_str();
  app.add_option("--rounds", training.rounds, "Optimizer steps")
      ->check(CLI::Range(int64_t{1}, kRoundsMax))
      ->capture_default_str();
  app.add_option("--seed", training.seed, "Of weights, shards, batches and schedule")
      ->check(CLI::Range(int64_t{0}, std::numeric_limits<int64_t>::max()))
      ->capture_default_str();
  app.add_option("--lr", training.peak_learning_rate,
                 "Peak learning rate of LARS [by method: mesh 8, allreduce 4, none 3]")
      ->check(CLI::PositiveNumber);
  app.add_option("--pace-ms", words->pace_ms, "Least time of a round")
      ->check(milliseconds)
      ->capture_default_str();
  app.add_option("--stall-ms", words->stall_ms,
                 "Before each round, pause for a random time of up to this")
      ->check(milliseconds)
      ->capture_default_str();
  app.add_option("--report-every", training.report_every,
                 "Rounds from one report of loss, accuracy and learning rate to the next")
      ->check(CLI::Range(int64_t{1}, kRoundsMax))
      ->capture_default_str();
}

void AddMeshOptions(CLI::App& app, Options* options, Words* words) {
  MeshOptions& mesh = options->mesh;
  const std::string group = "Mesh";
  app.add_option("--socket", mesh.socket_path,
                 "Of the daemon [$WEIGHTMESH_SOCKET, or /run/weightmesh/attach.sock]")
      ->group(group);
  app.add_option("--run-id", mesh.run_id, "Name of the training job, equal on all its replicas")
      ->group(group)
      ->capture_default_str();
  app.add_flag("--join", mesh.join,
               "Join a run that has started, instead of founding it with all other replicas: take "
               "their weights over, and train from the run's round to --rounds")
      ->group(group);
  app.add_flag("--keep-up", mesh.keep_up,
               "In --mode overlap and async: pass over rounds that the run went through meanwhile, "
               "instead of ending later than the others. Not for trainers that are always slower")
      ->group(group);
  app.add_option("--consensus", mesh.consensus,
                 "After the last round exchange without training until all replicas agree: until "
                 "(1/n) sum |x_i - mean|^2 is at most this. Give it to all of them")
      ->check(CLI::NonNegativeNumber)
      ->group(group);
  app.add_option("--start-timeout-ms", mesh.start_timeout_ms,
                 "Longest wait for the other replicas, or with --join for a run to join")
      ->check(CLI::Range(int64_t{1}, kMillisecondsMax))
      ->group(group)
      ->capture_default_str();
  app.add_option("--mode", words->mode,
                 "lockstep: wait for this round's peers; overlap: mix the last round's; async: "
                 "mix what peers have, at most --staleness-rounds-max rounds old")
      ->check(CLI::IsMember(kModes))
      ->group(group)
      ->capture_default_str();
  app.add_option("--schedule", words->schedule, "Who pulls from whom")
      ->check(CLI::IsMember(kSchedules))
      ->group(group)
      ->capture_default_str();
  app.add_option("--wire", words->wire, "Format of the weights between nodes")
      ->check(CLI::IsMember(kWires))
      ->group(group)
      ->capture_default_str();
  app.add_option("--segments", mesh.segments,
                 "Slices of the model, each with a peer of its own [18]")
      ->check(CLI::Range(int64_t{1}, kSegmentsMax))
      ->group(group);
  app.add_option(
         "--staleness-rounds-max", mesh.staleness_rounds_max,
         "Of --mode async: how many rounds older than one's own a peer's weights may be [8]")
      ->check(CLI::Range(int64_t{1}, kStalenessRoundsMax))
      ->group(group);
  app.add_option("--round-deadline-ms", mesh.round_deadline_ms, "Longest wait of a round")
      ->check(CLI::Range(kRoundDeadlineMsMin, kMillisecondsMax))
      ->group(group)
      ->capture_default_str();
}

void AddFileOptions(CLI::App& app, Options* options, Words* words) {
  const std::string group = "Files";
  app.add_option("--data", options->data_file, "UCI letter-recognition.data")
      ->group(group)
      ->capture_default_str();
  app.add_flag("--validate", words->validate,
               "Train on rows 1-14,000 and score on 14,001-16,000, instead of training on "
               "1-16,000 and scoring on 16,001-20,000")
      ->group(group);
  app.add_option("--result", options->result_file, "Write the result to this file, as JSON")
      ->group(group);
  app.add_option("--weights", options->weights_file, "Write the final weights here, as raw fp32")
      ->group(group);
  app.add_option("--evaluate", options->evaluate,
                 "Do not train: print, as JSON, the accuracy of each of these weights files and of "
                 "the mean of their models")
      ->group(group);
}

// What is wrong with the options together; empty when nothing is.
std::string Conflict(const CLI::App& app, const Options& options) {
  const bool replica_given = app.count("--replica") > 0;
  const size_t replicas = options.training.replicas;
  if (options.method == Method::kAllReduce && replica_given) {
    return "--method allreduce trains all replicas in one process: leave --replica out";
  }
  if (options.method == Method::kMesh && replicas > 1 && !replica_given) {
    return "--method mesh trains one replica of " + std::to_string(replicas) +
           ": say which with --replica, from 0 to " + std::to_string(replicas - 1);
  }
  if (options.training.replica >= replicas) {
    return "--replica " + std::to_string(options.training.replica) + " is not below --replicas " +
           std::to_string(replicas) + ": replicas count from 0";
  }
  if (options.mesh.join && options.method != Method::kMesh) {
    return "--join belongs to --method mesh: nobody else's run is there to join";
  }
  if (options.mesh.consensus.has_value() && options.method != Method::kMesh) {
    return "--consensus belongs to --method mesh: here is nobody to agree with";
  }
  if (options.mesh.keep_up &&
      (options.method != Method::kMesh || options.mesh.mode == WEIGHTMESH_LOCKSTEP)) {
    return "--keep-up belongs to --mode overlap or async: in lockstep nobody is left behind for "
           "long";
  }
  if (app.count("--staleness-rounds-max") > 0 && options.mesh.mode != WEIGHTMESH_ASYNC) {
    return "--staleness-rounds-max belongs to --mode async: choose that mode, or leave it out";
  }
  if (options.all_replicas && !options.weights_file.empty()) {
    return "--weights holds one model: choose one replica with --replica";
  }
  return "";
}

void Interpret(const Words& words, const CLI::App& app, Options* options) {
  options->method = kMethods.at(words.method);
  options->mesh.mode = kModes.at(words.mode);
  options->mesh.schedule = kSchedules.at(words.schedule);
  options->mesh.wire = kWires.at(words.wire);
  options->mesh.seed = options->training.seed;
  options->score_on = words.validate ? ScoreOn::kValidation : ScoreOn::kTest;
  options->training.pace = std::chrono::milliseconds(words.pace_ms);
  options->training.stall = std::chrono::milliseconds(words.stall_ms);
  options->all_replicas = options->method == Method::kNone && app.count("--replica") == 0 &&
                          options->training.replicas > 1;
  if (app.count("--lr") == 0) {
    options->training.peak_learning_rate = DefaultLearningRate(options->method);
  }
}

}  // namespace

std::string ModeName(weightmesh_mode mode) {
  for (const auto& [name, value] : kModes) {
    if (value == mode) return name;
  }
  return "unknown";
}

double DefaultLearningRate(Method method) {
  switch (method) {
    case Method::kMesh:
      return 8;
    case Method::kAllReduce:
      return 4;
    case Method::kNone:
      return 3;
  }
  return 0;
}

std::optional<Options> ParseCommandLine(int argc, const char* const* argv, int* exit_code) {
  Options options;
  options.mesh.run_id = "letter";
  options.data_file = WEIGHTMESH_LETTER_DATA;
  Words words;
  CLI::App app(
      "Trains an MLP 16-128-64-64-26 on UCI Letter, as one replica of a mesh that shares its "
      "weights by gossip, or without a mesh to compare.\n"
      "Exit codes: 0 trained (alone, too), 1 failed or refused, 2 wrong usage, 3 no run to join "
      "within --start-timeout-ms.",
      "letter_trainer");
  AddTrainingOptions(app, &options, &words);
  AddMeshOptions(app, &options, &words);
  AddFileOptions(app, &options, &words);
  try {
    app.parse(argc, argv);
    Interpret(words, app, &options);
    const std::string conflict = Conflict(app, options);
    if (!conflict.empty()) throw CLI::ValidationError(conflict);
  } catch (const CLI::ParseError& error) {
    *exit_code = app.exit(error, std::cout, std::cerr) == 0 ? 0 : kExitUsage;
    return std::nullopt;
  }
  return options;
}

}  // namespace letter
