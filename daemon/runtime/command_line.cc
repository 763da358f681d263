// The flags of weightmeshd, by CLI11.
#include "daemon/runtime/command_line.h"

#include <CLI/CLI.hpp>
#include <map>
#include <sstream>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "daemon/runtime/config.h"
#include "daemon/runtime/config_file.h"

namespace weightmesh {
namespace {

constexpr char kDescription[] =
    "weightmeshd: the daemon of a node in a weightmesh, which moves segments of models between\n"
    "training replicas. Flags override the configuration file, which overrides the defaults.";
constexpr char kFooter[] =
    "Examples\n"
    "  weightmeshd --config /etc/weightmesh/weightmeshd.textproto\n"
    "  weightmeshd --listen 127.0.0.1:0 --state-directory ./state --attach-socket ./attach.sock\n"
    "  weightmeshd --listen 10.0.0.2:7473 --seed 10.0.0.1:7473 --insecure-plaintext\n"
    "\n"
    "Signals: SIGTERM and SIGINT end it in order: its replicas leave, then it does; another one "
    "ends\n"
    "it at once.\n"
    "Exit codes: 0 ended in order, 1 failed (the last line on standard error says why), 2 usage.";

const std::map<std::string, v1::Log::Level>& Levels() {
  static const auto& levels =
      *new std::map<std::string, v1::Log::Level>{{"debug", v1::Log::LEVEL_DEBUG},
                                                 {"info", v1::Log::LEVEL_INFO},
                                                 {"warning", v1::Log::LEVEL_WARNING},
                                                 {"error", v1::Log::LEVEL_ERROR}};
  return levels;
}

const std::map<std::string, v1::Log::Format>& Formats() {
  static const auto& formats = *new std::map<std::string, v1::Log::Format>{
      {"text", v1::Log::FORMAT_TEXT}, {"json", v1::Log::FORMAT_JSON}};
  return formats;
}

void AddOptions(CLI::App* app, CommandLine* flags, std::string* level, std::string* format) {
  auto group = [&](CLI::Option* option, const char* name, const char* type) {
    option->group(name)->type_name(type);
    return option;
  };
  constexpr char kConfiguration[] = "Configuration";
  constexpr char kControl[] = "Control plane";
  constexpr char kNode[] = "This node";
  constexpr char kData[] = "Data plane";
  constexpr char kLog[] = "Log";

  group(app->add_option("--config", flags->config_file,
                        "DaemonConfig as textproto or JSON; every field is described in "
                        "proto/weightmesh/v1/daemon_config.proto"),
        kConfiguration, "FILE");
  app->add_flag("--print-config", flags->print_config,
                "Print the effective configuration as textproto, and end")
      ->group(kConfiguration);
  app->add_flag("--check", flags->check, "Check the configuration, and end")->group(kConfiguration);

  group(app->add_option("--listen", flags->listen_address,
                        "Address of the control plane (gRPC); port 0 takes a free one "
                        "[127.0.0.1:7473]"),
        kControl, "HOST:PORT");
  group(app->add_option("--advertise", flags->advertise_address,
                        "Address that peers are told [the listen address]"),
        kControl, "HOST:PORT");
  group(app->add_option("--seed", flags->seeds,
                        "Control address of another daemon, or a name of several; may be repeated, "
                        "tried for ever")
            ->allow_extra_args(false),
        kControl, "HOST:PORT");
  app->add_flag("--insecure-plaintext", flags->insecure_plaintext,
                "Accept unencrypted, unauthenticated control traffic beyond loopback")
      ->group(kControl);
  group(app->add_option("--sync-interval-ms", flags->sync_interval_ms,
                        "Time between two push-pulls with each of few daemons, 50 to 60000 [1000]")
            ->check(CLI::Range(int64_t{50}, int64_t{60000})),
        kControl, "MS");
  group(app->add_option("--detection-target-ms", flags->detection_target_ms,
                        "Median time until a dead daemon is known to be dead, among 64 daemons, "
                        "500 to 60000; alike on all [3000]")
            ->check(CLI::Range(int64_t{500}, int64_t{60000})),
        kControl, "MS");

  group(app->add_option("--state-directory", flags->state_directory,
                        "Folder for node_id and the members last known; created if missing; for "
                        "one daemon only [/var/lib/weightmesh]"),
        kNode, "FOLDER");
  group(app->add_option("--attach-socket", flags->attach_socket,
                        "Unix socket for trainers, at most 107 bytes "
                        "[/run/weightmesh/attach.sock]"),
        kNode, "PATH");
  group(app->add_option("--attach-group", flags->attach_group,
                        "Group whose members may attach, besides the daemon's user and root "
                        "[none]"),
        kNode, "GROUP");

  group(app->add_option("--drain-deadline-ms", flags->drain_deadline_ms,
                        "Longest that SIGTERM waits for the replicas here to leave in order, 100 "
                        "to 3600000 [10000]")
            ->check(CLI::Range(int64_t{100}, int64_t{3'600'000})),
        kNode, "MS");

  group(app->add_option("--transport", flags->transport, "ucx, or loopback (for tests) [ucx]"),
        kData, "KIND");
  group(app->add_option("--device", flags->devices,
                        "Network device as UCX names it (eth0, mlx5_0:1); may be repeated [that "
                        "of the control address]")
            ->allow_extra_args(false),
        kData, "NAME");

  group(app->add_option("--log-level", *level, "debug, info, warning or error [info]")
            ->check(CLI::IsMember(Levels())),
        kLog, "LEVEL");
  group(app->add_option("--log-format", *format, "text, or json (one object a line) [text]")
            ->check(CLI::IsMember(Formats())),
        kLog, "FORMAT");
  group(app->add_option("--log-file", flags->log_file, "File to append to [standard error]"), kLog,
        "FILE");
}

}  // namespace

CommandLineResult ParseCommandLine(int argc, const char* const* argv, absl::string_view version) {
  CommandLineResult result;
  CLI::App app(kDescription, "weightmeshd");
  app.footer(kFooter);
  app.set_version_flag("--version", "weightmeshd " + std::string(version))->group("Configuration");
  app.set_help_flag("-h,--help", "Print this text, and end")->group("Configuration");
  app.get_formatter()->column_width(34);
  std::string level, format;
  AddOptions(&app, &result.flags, &level, &format);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {  // CLI11's way to end, good or bad
    std::ostringstream out, err;
    const bool good = app.exit(error, out, err) == 0;
    result.exit_code = good ? kExitGood : kExitUsage;
    result.text = good ? out.str() : "weightmeshd: " + err.str();
    return result;
  }
  if (!level.empty()) result.flags.log_level = Levels().at(level);
  if (!format.empty()) result.flags.log_format = Formats().at(format);
  return result;
}

void ApplyFlags(const CommandLine& flags, v1::DaemonConfig* config) {
  if (flags.listen_address) config->set_listen_address(*flags.listen_address);
  if (flags.advertise_address) config->set_advertise_address(*flags.advertise_address);
  if (!flags.seeds.empty()) {
    config->mutable_seeds()->Assign(flags.seeds.begin(), flags.seeds.end());
  }
  if (flags.state_directory) config->set_state_directory(*flags.state_directory);
  if (flags.attach_socket) config->set_attach_socket(*flags.attach_socket);
  if (flags.attach_group) config->set_attach_group(*flags.attach_group);
  if (flags.insecure_plaintext) config->set_insecure_plaintext(true);
  if (flags.transport) config->mutable_transport()->set_kind(*flags.transport);
  if (!flags.devices.empty()) {
    config->mutable_transport()->mutable_devices()->Assign(flags.devices.begin(),
                                                           flags.devices.end());
  }
  if (flags.log_level) config->mutable_log()->set_level(*flags.log_level);
  if (flags.log_format) config->mutable_log()->set_format(*flags.log_format);
  if (flags.log_file) config->mutable_log()->set_file(*flags.log_file);
  if (flags.sync_interval_ms) {
    config->mutable_membership()->set_sync_interval_ms(*flags.sync_interval_ms);
  }
  if (flags.drain_deadline_ms) config->set_drain_deadline_ms(*flags.drain_deadline_ms);
  if (flags.detection_target_ms) {
    config->mutable_membership()->set_detection_target_ms(*flags.detection_target_ms);
  }
}

namespace {

// Names the place in the file where the fault of `effective` lies; not where a flag made it: then
// the file's own value has no such fault.
absl::Status WithPlace(const absl::Status& status, const std::string& file,
                       v1::DaemonConfig effective, v1::DaemonConfig in_the_file) {
  if (file.empty()) return status;
  const absl::string_view message = status.message();
  const absl::string_view path = message.substr(0, message.find_first_of(" :"));
  const auto* field = v1::DaemonConfig::descriptor()->FindFieldByName(
      std::string(path.substr(0, path.find_first_of(".["))));
  if (field == nullptr) return status;
  v1::DaemonConfig::GetReflection()->SwapFields(&effective, &in_the_file, {field});
  if (ValidateConfig(effective) != status) return status;
  const std::string place = PlaceOfField(file, path);
  if (place.empty()) return status;
  return absl::Status(status.code(), absl::StrCat(place, ": ", message));
}

}  // namespace

absl::StatusOr<v1::DaemonConfig> ResolveConfig(const CommandLine& flags,
                                               uint64_t arena_bytes_default) {
  v1::DaemonConfig config;
  if (!flags.config_file.empty()) {
    absl::StatusOr<v1::DaemonConfig> loaded = LoadConfig(flags.config_file);
    if (!loaded.ok()) return loaded.status();
    config = *std::move(loaded);
  }
  const v1::DaemonConfig in_the_file = config;
  ApplyFlags(flags, &config);
  config = ApplyDefaults(std::move(config), arena_bytes_default);
  const absl::Status status = ValidateConfig(config);
  if (status.ok()) return config;
  return WithPlace(status, flags.config_file, config,
                   ApplyDefaults(in_the_file, arena_bytes_default));
}

}  // namespace weightmesh
