// CommandLine: what the user asked weightmeshctl for; plain data and its parser.
#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "absl/time/time.h"

namespace weightmesh::ctl {

enum class Command { kTopology, kStats, kLinks, kRuns, kSchedule, kConfig, kEvents, kDrain };

struct CommandLine {
  Command command = Command::kTopology;
  std::string daemon;  // "host:port"
  bool json = false;
  absl::Duration timeout;  // of one question
  bool watch = false;
  absl::Duration interval;  // between two looks
  uint64_t looks_max = 0;   // with watch: 0 never ends
  bool rounds = false;      // topology with watch and json: rounds that advance are events, too

  std::string run;        // empty: all; schedule: the only one
  bool sources = false;   // stats
  bool segments = false;  // stats
  uint64_t round = 0;     // schedule; 0: the newest
  uint32_t segment = 0;   // schedule
  bool all_segments = false;
  uint64_t deadline_ms = 0;  // drain; 0: the daemon's
};

// What the process should exit with when there is nothing to do.
struct ExitCode {
  int value = 0;
};

// Help and version (ExitCode 0) go to standard output, usage errors (2) to standard error.
// `default_daemon` is used without --daemon.
std::variant<CommandLine, ExitCode> ParseCommandLine(int argc, const char* const* argv,
                                                     const std::string& default_daemon);

}  // namespace weightmesh::ctl
