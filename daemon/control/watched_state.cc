// Topology and statistics as events.
#include "daemon/control/watched_state.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "daemon/control/convert_mesh.h"
#include "daemon/core/topology_change.h"

namespace weightmesh {
namespace {

// EventNumbers serves both.
static_assert(int{v1::TopologyEvent::kSequenceFieldNumber} ==
              int{v1::StatsEvent::kSequenceFieldNumber});
static_assert(int{v1::TopologyEvent::kEventsLostFieldNumber} ==
              int{v1::StatsEvent::kEventsLostFieldNumber});

template <typename Rows>
void KeepRun(const std::string& run_id, Rows* rows) {
  if (run_id.empty()) return;
  rows->erase(std::remove_if(rows->begin(), rows->end(),
                             [&](const auto& row) { return row.run_id() != run_id; }),
              rows->end());
}

class WatchedTopology final : public WatchedState {
 public:
  explicit WatchedTopology(TopologySnapshot topology) : topology_(std::move(topology)) {}

  std::string Full(const WatchFilter& filter) const override {
    v1::TopologyEvent event;
    *event.mutable_full() = ToProto(topology_);
    KeepRun(filter.run_id, event.mutable_full()->mutable_replicas());
    return event.SerializeAsString();
  }

  std::string ChangeSince(const WatchedState& before, const WatchFilter& filter) const override {
    const TopologyChange change = Diff(static_cast<const WatchedTopology&>(before).topology_,
                                       topology_, {filter.run_id, filter.detailed});
    if (change.empty()) return "";
    v1::TopologyEvent event;
    *event.mutable_change() = ToProto(change);
    return event.SerializeAsString();
  }

 private:
  const TopologySnapshot topology_;
};

// Serialized rows are compared: like is like also where a trainer reported NaN.
class WatchedStats final : public WatchedState {
 public:
  explicit WatchedStats(StatsReport report) : report_(std::move(report)) {}

  std::string Full(const WatchFilter& filter) const override {
    v1::StatsEvent event;
    *event.mutable_full() = StatsFor(filter);
    return event.SerializeAsString();
  }

  std::string ChangeSince(const WatchedState& before, const WatchFilter& filter) const override {
    const v1::Stats old = static_cast<const WatchedStats&>(before).StatsFor(filter);
    const v1::Stats now = StatsFor(filter);
    std::map<Key, const v1::ReplicaStats*> old_rows;
    for (const v1::ReplicaStats& row : old.replicas()) old_rows[KeyOf(row)] = &row;
    v1::StatsEvent event;
    v1::StatsChange& change = *event.mutable_change();
    *change.mutable_stats() = now;
    change.mutable_stats()->clear_replicas();
    for (const v1::ReplicaStats& row : now.replicas()) {
      const auto found = old_rows.find(KeyOf(row));
      const v1::ReplicaStats* const old_row = found == old_rows.end() ? nullptr : found->second;
      if (old_row != nullptr) old_rows.erase(found);
      if (old_row != nullptr && old_row->SerializeAsString() == row.SerializeAsString()) continue;
      *change.mutable_stats()->add_replicas() = row;
    }
    for (const auto& [key, row] : old_rows) {
      v1::ReplicaKey* removed = change.add_replicas_removed();
      removed->set_run_id(row->run_id());
      *removed->mutable_replica_id() = row->replica_id();
    }
    return event.SerializeAsString();
  }

 private:
  using Key = std::tuple<std::string, uint64_t, uint64_t>;

  static Key KeyOf(const v1::ReplicaStats& row) {
    return {row.run_id(), row.replica_id().high(), row.replica_id().low()};
  }

  // One row a replica: while a dead trainer's is still there, that of its successor, which is
  // newer.
  v1::Stats StatsFor(const WatchFilter& filter) const {
    v1::Stats stats = ToProto(report_, filter.detailed);
    KeepRun(filter.run_id, stats.mutable_replicas());
    std::map<Key, int> newest;
    for (int k = 0; k < stats.replicas_size(); ++k) newest[KeyOf(stats.replicas(k))] = k;
    for (int k = stats.replicas_size() - 1; k >= 0; --k) {
      if (newest.at(KeyOf(stats.replicas(k))) != k) stats.mutable_replicas()->DeleteSubrange(k, 1);
    }
    return stats;
  }

  const StatsReport report_;
};

}  // namespace

WatchedStatePtr MakeWatched(TopologySnapshot topology) {
  return std::make_shared<const WatchedTopology>(std::move(topology));
}

WatchedStatePtr MakeWatched(StatsReport report) {
  return std::make_shared<const WatchedStats>(std::move(report));
}

std::string EventNumbers(uint64_t sequence, uint64_t events_lost) {
  v1::TopologyEvent event;
  event.set_sequence(sequence);
  event.set_events_lost(events_lost);
  return event.SerializeAsString();
}

}  // namespace weightmesh
