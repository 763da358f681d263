// Cluster: the daemons and trainers of one demo, started on this machine and ended in order. Used
// from the main thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "deploy/demo/child_process.h"
#include "deploy/demo/options.h"

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

  // OK while the daemons run (killed ones apart) and no trainer has failed.
  absl::Status Check();
  bool TrainersRunning();

  // kill -9.
  void KillDaemon(int node);

  // A trainer gets SIGTERM, a daemon too, and both SIGKILL after 5 s.
  void EndTrainers();
  void EndDaemons();

  // Of the daemons' control planes, "host:port".
  const std::vector<std::string>& addresses() const { return addresses_; }
  // What trainer `replica` writes.
  std::string ResultFile(int replica) const;
  std::string WeightsFile(int replica) const;

 private:
  absl::Status StartDaemon(int node);
  std::string SocketPath(int node) const;

  const Options options_;
  const std::string work_dir_;
  const Interrupted interrupted_;
  std::vector<std::unique_ptr<ChildProcess>> daemons_;  // null: killed on purpose
  std::vector<std::unique_ptr<ChildProcess>> trainers_;
  std::vector<std::string> addresses_;
};

}  // namespace weightmesh::demo
