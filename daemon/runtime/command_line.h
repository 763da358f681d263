// CommandLine: the flags of weightmeshd, and how they override the configuration file. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/weightmesh/v1/daemon_config.pb.h"

namespace weightmesh {

// Exit codes of weightmeshd.
constexpr int kExitGood = 0;
constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

// What was given; nullopt, or an empty list, where a flag was not. Meanings and units:
// daemon_config.proto.
struct CommandLine {
  std::string config_file;  // empty: none
  std::optional<std::string> listen_address;
  std::optional<std::string> advertise_address;
  std::vector<std::string> seeds;
  std::optional<std::string> state_directory;
  std::optional<std::string> attach_socket;
  std::optional<std::string> attach_group;
  bool insecure_plaintext = false;
  std::optional<std::string> transport;
  std::vector<std::string> devices;
  std::optional<v1::Log::Level> log_level;
  std::optional<v1::Log::Format> log_format;
  std::optional<std::string> log_file;
  std::optional<uint64_t> sync_interval_ms;
  std::optional<uint64_t> detection_target_ms;
  std::optional<uint64_t> drain_deadline_ms;
  bool print_config = false;  // print the effective configuration and end
  bool check = false;         // check the configuration and end
};

// What the arguments come to: flags to run with, or a text to print and an exit code.
struct CommandLineResult {
  CommandLine flags;
  std::optional<int> exit_code;  // set by --help, --version (kExitGood) and by faults (kExitUsage)
  std::string text;              // for standard output if kExitGood, else for standard error
};

// `version` answers --version.
CommandLineResult ParseCommandLine(int argc, const char* const* argv, absl::string_view version);

// Overrides what `flags` give; a list replaces the file's list.
void ApplyFlags(const CommandLine& flags, v1::DaemonConfig* config);

// The effective configuration: the file if one is named, then the flags, then the defaults;
// checked. Errors as LoadConfig and ValidateConfig; a fault of the file comes with its place.
absl::StatusOr<v1::DaemonConfig> ResolveConfig(const CommandLine& flags,
                                               uint64_t arena_bytes_default = 0);

}  // namespace weightmesh
