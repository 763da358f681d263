// WatchedState: one answer of the core, and what its watchers are told of it; immutable, any
// thread.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <string>

#include "daemon/control/mesh_source.h"
#include "daemon/core/snapshot.h"

namespace weightmesh {

// What one watcher wants to hear of. Those who want the same are served alike.
struct WatchFilter {
  std::string run_id;     // empty: all runs
  bool detailed = false;  // WatchTopologyRequest.with_rounds, WatchStatsRequest.with_segments
  int64_t interval_ms = 0;

  friend auto operator<=>(const WatchFilter&, const WatchFilter&) = default;
};

// Events are serialized v1::TopologyEvent or v1::StatsEvent, but for their numbers.
class WatchedState {
 public:
  virtual ~WatchedState() = default;

  virtual std::string Full(const WatchFilter& filter) const = 0;
  // What leads from `before`, which is of the same kind, to this. Empty: no event is due.
  virtual std::string ChangeSince(const WatchedState& before, const WatchFilter& filter) const = 0;
};

using WatchedStatePtr = std::shared_ptr<const WatchedState>;

WatchedStatePtr MakeWatched(TopologySnapshot topology);
WatchedStatePtr MakeWatched(StatsReport report);

// The first bytes of an event, to stand before those above: its numbers.
std::string EventNumbers(uint64_t sequence, uint64_t events_lost);

}  // namespace weightmesh
