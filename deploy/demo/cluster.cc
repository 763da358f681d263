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

constexpr absl::Duration kReadyTimeout = absl::Seconds(60);
constexpr absl::Duration kReadyPoll = absl::Milliseconds(10);
constexpr absl::Duration kEndPatience = absl::Seconds(5);
// The founders find each other by push-pulls: often, so that the start takes no second.
constexpr int kSyncIntervalMs = 200;
// How long a trainer that joins looks for the run.
constexpr int kJoinTimeoutMs = 30'000;
// letter_trainer's, when there is nothing to join.
constexpr int kExitNothingToJoin = 3;
constexpr int kLogLinesShown = 12;
// The assertion that fails in UCX, and how far above the end of the log it is at most.
constexpr char kUcxAssertion[] = "req->send.wireup.type == UCP_WIREUP_MSG_EP_REMOVED";
constexpr int kUcxAbortLines = 100;

}  // namespace

Cluster::Cluster(const Options& options, const std::string& work_dir, Interrupted interrupted)
    : options_(options),
      work_dir_(work_dir),
      interrupted_(std::move(interrupted)),
      daemons_(static_cast<size_t>(options.nodes)),
      trainers_(daemons_.size()),
      starts_(daemons_.size()),
      drains_(daemons_.size()),
      addresses_(daemons_.size()) {}

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

std::string Cluster::DaemonLog(int node) const {
  return absl::StrCat(work_dir_, "/daemon-", node, ".log");
}

std::string Cluster::TrainerLog(int replica) const {
  return absl::StrCat(work_dir_, "/trainer-", replica, ".log");
}

absl::Status Cluster::StartDaemons() {
  for (int node = 0; node < options_.nodes; ++node) {
    if (absl::Status status = StartDaemon(node); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Cluster::StartDaemon(int node) {
  if (absl::Status status = BeginDaemon(node); !status.ok()) return status;
  for (;;) {
    const absl::StatusOr<bool> ready = DaemonReady(node);
    if (!ready.ok() || *ready) return ready.status();
    if (interrupted_()) return absl::CancelledError("interrupted");
    absl::SleepFor(kReadyPoll);
  }
}

absl::Status Cluster::BeginDaemon(int node) {
  const auto k = static_cast<size_t>(node);
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
  for (int other = 0; other < options_.nodes; ++other) {
    if (other == node || !DaemonRunning(other)) continue;
    command.arguments.insert(command.arguments.end(),
                             {"--seed", addresses_[static_cast<size_t>(other)]});
    break;
  }
  command.environment = {absl::StrCat("NOTIFY_SOCKET=", ready_path)};
  command.log_file = DaemonLog(node);
  command.append = !addresses_[k].empty();
  absl::StatusOr<std::unique_ptr<ChildProcess>> daemon = ChildProcess::Start(command);
  if (!daemon.ok()) return daemon.status();
  daemons_[k] = *std::move(daemon);
  if (drains_[k] && !TrainerRunning(node)) trainers_[k] = nullptr;  // it has left
  drains_[k] = false;
  starts_[k] = {*std::move(ready), absl::Now() + kReadyTimeout};
  return absl::OkStatus();
}

absl::StatusOr<bool> Cluster::DaemonReady(int node) {
  const auto k = static_cast<size_t>(node);
  Start& start = starts_[k];
  if (start.ready == nullptr) return true;
  if (std::optional<std::string> address = start.ready->Poll()) {
    addresses_[k] = *std::move(address);
    start.ready = nullptr;
    return true;
  }
  if (!daemons_[k]->IsRunning()) {
    const absl::Status result = daemons_[k]->Result();
    return result.ok() ? daemons_[k]->Failure("ended before it was ready") : result;
  }
  if (absl::Now() < start.deadline) return false;
  return daemons_[k]->Failure(
      absl::StrCat("was not ready within ", absl::FormatDuration(kReadyTimeout)));
}

absl::Status Cluster::StartTrainers() {
  for (int replica = 0; replica < options_.nodes; ++replica) {
    if (absl::Status status = StartTrainer(replica, /*joins=*/false); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Cluster::JoinTrainer(int replica) { return StartTrainer(replica, /*joins=*/true); }

absl::Status Cluster::StartTrainer(int replica, bool joins) {
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
  const auto add = [&command](std::initializer_list<std::string> arguments) {
    command.arguments.insert(command.arguments.end(), arguments);
  };
  if (!options_.data.empty()) add({"--data", options_.data});
  if (options_.chaos.has_value()) {
    add({"--round-deadline-ms", absl::StrCat(kChaosRoundDeadlineMs)});
    if (options_.mode != "lockstep") add({"--keep-up"});
  }
  if (joins) add({"--join", "--start-timeout-ms", absl::StrCat(kJoinTimeoutMs)});
  command.environment = {"OPENBLAS_NUM_THREADS=1"};
  command.log_file = TrainerLog(replica);
  command.append = joins;
  // What one before it wrote is not its result.
  std::error_code none;
  std::filesystem::remove(ResultFile(replica), none);
  std::filesystem::remove(WeightsFile(replica), none);
  absl::StatusOr<std::unique_ptr<ChildProcess>> trainer = ChildProcess::Start(command);
  if (!trainer.ok()) return trainer.status();
  trainers_[static_cast<size_t>(replica)] = *std::move(trainer);
  return absl::OkStatus();
}

absl::Status Cluster::Check() {
  for (size_t k = 0; k < daemons_.size(); ++k) {
    if (daemons_[k] == nullptr || daemons_[k]->IsRunning()) continue;
    if (options_.chaos.has_value() && AbortedByUcx(static_cast<int>(k))) continue;
    const absl::Status result = daemons_[k]->Result();
    if (!result.ok()) return result;
    if (!drains_[k]) return daemons_[k]->Failure("ended while it was needed");
  }
  for (int k = 0; k < options_.nodes; ++k) {
    const auto& trainer = trainers_[static_cast<size_t>(k)];
    if (trainer == nullptr || trainer->IsRunning() || CameTooLate(k)) continue;
    if (absl::Status result = trainer->Result(); !result.ok()) return result;
  }
  return absl::OkStatus();
}

bool Cluster::TrainersRunning() {
  bool running = false;
  for (int k = 0; k < options_.nodes; ++k) running = TrainerRunning(k) || running;
  return running;
}

bool Cluster::DaemonRunning(int node) {
  const auto& daemon = daemons_.at(static_cast<size_t>(node));
  return daemon != nullptr && daemon->IsRunning();
}

bool Cluster::AbortedByUcx(int node) {
  const auto& daemon = daemons_.at(static_cast<size_t>(node));
  if (daemon == nullptr || daemon->IsRunning() || daemon->end_signal() != SIGABRT) return false;
  const std::string end = LastLines(DaemonLog(node), kUcxAbortLines);
  return end.find(kUcxAssertion) != std::string::npos;
}

bool Cluster::TrainerRunning(int replica) {
  const auto& trainer = trainers_.at(static_cast<size_t>(replica));
  return trainer != nullptr && trainer->IsRunning();
}

bool Cluster::HasFinished(int replica) {
  const auto k = static_cast<size_t>(replica);
  return trainers_.at(k) != nullptr && trainers_[k]->exit_code() == 0 && !drains_[k];
}

bool Cluster::CameTooLate(int replica) {
  const auto& late = trainers_.at(static_cast<size_t>(replica));
  if (late == nullptr || late->exit_code() != kExitNothingToJoin) return false;
  bool over = false;
  for (int k = 0; k < options_.nodes; ++k) over = over || HasFinished(k);
  return over;
}

absl::Status Cluster::Failure(int replica, const std::string& what) const {
  std::string message = absl::StrCat("replica ", replica, " ", what, "; the ends of its logs:\n");
  for (const std::string& log : {TrainerLog(replica), DaemonLog(replica)}) {
    absl::StrAppend(&message, "  ", log, "\n", LastLines(log, kLogLinesShown));
  }
  return absl::InternalError(message);
}

void Cluster::KillDaemon(int node) {
  SignalDaemon(node, SIGKILL);
  daemons_[static_cast<size_t>(node)] = nullptr;
}

void Cluster::KillTrainer(int replica) {
  SignalTrainer(replica, SIGKILL);
  trainers_[static_cast<size_t>(replica)] = nullptr;
}

void Cluster::DrainDaemon(int node) {
  drains_.at(static_cast<size_t>(node)) = true;
  SignalDaemon(node, SIGTERM);
}

void Cluster::SignalDaemon(int node, int signal_number) {
  const auto& daemon = daemons_.at(static_cast<size_t>(node));
  if (daemon != nullptr) daemon->Signal(signal_number);
}

void Cluster::SignalTrainer(int replica, int signal_number) {
  const auto& trainer = trainers_.at(static_cast<size_t>(replica));
  if (trainer != nullptr) trainer->Signal(signal_number);
}

void Cluster::EndTrainers() { EndAll(trainers_, SIGTERM, kEndPatience); }

void Cluster::EndDaemons() { EndAll(daemons_, SIGTERM, kEndPatience); }

}  // namespace weightmesh::demo
