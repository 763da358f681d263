// Demo: starts the cluster, shows it while it trains, ends it, reports. On the main thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "deploy/demo/chaos.h"
#include "deploy/demo/cluster.h"
#include "deploy/demo/interrupt.h"
#include "deploy/demo/mesh_view.h"
#include "deploy/demo/node_names.h"
#include "deploy/demo/options.h"
#include "deploy/demo/report.h"
#include "deploy/demo/screen.h"
#include "deploy/demo/watch.h"

namespace weightmesh::demo {

class Demo {
 public:
  // `work_dir` exists. `interrupt` and `screen` must outlive it.
  Demo(const Options& options, const std::string& work_dir, Interrupt* interrupt, Screen* screen);

  // Runs it all and prints the report on standard output. OK: trained. Cancelled: interrupted.
  // Other errors say what failed, with the last lines of the log. Whatever it started has ended
  // when it returns.
  absl::Status Run();

 private:
  absl::Status Train(Watch* watch);
  // Strikes and brings back.
  absl::Status MakeChaos(Watch* watch, double now);
  // Shows what the first daemon, which is never killed, sees of that. `answers`: the newest.
  void ShowEvents(const std::vector<std::optional<v1::Stats>>& answers, Watch* watch);
  // Kills the daemon that is to be killed, once its replica has come so far.
  void KillWhenDue();
  // DeadlineExceeded when no replica went on for too long.
  absl::Status CheckProgress(double now);
  absl::Status Score(Report* report);
  absl::StatusOr<Report> MakeReport() const;
  absl::StatusOr<ReplicaReport> MakeReplicaReport(int replica) const;
  absl::Status Print(const Report& report) const;

  const Options options_;
  const std::string work_dir_;
  Interrupt* const interrupt_;
  Screen* const screen_;
  Cluster cluster_;
  MeshTrack track_;
  std::optional<Chaos> chaos_;
  NodeNames names_;
  bool killed_ = false;
  uint64_t steps_seen_ = 0;  // of all replicas
  double steps_seen_at_ = 0;
};

}  // namespace weightmesh::demo
