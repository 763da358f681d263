// The launcher's command line, by CLI11.
#include "deploy/demo/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <sstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace weightmesh::demo {
namespace {

constexpr int kExitUsage = 2;
constexpr int64_t kRoundsMax = 10'000'000;
constexpr int64_t kSegmentsMax = 4096;
constexpr int64_t kPaceMsMax = 60'000;

constexpr char kDescription[] =
    "weightmesh_demo: starts daemons and trainers on this machine, joins them to a mesh, trains a\n"
    "model on UCI Letter, shows the mesh while it trains, and compares with exact averaging and\n"
    "with no communication.";
constexpr char kFooter[] =
    "Examples\n"
    "  weightmesh_demo --mode overlap --wire bf16\n"
    "  weightmesh_demo --nodes 8 --kill 2@100     one daemon dies, the others train on\n"
    "  weightmesh_demo --nodes 8 --chaos 1        each second somebody is killed, stopped, drained "
    "or back\n"
    "  weightmesh_demo --mode async --slow 0:3    one trainer is three times slower\n"
    "  weightmesh_demo --keep-running             then look around with weightmeshctl\n"
    "\n"
    "Exit codes: 0 trained, 1 failed (the last lines say why and where the logs are), 2 usage.";

bool ParseSlow(const std::string& text, Slow* slow) {
  const std::vector<std::string> parts = absl::StrSplit(text, ':');
  return parts.size() == 2 && absl::SimpleAtoi(parts[0], &slow->trainer) &&
         absl::SimpleAtod(parts[1], &slow->factor) && slow->trainer >= 0 && slow->factor > 1 &&
         slow->factor <= kSlowFactorMax;
}

bool ParseKill(const std::string& text, Kill* kill) {
  const std::vector<std::string> parts = absl::StrSplit(text, '@');
  return parts.size() == 2 && absl::SimpleAtoi(parts[0], &kill->node) &&
         absl::SimpleAtoi(parts[1], &kill->round) && kill->node >= 0 && kill->round >= 1;
}

CLI::Range Seeds() { return {int64_t{0}, std::numeric_limits<int64_t>::max()}; }

void AddTraining(CLI::App* app, Options* options) {
  app->add_option("--nodes", options->nodes, "Daemons, and trainers, one each")
      ->check(CLI::Range(1, kNodesMax))
      ->capture_default_str();
  app->add_option("--rounds", options->rounds, "Rounds of training")
      ->check(CLI::Range(int64_t{1}, kRoundsMax))
      ->capture_default_str();
  app->add_option("--segments", options->segments, "Slices of the model, each with its own peer")
      ->check(CLI::Range(int64_t{1}, kSegmentsMax))
      ->capture_default_str();
  app->add_option("--schedule", options->schedule,
                  "Who pulls from whom: hash_cycle, derangement or exponential")
      ->check(CLI::IsMember({"hash_cycle", "derangement", "exponential"}))
      ->capture_default_str();
  app->add_option("--wire", options->wire, "Weights between nodes: fp32, or bf16 (half the bytes)")
      ->check(CLI::IsMember({"fp32", "bf16"}))
      ->capture_default_str();
  app->add_option("--mode", options->mode,
                  "lockstep: wait for this round's peers; overlap: mix the last round's; async: "
                  "mix what peers have, a few rounds old or not, for trainers of different speed")
      ->check(CLI::IsMember({"lockstep", "overlap", "async"}))
      ->capture_default_str();
  app->add_option("--seed", options->seed, "Of weights, shards, batches and schedule")
      ->check(Seeds())
      ->capture_default_str();
  app->add_option("--pace-ms", options->pace_ms,
                  "Least time of a round: with several processes a core, a step of this small "
                  "model is too short to overlap with a pull [0; with --mode overlap or async 20; "
                  "with --chaos 200]")
      ->check(CLI::Range(int64_t{0}, kPaceMsMax));
}

// Options that are written as one word and mean several things.
struct Words {
  std::string kill;
  std::string slow;
  uint64_t chaos = 0;
  std::string output = "table";
};

void AddRunning(CLI::App* app, Options* options, Words* words) {
  app->add_option("--slow", words->slow,
                  "Rounds of trainer K (from 0) take FACTOR times --pace-ms, for example 0:3; in "
                  "overlap and async it takes fewer of them, so that all end together")
      ->type_name("K:FACTOR");
  app->add_option("--kill", words->kill,
                  "kill -9 daemon K (from 0) at the first look at the statistics after ROUND; its "
                  "trainer goes on alone, the others redirect")
      ->type_name("K@ROUND");
  app->add_option("--chaos", words->chaos,
                  "While all train, about once a second, a trainer or a daemon is killed (kill -9) "
                  "or stopped for a moment, a daemon is drained (SIGTERM), or one that is gone is "
                  "brought back: then it joins the run. SEED says who, and how. At least two of 3 "
                  "or more --nodes stay; the last 10 s are quiet, and all come back")
      ->check(Seeds())
      ->type_name("SEED");
  app->add_flag("--keep-running", options->keep_running,
                "Leave the daemons up after the result, until Ctrl-C");
  app->add_flag("!--no-baselines", options->baselines,
                "Do not compare with exact averaging and with no communication");
  app->add_option("--output", words->output,
                  "table, or json: one document on standard output, progress on standard error")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
}

void AddFiles(CLI::App* app, Options* options) {
  const char* group = "Files";
  app->add_option("--work-dir", options->work_dir,
                  "Folder for logs, results and state; created if missing [a temporary folder]")
      ->type_name("FOLDER")
      ->group(group);
  app->add_option("--data", options->data, "letter-recognition.data [that of the source tree]")
      ->type_name("FILE")
      ->group(group);
  app->add_option("--weightmeshd", options->weightmeshd, "The daemon")
      ->type_name("FILE")
      ->group(group)
      ->capture_default_str();
  app->add_option("--letter-trainer", options->letter_trainer, "The trainer")
      ->type_name("FILE")
      ->group(group)
      ->capture_default_str();
  app->add_option("--weightmeshctl", options->weightmeshctl,
                  "Named in the commands to look further")
      ->type_name("FILE")
      ->group(group)
      ->capture_default_str();
}

// What is wrong with --slow; empty when nothing is.
std::string SlowConflict(const std::string& slow, Options* options) {
  if (slow.empty()) return "";
  Slow parsed;
  if (!ParseSlow(slow, &parsed)) {
    return "--slow is \"" + slow +
           "\"; write K:FACTOR, for example 0:3, with a FACTOR above 1 and at most 100";
  }
  if (parsed.trainer >= options->nodes) {
    return "--slow names trainer " + std::to_string(parsed.trainer) + "; with --nodes " +
           std::to_string(options->nodes) + " they are 0 to " + std::to_string(options->nodes - 1);
  }
  if (options->pace_ms == 0) {
    return "--slow makes rounds longer than --pace-ms, which is 0: give that, too, for example 20";
  }
  options->slow = parsed;
  return "";
}

// What is wrong with --kill, together with the other options; empty when nothing is.
std::string KillConflict(const std::string& kill, Options* options) {
  if (kill.empty()) return "";
  Kill parsed;
  if (!ParseKill(kill, &parsed)) {
    return "--kill is \"" + kill + "\"; write K@ROUND, for example 2@100";
  }
  if (parsed.node >= options->nodes) {
    return "--kill names daemon " + std::to_string(parsed.node) + "; with --nodes " +
           std::to_string(options->nodes) + " they are 0 to " + std::to_string(options->nodes - 1);
  }
  if (parsed.round >= options->rounds) {
    return "--kill names round " + std::to_string(parsed.round) + "; it must be below --rounds " +
           std::to_string(options->rounds);
  }
  options->kill = parsed;
  return "";
}

// What is wrong with --chaos, together with the other options; empty when nothing is.
std::string ChaosConflict(const Options& options) {
  if (!options.chaos.has_value()) return "";
  if (options.kill.has_value()) {
    return "--chaos and --kill exclude each other: --chaos kills daemons by its own plan";
  }
  if (options.slow.has_value()) {
    return "--chaos and --slow exclude each other: who comes back takes the round of the others";
  }
  if (options.nodes < kChaosNodesMin) {
    return "--chaos needs --nodes " + std::to_string(kChaosNodesMin) +
           " or more: two of them always stay";
  }
  if (options.pace_ms == 0) {
    return "--chaos strikes once a second: give rounds a length, for example --pace-ms 50";
  }
  if (options.rounds <= QuietRounds(options)) {
    return "--chaos leaves the last " + std::to_string(kChaosQuietMs / 1000) +
           " s quiet, which are " + std::to_string(QuietRounds(options)) + " rounds of --pace-ms " +
           std::to_string(options.pace_ms) + ": give more --rounds";
  }
  return "";
}

}  // namespace

uint64_t RoundsOf(const Options& options, int trainer) {
  const bool fewer =
      options.slow.has_value() && options.slow->trainer == trainer && options.mode != "lockstep";
  if (!fewer) return options.rounds;
  const double rounds = static_cast<double>(options.rounds) / options.slow->factor;
  return std::max<uint64_t>(1, static_cast<uint64_t>(rounds + 0.5));
}

uint64_t PaceMsOf(const Options& options, int trainer) {
  if (!options.slow.has_value() || options.slow->trainer != trainer) return options.pace_ms;
  return static_cast<uint64_t>(static_cast<double>(options.pace_ms) * options.slow->factor + 0.5);
}

uint64_t QuietRounds(const Options& options) {
  return (kChaosQuietMs + options.pace_ms - 1) / options.pace_ms;
}

ParsedOptions ParseOptions(int argc, const char* const* argv, const std::string& programs) {
  ParsedOptions parsed;
  Options& options = parsed.options;
  options.weightmeshd = programs + "/weightmeshd";
  options.letter_trainer = programs + "/letter_trainer";
  options.weightmeshctl = programs + "/weightmeshctl";
  Words words;
  CLI::App app(kDescription, "weightmesh_demo");
  app.footer(kFooter);
  AddTraining(&app, &options);
  AddRunning(&app, &options, &words);
  AddFiles(&app, &options);
  try {
    app.parse(argc, argv);
    const bool paced = app.count("--pace-ms") > 0;
    if (options.mode != "lockstep" && !paced) options.pace_ms = kOverlapPaceMs;
    if (app.count("--chaos") > 0) options.chaos = words.chaos;
    if (options.chaos.has_value() && !paced) options.pace_ms = kChaosPaceMs;
    std::string conflict = KillConflict(words.kill, &options);
    if (conflict.empty()) conflict = SlowConflict(words.slow, &options);
    if (conflict.empty()) conflict = ChaosConflict(options);
    if (!conflict.empty()) throw CLI::ValidationError(conflict);
  } catch (const CLI::ParseError& error) {  // CLI11's way to end, good or bad
    std::ostringstream out, err;
    const bool good = app.exit(error, out, err) == 0;
    parsed.exit_code = good ? 0 : kExitUsage;
    parsed.text = good ? out.str() : "weightmesh_demo: " + err.str();
  }
  options.json = words.output == "json";
  return parsed;
}

}  // namespace weightmesh::demo
