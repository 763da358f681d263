// Chaos: carries out a ChaosPlan on a cluster that trains, and brings back whom it struck. On the
// main thread.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "deploy/demo/chaos_plan.h"
#include "deploy/demo/cluster.h"
#include "deploy/demo/mesh_view.h"
#include "deploy/demo/report.h"
#include "deploy/demo/screen.h"

namespace weightmesh::demo {

class Chaos {
 public:
  // All four must outlive it.
  Chaos(const Options& options, Cluster* cluster, MeshTrack* track, Screen* screen);

  // To be called often, each time after `track` has seen news: strikes when the next one is due,
  // and goes on with what is under way. `now` in seconds, not falling. An error names what did not
  // come back, with its logs.
  absl::Status Look(double now);

  // Nodes whose daemon has been started again since the last call: they have new addresses.
  std::vector<int> TakeRestarted();

  // Whether all have trained, and strikes have begun.
  bool begun() const { return begun_; }
  // Whether somebody is stopped for a moment.
  bool IsPausing() const;
  // Whether replica `replica` does not take part now.
  bool IsMissing(int replica) const {
    return nodes_[static_cast<size_t>(replica)].state.presence != Presence::kHere;
  }
  const ChaosReport& counts() const { return counts_; }

 private:
  struct Node {
    NodeState state;
    // While paused: who is stopped, and until when.
    bool daemon_stopped = false;
    double pause_ends = 0;
    double since = 0;  // kLeaving: when it was told to; kComing: when it was brought back
    // kComing: whether its daemon is not known to be ready; whether its trainer is started to join,
    // or was there all the time and joins by itself.
    bool daemon_starts = false;
    bool trainer_joins = false;
  };

  void Do(const Strike& strike, double now);
  void Pause(int k, bool daemon, double seconds, double now);
  absl::Status BringBack(int k, double now);
  absl::Status BringBackAll(double now);
  // What is under way with node `k`.
  absl::Status Advance(int k, double now);
  void EndPause(int k, double now);
  // Its daemon has ended without being struck.
  void LoseDaemon(int k, double now);
  absl::Status EndDrain(int k, double now);
  absl::Status Return(int k, double now);
  void Tell(double now, const std::string& what);

  const uint64_t quiet_from_;  // the round
  Cluster* const cluster_;
  MeshTrack* const track_;
  Screen* const screen_;
  ChaosPlan plan_;
  std::vector<Node> nodes_;
  std::vector<int> restarted_;
  ChaosReport counts_;
  bool begun_ = false;
  double begun_at_ = 0;
  double strike_due_ = 0;
};

}  // namespace weightmesh::demo
