// Cluster: the daemons and trainers of one demo, started on this machine and ended in order. Used
// from the main thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "deploy/demo/child_process.h"
#include "deploy/demo/options.h"
#include "deploy/demo/ready_socket.h"

namespace weightmesh::demo {

// The run that the trainers form.
constexpr char kRunId[] = "letter";

class Cluster {
 public:
  // Says whether the user wants to stop; called while something is waited for.
  using Interrupted = std::function<bool()>;

  // `work_dir` exists. Logs, state, sockets and results lie in it.
  Cluster(const Options& options, const std::string& work_dir, Interrupted interrupted);
  // Ends what still runs, as EndTrainers and EndDaemons.
  ~Cluster();
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  // Starts the daemons, one after the other, each told of the first; waits until each is ready.
  // Cancelled when interrupted; other errors show the log.
  absl::Status StartDaemons();
  // Starts one trainer at each daemon. REQUIRES: StartDaemons was OK.
  absl::Status StartTrainers();

  // OK while the daemons run (those apart that were killed or drained) and no trainer has failed.
  // With chaos, a daemon that UCX has aborted is no failure.
  absl::Status Check();
  bool TrainersRunning();

  // kill -9; returns when it has ended.
  void KillDaemon(int node);
  void KillTrainer(int replica);
  // SIGTERM: its replica leaves in order, then it ends.
  void DrainDaemon(int node);
  // To one that runs; others do not mind.
  void SignalDaemon(int node, int signal_number);
  void SignalTrainer(int replica, int signal_number);

  // Starts a daemon that has ended again, with its state and its socket, at a new address.
  absl::Status BeginDaemon(int node);
  // Whether the daemon is ready, after BeginDaemon: then addresses() has its address. An error,
  // with its log, when it has ended or is not ready in time.
  absl::StatusOr<bool> DaemonReady(int node);
  // Starts a trainer that joins the run, in the place of one that has ended.
  absl::Status JoinTrainer(int replica);

  bool DaemonRunning(int node);
  // Whether it has ended as a daemon on UCX before 1.14 may when a peer dies in the first exchange
  // of a new connection: https://github.com/openucx/ucx/pull/8175.
  bool AbortedByUcx(int node);
  bool TrainerRunning(int replica);
  // Whether it has trained to the last round.
  bool HasFinished(int replica);
  // Whether it was to join, and found that the run was over.
  bool CameTooLate(int replica);
  // `what` happened to replica `replica`, with the logs of its trainer and its daemon.
  absl::Status Failure(int replica, const std::string& what) const;

  // A trainer gets SIGTERM, a daemon too, and both SIGKILL after 5 s.
  void EndTrainers();
  void EndDaemons();

  // Of the daemons' control planes, "host:port".
  const std::vector<std::string>& addresses() const { return addresses_; }
  // What trainer `replica` writes at its end.
  std::string ResultFile(int replica) const;
  std::string WeightsFile(int replica) const;

 private:
  // A daemon that has been started and may not be ready yet.
  struct Start {
    std::unique_ptr<ReadySocket> ready;  // null: it is
    absl::Time deadline;
  };

  // Starts the daemon and waits until it is ready.
  absl::Status StartDaemon(int node);
  absl::Status StartTrainer(int replica, bool joins);
  std::string SocketPath(int node) const;
  std::string DaemonLog(int node) const;
  std::string TrainerLog(int replica) const;

  const Options options_;
  const std::string work_dir_;
  const Interrupted interrupted_;
  // By node.
  std::vector<std::unique_ptr<ChildProcess>> daemons_;   // null: killed on purpose
  std::vector<std::unique_ptr<ChildProcess>> trainers_;  // likewise
  std::vector<Start> starts_;
  std::vector<bool> drains_;  // the daemon is to end
  std::vector<std::string> addresses_;
};

}  // namespace weightmesh::demo
