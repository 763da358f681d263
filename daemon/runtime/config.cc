// Defaults and ranges of DaemonConfig, as the comments of daemon_config.proto promise them.
#include "daemon/runtime/config.h"

#include <google/protobuf/text_format.h>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "daemon/control/address.h"
#include "daemon/control/plaintext.h"
#include "daemon/core/membership.h"
#include "daemon/core/swim_policy.h"
#include "daemon/runtime/fault_config.h"

namespace weightmesh {
namespace {

constexpr char kListenAddressDefault[] = "127.0.0.1:7473";
constexpr char kStateDirectoryDefault[] = "/var/lib/weightmesh";
constexpr char kAttachSocketDefault[] = "/run/weightmesh/attach.sock";
constexpr char kTransportDefault[] = "ucx";
constexpr size_t kAttachSocketBytesMax = 107;  // sun_path, less its final zero
constexpr int kSeedsMax = 4096;
constexpr int kDevicesMax = 64;
constexpr uint64_t kSyncIntervalDefaultMs = 1000;
constexpr uint64_t kDetectionTargetDefaultMs = 3000;
constexpr uint64_t kDrainDeadlineDefaultMs = 10'000;
static_assert(swim::kDetectionTargetDefault == absl::Milliseconds(kDetectionTargetDefaultMs));

// A number of the configuration that 0 sets to its default.
struct Number {
  const char* field;
  uint64_t value;
  uint64_t default_value;
  uint64_t min;
  uint64_t max;
};

constexpr uint32_t kRunsDefault = 64;
constexpr uint32_t kReplicasDefault = 64;
constexpr uint32_t kSegmentsDefault = 4096;
constexpr uint32_t kNodesDefault = 4096;
constexpr uint32_t kSendsPerPeerDefault = 2;
constexpr uint32_t kWatchersDefault = 256;
constexpr uint64_t kArenaBytesMin = uint64_t{1} << 20;

absl::Status CheckNumber(const Number& number) {
  if (number.value >= number.min && number.value <= number.max) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(number.field, " is ", number.value,
                                                 "; allowed: ", number.min, " to ", number.max,
                                                 " (default ", number.default_value, ")"));
}

absl::Status CheckNumbers(const v1::DaemonConfig& config) {
  const v1::Limits& limits = config.limits();
  const Number numbers[] = {
      {"limits.runs_max", limits.runs_max(), kRunsDefault, 1, 1024},
      {"limits.replicas_max", limits.replicas_max(), kReplicasDefault, 1, 1024},
      {"limits.segments_max", limits.segments_max(), kSegmentsDefault, 1, 65536},
      {"limits.nodes_max", limits.nodes_max(), kNodesDefault, 1, 4096},
      {"limits.sends_per_peer_max", limits.sends_per_peer_max(), kSendsPerPeerDefault, 1, 64},
      {"limits.watchers_max", limits.watchers_max(), kWatchersDefault, 1, 4096},
      {"membership.sync_interval_ms", config.membership().sync_interval_ms(),
       kSyncIntervalDefaultMs, 50, 60000},
      {"membership.detection_target_ms", config.membership().detection_target_ms(),
       kDetectionTargetDefaultMs, 500, 60000},
      {"drain_deadline_ms", config.drain_deadline_ms(), kDrainDeadlineDefaultMs, 100, 3'600'000},
  };
  for (const Number& number : numbers) {
    if (absl::Status status = CheckNumber(number); !status.ok()) return status;
  }
  if (limits.arena_bytes_max() != 0 && limits.arena_bytes_max() < kArenaBytesMin) {
    return absl::InvalidArgumentError(absl::StrCat(
        "limits.arena_bytes_max is ", limits.arena_bytes_max(), "; allowed: ", kArenaBytesMin,
        " (1 MiB) or more (default: half of the memory)"));
  }
  return absl::OkStatus();
}

// An address that others connect to.
absl::Status CheckReachable(absl::string_view field, const std::string& address) {
  const absl::StatusOr<HostPort> parsed = ParseHostPort(address);
  if (!parsed.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(field, ": ", parsed.status().message()));
  }
  if (parsed->port == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, " is \"", address, "\"; the port must be 1 to 65535"));
  }
  return absl::OkStatus();
}

bool IsWildcard(absl::string_view host) { return host == "0.0.0.0" || host == "::"; }

absl::Status CheckAddresses(const v1::DaemonConfig& config) {
  const absl::StatusOr<HostPort> listen = ParseHostPort(config.listen_address());
  if (!listen.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("listen_address: ", listen.status().message()));
  }
  if (!config.advertise_address().empty()) {
    absl::Status status = CheckReachable("advertise_address", config.advertise_address());
    if (!status.ok()) return status;
    if (IsWildcard(ParseHostPort(config.advertise_address())->host)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "advertise_address is \"", config.advertise_address(),
          "\", which nobody can connect to; give this node's own address or host name"));
    }
  } else if (IsWildcard(listen->host)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "listen_address is \"", config.listen_address(),
        "\" (every interface), so peers cannot be told where to connect; set advertise_address to "
        "this node's own address or host name"));
  }
  if (config.seeds_size() > kSeedsMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("seeds has ", config.seeds_size(), " entries; allowed: 0 to ", kSeedsMax));
  }
  for (int i = 0; i < config.seeds_size(); ++i) {
    absl::Status status = CheckReachable(absl::StrCat("seeds[", i, "]"), config.seeds(i));
    if (!status.ok()) return status;
  }
  return CheckPlaintext(config);
}

absl::Status CheckPath(absl::string_view field, const std::string& path) {
  if (path.find('\0') == std::string::npos) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(field, " has a zero byte in it"));
}

absl::Status CheckPaths(const v1::DaemonConfig& config) {
  for (absl::Status status : {CheckPath("state_directory", config.state_directory()),
                              CheckPath("attach_socket", config.attach_socket()),
                              CheckPath("attach_group", config.attach_group()),
                              CheckPath("log.file", config.log().file())}) {
    if (!status.ok()) return status;
  }
  if (config.attach_socket().size() > kAttachSocketBytesMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("attach_socket is ", config.attach_socket().size(), " bytes long (\"",
                     config.attach_socket(), "\"); a Unix socket's path has at most ",
                     kAttachSocketBytesMax, "; use a shorter folder"));
  }
  return absl::OkStatus();
}

absl::Status CheckTransport(const v1::TransportConfig& transport) {
  if (transport.kind() != "ucx" && transport.kind() != "loopback") {
    return absl::InvalidArgumentError(absl::StrCat("transport.kind is \"", transport.kind(),
                                                   "\"; allowed: ucx, loopback (default ucx)"));
  }
  if (transport.devices_size() > kDevicesMax) {
    return absl::InvalidArgumentError(absl::StrCat("transport.devices has ",
                                                   transport.devices_size(),
                                                   " entries; allowed: 0 to ", kDevicesMax));
  }
  for (int i = 0; i < transport.devices_size(); ++i) {
    const std::string& device = transport.devices(i);
    if (!device.empty() && device.find_first_of(", \t\n") == std::string::npos) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("transport.devices[", i, "] is \"", device,
                     "\"; one device each, as \"eth0\" or \"mlx5_0:1\""));
  }
  return CheckFaults(transport.faults());
}

absl::Status CheckLog(const v1::Log& log) {
  if (!v1::Log::Level_IsValid(log.level())) {
    return absl::InvalidArgumentError(absl::StrCat(
        "log.level is ", static_cast<int>(log.level()),
        "; allowed: LEVEL_DEBUG, LEVEL_INFO, LEVEL_WARNING, LEVEL_ERROR (default LEVEL_INFO)"));
  }
  if (!v1::Log::Format_IsValid(log.format())) {
    return absl::InvalidArgumentError(
        absl::StrCat("log.format is ", static_cast<int>(log.format()),
                     "; allowed: FORMAT_TEXT, FORMAT_JSON (default FORMAT_TEXT)"));
  }
  return absl::OkStatus();
}

}  // namespace

v1::DaemonConfig ApplyDefaults(v1::DaemonConfig config, uint64_t arena_bytes_default) {
  if (config.listen_address().empty()) config.set_listen_address(kListenAddressDefault);
  if (config.state_directory().empty()) config.set_state_directory(kStateDirectoryDefault);
  if (config.attach_socket().empty()) config.set_attach_socket(kAttachSocketDefault);
  v1::Log& log = *config.mutable_log();
  if (log.level() == v1::Log::LEVEL_UNSPECIFIED) log.set_level(v1::Log::LEVEL_INFO);
  if (log.format() == v1::Log::FORMAT_UNSPECIFIED) log.set_format(v1::Log::FORMAT_TEXT);
  v1::Limits& limits = *config.mutable_limits();
  if (limits.runs_max() == 0) limits.set_runs_max(kRunsDefault);
  if (limits.replicas_max() == 0) limits.set_replicas_max(kReplicasDefault);
  if (limits.segments_max() == 0) limits.set_segments_max(kSegmentsDefault);
  if (limits.arena_bytes_max() == 0) limits.set_arena_bytes_max(arena_bytes_default);
  if (limits.nodes_max() == 0) limits.set_nodes_max(kNodesDefault);
  if (limits.sends_per_peer_max() == 0) limits.set_sends_per_peer_max(kSendsPerPeerDefault);
  if (limits.watchers_max() == 0) limits.set_watchers_max(kWatchersDefault);
  v1::Membership& membership = *config.mutable_membership();
  if (membership.sync_interval_ms() == 0) membership.set_sync_interval_ms(kSyncIntervalDefaultMs);
  if (membership.detection_target_ms() == 0) {
    membership.set_detection_target_ms(kDetectionTargetDefaultMs);
  }
  if (config.drain_deadline_ms() == 0) config.set_drain_deadline_ms(kDrainDeadlineDefaultMs);
  if (config.transport().kind().empty()) config.mutable_transport()->set_kind(kTransportDefault);
  return config;
}

absl::Status ValidateConfig(const v1::DaemonConfig& config) {
  if (absl::Status status = CheckAddresses(config); !status.ok()) return status;
  if (absl::Status status = CheckPaths(config); !status.ok()) return status;
  if (absl::Status status = CheckLog(config.log()); !status.ok()) return status;
  if (absl::Status status = CheckNumbers(config); !status.ok()) return status;
  return CheckTransport(config.transport());
}

std::string ToTextproto(const v1::DaemonConfig& config) {
  google::protobuf::TextFormat::Printer printer;
  printer.SetUseUtf8StringEscaping(true);
  std::string text;
  printer.PrintToString(config, &text);
  return text;
}

std::string DerivedTimesAsComments(const v1::DaemonConfig& config) {
  const auto interval =
      absl::Milliseconds(static_cast<int64_t>(config.membership().sync_interval_ms()));
  const swim::SwimOptions detector = swim::OptionsFor(
      absl::Milliseconds(static_cast<int64_t>(config.membership().detection_target_ms())));
  const auto detection = [&](size_t daemons) {
    return absl::StrCat(absl::FormatDuration(absl::Trunc(swim::ExpectedDetection(detector, daemons),
                                                         absl::Milliseconds(10))),
                        " among ", daemons);
  };
  return absl::StrCat("# Derived: a daemon that does not answer a sync within ",
                      absl::FormatDuration(SyncTimeout(interval)),
                      " is silent.\n# Each daemon probes another every ",
                      absl::FormatDuration(detector.probe_interval), ", which has ",
                      absl::FormatDuration(detector.probe_timeout),
                      " to answer; a death is known to half of the daemons within ", detection(8),
                      " and ", detection(64),
                      " daemons.\n# Each run derives its times from its round_deadline, and logs "
                      "them when it starts.\n");
}

}  // namespace weightmesh
