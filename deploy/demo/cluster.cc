// Starting and ending daemons and trainers.
#include "deploy/demo/cluster.h"

#include <signal.h>

#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "deploy/demo/ready_socket.h"

namespace weightmesh::demo {
namespace {

constexpr absl::Duration kReadyTimeout = absl::Seconds(20);
constexpr absl::Duration kReadyPoll = absl::Milliseconds(10);
constexpr absl::Duration kEndPatience = absl::Seconds(5);
// The founders find each other by push-pulls: often, so that the start takes no second.
constexpr int kSyncIntervalMs = 200;

}  // namespace

Cluster::Cluster(const Options& options, const std::string& work_dir, Interrupted interrupted)
    : options_(options), work_dir_(work_dir), interrupted_(std::move(interrupted)) {}

Cluster::~Cluster() {
  EndTrainers();
  EndDaemons();
}

std::string Cluster::SocketPath(int node) const {
  return absl::StrCat(work_dir_, "/daemon-", node, "/attach.sock");
}

std::string Cluster::ResultFile(int replica) const {
  return absl::StrCat(work_dir_, "/replica-", replica, ".json");
}

std::string Cluster::WeightsFile(int replica) const {
  return absl::StrCat(work_dir_, "/replica-", replica, ".weights");
}

absl::Status Cluster::StartDaemons() {
  for (int node = 0; node < options_.nodes; ++node) {
    if (absl::Status status = StartDaemon(node); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Cluster::StartDaemon(int node) {
  const std::string folder = absl::StrCat(work_dir_, "/daemon-", node);
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return absl::UnavailableError(absl::StrCat(folder, ": ", error.message()));
  const std::string ready_path = folder + "/notify.sock";
  absl::StatusOr<std::unique_ptr<ReadySocket>> ready = ReadySocket::Listen(ready_path);
  if (!ready.ok()) return ready.status();

  Command command;
  command.name = absl::StrCat("daemon ", node);
  command.arguments = {options_.weightmeshd, "--listen",           "127.0.0.1:0",
                       "--state-directory",  folder + "/state",    "--attach-socket",
                       SocketPath(node),     "--sync-interval-ms", absl::StrCat(kSyncIntervalMs)};
  if (node > 0) command.arguments.insert(command.arguments.end(), {"--seed", addresses_[0]});
  command.environment = {absl::StrCat("NOTIFY_SOCKET=", ready_path)};
  command.log_file = absl::StrCat(work_dir_, "/daemon-", node, ".log");
  absl::StatusOr<std::unique_ptr<ChildProcess>> daemon = ChildProcess::Start(command);
  if (!daemon.ok()) return daemon.status();
  daemons_.push_back(*std::move(daemon));

  const absl::Time deadline = absl::Now() + kReadyTimeout;
  for (;;) {
    if (std::optional<std::string> address = (*ready)->Poll()) {
      addresses_.push_back(*std::move(address));
      return absl::OkStatus();
    }
    if (!daemons_.back()->IsRunning()) {
      const absl::Status result = daemons_.back()->Result();
      return result.ok() ? daemons_.back()->Failure("ended before it was ready") : result;
    }
    if (interrupted_()) return absl::CancelledError("interrupted");
    if (absl::Now() > deadline) {
      return daemons_.back()->Failure(
          absl::StrCat("was not ready within ", absl::FormatDuration(kReadyTimeout)));
    }
    absl::SleepFor(kReadyPoll);
  }
}

absl::Status Cluster::StartTrainers() {
  for (int replica = 0; replica < options_.nodes; ++replica) {
    Command command;
    command.name = absl::StrCat("trainer ", replica);
    command.arguments = {options_.letter_trainer,
                         "--method",
                         "mesh",
                         "--run-id",
                         kRunId,
                         "--replica",
                         absl::StrCat(replica),
                         "--replicas",
                         absl::StrCat(options_.nodes),
                         "--rounds",
                         absl::StrCat(RoundsOf(options_, replica)),
                         "--segments",
                         absl::StrCat(options_.segments),
                         "--schedule",
                         options_.schedule,
                         "--wire",
                         options_.wire,
                         "--mode",
                         options_.mode,
                         "--seed",
                         absl::StrCat(options_.seed),
                         "--pace-ms",
                         absl::StrCat(PaceMsOf(options_, replica)),
                         "--socket",
                         SocketPath(replica),
                         "--result",
                         ResultFile(replica),
                         "--weights",
                         WeightsFile(replica)};
    if (!options_.data.empty()) {
      command.arguments.insert(command.arguments.end(), {"--data", options_.data});
    }
    command.environment = {"OPENBLAS_NUM_THREADS=1"};
    command.log_file = absl::StrCat(work_dir_, "/trainer-", replica, ".log");
    absl::StatusOr<std::unique_ptr<ChildProcess>> trainer = ChildProcess::Start(command);
    if (!trainer.ok()) return trainer.status();
    trainers_.push_back(*std::move(trainer));
  }
  return absl::OkStatus();
}

absl::Status Cluster::Check() {
  for (const auto& daemon : daemons_) {
    if (daemon == nullptr || daemon->IsRunning()) continue;
    const absl::Status result = daemon->Result();
    return result.ok() ? daemon->Failure("ended while it was needed") : result;
  }
  for (const auto& trainer : trainers_) {
    if (trainer->IsRunning()) continue;
    if (absl::Status result = trainer->Result(); !result.ok()) return result;
  }
  return absl::OkStatus();
}

bool Cluster::TrainersRunning() {
  bool running = false;
  for (const auto& trainer : trainers_) running = trainer->IsRunning() || running;
  return running;
}

void Cluster::KillDaemon(int node) {
  auto& daemon = daemons_.at(static_cast<size_t>(node));
  if (daemon == nullptr) return;
  daemon->Signal(SIGKILL);
  daemon->WaitForEnd(absl::InfiniteDuration());
  daemon = nullptr;
}

void Cluster::EndTrainers() { EndAll(trainers_, SIGTERM, kEndPatience); }

void Cluster::EndDaemons() { EndAll(daemons_, SIGTERM, kEndPatience); }

}  // namespace weightmesh::demo
