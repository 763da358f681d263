// weightmeshd: reads its configuration, starts a node, waits for a signal, stops it.
#include <signal.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "daemon/control/grpc_log.h"
#include "daemon/mem/arena_budget.h"
#include "daemon/runtime/command_line.h"
#include "daemon/runtime/config.h"
#include "daemon/runtime/log.h"
#include "daemon/runtime/members_file.h"
#include "daemon/runtime/members_keeper.h"
#include "daemon/runtime/node.h"
#include "daemon/runtime/notify.h"
#include "daemon/runtime/remote_transport.h"
#include "daemon/runtime/state.h"

namespace weightmesh {
namespace {

int Fail(const absl::Status& status, int exit_code) {
  std::fprintf(stderr, "weightmeshd: %s\n", std::string(status.message()).c_str());
  return exit_code;
}

// The environment is read here and nowhere else.
std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// Blocks the signals that end the daemon in all threads, so that only WaitForEnd sees them.
sigset_t BlockEndSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN);  // a file beyond its limit is an error of that call
  return signals;
}

int WaitForSignal(const sigset_t& signals) {
  int signal_number = 0;
  sigwait(&signals, &signal_number);
  return signal_number;
}

// Nobody where the file is of no use: it only helps.
std::vector<LastMember> LastMembersIn(const std::string& state_directory) {
  absl::StatusOr<std::vector<LastMember>> members = ReadMembers(state_directory);
  if (members.ok()) return *std::move(members);
  spdlog::warn("{}; it is ignored, and written anew once other daemons are known",
               std::string(members.status().message()));
  return {};
}

absl::Status Serve(const v1::DaemonConfig& config, const StateDirectory& state,
                   const sigset_t& signals) {
  absl::StatusOr<RemoteTransport> transport = MakeRemoteTransport(config);
  if (!transport.ok()) return transport.status();
  for (const auto& [name, value] : transport->settings)
    spdlog::info("transport: {}={}", name, value);

  NodeOptions options;
  options.config = config;
  options.node_id = state.node_id();
  options.version = WEIGHTMESH_VERSION;
  options.transport = *std::move(transport);
  MembersKeeper keeper(state.path());
  options.last_members = LastMembersIn(state.path());
  options.on_members = [&keeper](std::vector<LastMember> members) {
    keeper.Keep(std::move(members));
  };
  std::string must_end;  // set on the core's thread, read when that has ended
  std::atomic<bool> drains{true};
  options.on_end = [&must_end, &drains](std::string reason) {
    must_end = std::move(reason);
    drains = false;
    kill(getpid(), SIGTERM);
  };
  absl::StatusOr<std::unique_ptr<Node>> node = Node::Start(std::move(options));
  if (!node.ok()) return node.status();
  spdlog::info("node {} serves at {}; trainers attach at {}", state.node_id().ToString(),
               (*node)->address(), config.attach_socket());
  if (config.insecure_plaintext()) {
    spdlog::warn(
        "insecure_plaintext: control traffic is neither encrypted nor authenticated; whoever "
        "reaches {} can read and steer this mesh",
        (*node)->address());
  }
  if (config.transport().has_faults()) {
    spdlog::warn(
        "transport.faults: this daemon loses, delays or spoils what it moves, ON PURPOSE; take the "
        "setting out unless this is a test: {}",
        config.transport().faults().ShortDebugString());
  }
  Notifier notifier(Environment("NOTIFY_SOCKET"));
  if (absl::Status told = notifier.Ready((*node)->address()); !told.ok()) {
    spdlog::warn("{}", std::string(told.message()));
  }
  const int first = WaitForSignal(signals);
  notifier.Stopping().IgnoreError();
  if (drains) {
    const auto deadline = absl::Milliseconds(static_cast<int64_t>(config.drain_deadline_ms()));
    spdlog::info("signal {}: the replicas here leave, within {}; another signal ends it at once",
                 first, absl::FormatDuration(deadline));
    (*node)->Drain(deadline, [] { kill(getpid(), SIGTERM); });
    WaitForSignal(signals);
  }
  (*node)->Stop();
  return must_end.empty() ? absl::OkStatus() : absl::FailedPreconditionError(must_end);
}

int Main(int argc, char** argv) {
  const CommandLineResult parsed = ParseCommandLine(argc, argv, WEIGHTMESH_VERSION);
  if (parsed.exit_code.has_value()) {
    std::fputs(parsed.text.c_str(), *parsed.exit_code == kExitGood ? stdout : stderr);
    return *parsed.exit_code;
  }
  const absl::StatusOr<v1::DaemonConfig> config =
      ResolveConfig(parsed.flags, DefaultArenaLimit().bytes);
  if (!config.ok()) return Fail(config.status(), kExitUsage);
  if (parsed.flags.print_config) {
    std::fputs((ToTextproto(*config) + DerivedTimesAsComments(*config)).c_str(), stdout);
  }
  if (parsed.flags.print_config || parsed.flags.check) return kExitGood;

  const sigset_t signals = BlockEndSignals();
  absl::StatusOr<std::shared_ptr<spdlog::logger>> logger = MakeLogger(config->log());
  if (!logger.ok()) return Fail(logger.status(), kExitFailed);
  spdlog::set_default_logger(*logger);
  SetGrpcLogSink([](const char* line) { spdlog::debug("gRPC: {}", line); });
  absl::StatusOr<std::unique_ptr<StateDirectory>> state =
      StateDirectory::Open(config->state_directory());
  if (!state.ok()) return Fail(state.status(), kExitFailed);
  if (absl::Status served = Serve(*config, **state, signals); !served.ok()) {
    spdlog::error("{}", std::string(served.message()));
    return Fail(served, kExitFailed);
  }
  spdlog::info("stopped");
  return kExitGood;
}

}  // namespace
}  // namespace weightmesh

int main(int argc, char** argv) { return weightmesh::Main(argc, argv); }
