// ChaosPlan: who is struck next, how, and who is brought back. Pure: a function of a seed and of
// what has become of the nodes.
#pragma once

#include <optional>
#include <vector>

#include "daemon/core/hash.h"

namespace weightmesh::demo {

enum class Presence {
  kHere,     // its replica takes part
  kLeaving,  // its daemon drains
  kAway,     // its daemon, its trainer or both are gone
  kComing,   // brought back, and does not take part yet
};

// How a node, a daemon and its trainer, stands.
struct NodeState {
  Presence presence = Presence::kHere;
  bool paused = false;  // its daemon or its trainer is stopped for a moment
};

enum class Blow {
  kKillTrainer,  // kill -9
  kKillDaemon,   // kill -9; its trainer goes on alone until it is back
  kDrain,        // SIGTERM to the daemon: its replica leaves in order, then both end
  kPauseTrainer,
  kPauseDaemon,
  kBringBack,
};

struct Strike {
  Blow blow = Blow::kBringBack;
  int node = 0;
  double pause_seconds = 0;  // of the pauses
};

class ChaosPlan {
 public:
  // So many nodes are gone, or not there yet, at most; and at least two stay.
  static constexpr int kMissingMax = 3;
  static constexpr int kStaying = 2;
  // A node that has been away for so many strikes is brought back next.
  static constexpr int kAwayStrikesMax = 6;
  static constexpr double kPauseSecondsMax = 1.5;

  // REQUIRES: nodes > kStaying.
  ChaosPlan(uint64_t seed, int nodes);

  // The next strike; `nodes[k]`: how node k stands now. The same seed and the same answers give the
  // same strikes, and what one answer changes does not shift the random numbers of those after it.
  // Node 0, by whose daemon the others find the mesh, and nodes that are coming are only paused.
  // Nobody is struck who is paused or leaves; nullopt where there is no one else.
  std::optional<Strike> Next(const std::vector<NodeState>& nodes);

 private:
  // Who has been away for too long, longest first.
  std::optional<int> Overdue() const;

  CounterRng rng_;
  const int missing_max_;
  std::vector<int> away_strikes_;  // for how many each node has been away
};

}  // namespace weightmesh::demo
