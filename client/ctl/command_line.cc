// The options of weightmeshctl.
#include "client/ctl/command_line.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>
#include <utility>

namespace weightmesh::ctl {
namespace {

constexpr int kUsageError = 2;

// What CLI11 writes into.
struct Raw {
  std::string output = "table";
  int64_t timeout_ms = 5000;
  int64_t interval_ms = 1000;
};

void AddGlobalOptions(CLI::App* app, CommandLine* line, Raw* raw) {
  app->set_version_flag("--version", std::string("weightmeshctl ") + WEIGHTMESH_VERSION);
  app->add_option("--daemon", line->daemon, "The daemon to ask; also WEIGHTMESH_DAEMON")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  app->add_option("--output", raw->output, "For people, or for programs")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  app->add_option("--timeout-ms", raw->timeout_ms, "How long to wait for an answer")
      ->check(CLI::Range(int64_t{1}, int64_t{3600000}))
      ->capture_default_str();
  app->add_flag(
      "--watch", line->watch,
      "Show what changes, until Ctrl-C: topology and stats are told by the daemon, events follow "
      "as they come, other commands ask again. JSON: one line for each answer (TopologyEvent, "
      "StatsEvent: the "
      "full state first, then changes)");
  app->add_option("--interval-ms", raw->interval_ms,
                  "With --watch: the least time between two answers")
      ->check(CLI::Range(int64_t{10}, int64_t{3600000}))
      ->capture_default_str();
  app->add_option("--count", line->looks_max, "With --watch: end after so many answers; 0: never")
      ->check(CLI::NonNegativeNumber);
}

void AddRun(CLI::App* command, CommandLine* line, const char* meaning) {
  command->add_option("--run", line->run, meaning)->type_name("RUN_ID");
}

void AddCommands(CLI::App* app, CommandLine* line) {
  const auto add = [app, line](const char* name, Command command, const char* description) {
    CLI::App* added = app->add_subcommand(name, description);
    added->callback([line, command] { line->command = command; });
    return added;
  };
  CLI::App* topology =
      add("topology", Command::kTopology, "Daemons and replicas of the whole mesh");
  AddRun(topology, line, "Only this run's replicas");
  topology->add_flag("--rounds", line->rounds,
                     "With --watch and JSON: rounds that advance are changes, too, as they are in "
                     "tables");
  CLI::App* stats = add("stats", Command::kStats, "Statistics of this daemon's own replicas");
  AddRun(stats, line, "Only this run");
  stats->add_flag("--sources", line->sources, "Also who was pulled from, and how often");
  stats->add_flag("--segments", line->segments, "Also a row for each segment");
  add("links", Command::kLinks, "Path, traffic and goodput to each peer");
  add("runs", Command::kRuns, "Training jobs that this daemon knows");
  CLI::App* schedule = add("schedule", Command::kSchedule, "Who pulls from whom");
  AddRun(schedule, line, "The run; may be left out when there is only one");
  schedule->add_option("--round", line->round, "The round; 0: the newest known")
      ->check(CLI::NonNegativeNumber);
  CLI::Option* one = schedule->add_option("--segment", line->segment, "The segment, from 0")
                         ->check(CLI::NonNegativeNumber);
  schedule->add_flag("--all-segments", line->all_segments, "A matrix: readers by segments")
      ->excludes(one);
  add("config", Command::kConfig, "The daemon's effective configuration and derived times");
  add("events", Command::kEvents,
      "What happened, as this daemon saw it, and why, in order: who came, died, left, joined");
  CLI::App* drain = add("drain", Command::kDrain,
                        "Have this daemon's replicas leave their runs in order, and wait for it; "
                        "no trainer attaches there any more");
  drain
      ->add_option("--deadline-ms", line->deadline_ms,
                   "How long a trainer may take to come to its last round; 0: the daemon's "
                   "drain_deadline_ms")
      ->check(CLI::Range(int64_t{0}, int64_t{3600000}));
}

}  // namespace

std::variant<CommandLine, ExitCode> ParseCommandLine(int argc, const char* const* argv,
                                                     const std::string& default_daemon) {
  CommandLine line;
  line.daemon = default_daemon;
  Raw raw;
  CLI::App app("Looks at a running weightmesh, and empties a daemon: asks one over gRPC.");
  app.footer(
      "Examples:\n"
      "  weightmeshctl topology\n"
      "  weightmeshctl stats --watch\n"
      "  weightmeshctl topology --watch --output json\n"
      "  weightmeshctl events --watch\n"
      "  weightmeshctl schedule --run letters --round 7 --all-segments\n"
      "  weightmeshctl --daemon 10.0.0.2:7473 --output json links\n"
      "  weightmeshctl --daemon 10.0.0.2:7473 drain\n"
      "Exit codes: 0 good, or Ctrl-C while watching; 1 the mesh says no, or cannot be reached; 2 "
      "wrong usage.");
  app.require_subcommand(1);
  app.fallthrough();  // options of all commands may also follow the command
  AddGlobalOptions(&app, &line, &raw);
  AddCommands(&app, &line);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return ExitCode{app.exit(error) == 0 ? 0 : kUsageError};
  }
  if (line.command == Command::kDrain && line.watch) {
    std::fputs("weightmeshctl: drain waits by itself; leave out --watch\n", stderr);
    return ExitCode{kUsageError};
  }
  line.json = raw.output == "json";
  line.timeout = absl::Milliseconds(raw.timeout_ms);
  line.interval = absl::Milliseconds(raw.interval_ms);
  return line;
}

}  // namespace weightmesh::ctl
