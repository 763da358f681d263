// Full states take the place of all, changes of single rows.
#include "client/ctl/watched_mesh.h"

#include <algorithm>
#include <string>

namespace weightmesh::ctl {
namespace {

std::pair<uint64_t, uint64_t> KeyOf(const v1::Id& id) { return {id.high(), id.low()}; }

}  // namespace

void WatchedTopology::Apply(const v1::TopologyEvent& event, absl::Time now) {
  if (event.has_full()) {
    self_ = event.full().self();
    nodes_.clear();
    replicas_.clear();
  }
  const v1::TopologyChange& change = event.change();
  for (const v1::Id& id : change.nodes_removed()) nodes_.erase(KeyOf(id));
  for (const v1::ReplicaKey& key : change.replicas_removed()) {
    replicas_.erase({key.run_id(), KeyOf(key.replica_id())});
  }
  for (const auto* rows : {&event.full().nodes(), &change.nodes()}) {
    for (const v1::Node& row : *rows) nodes_[KeyOf(row.info().node_id())] = {row, now};
  }
  for (const auto* rows : {&event.full().replicas(), &change.replicas()}) {
    for (const v1::Replica& row : *rows) {
      replicas_[{row.run_id(), KeyOf(row.info().replica_id())}] = row;
    }
  }
}

v1::Topology WatchedTopology::At(absl::Time now) const {
  v1::Topology topology;
  *topology.mutable_self() = self_;
  const auto add = [&](const Node& node) {
    v1::Node* const row = topology.add_nodes();
    *row = node.row;
    const auto waited_ms =
        static_cast<uint64_t>(std::max<int64_t>(0, absl::ToInt64Milliseconds(now - node.came)));
    row->set_silent_ms(row->reachable() ? 0 : row->silent_ms() + waited_ms);
  };
  const auto self = nodes_.find(KeyOf(self_));
  if (self != nodes_.end()) add(self->second);
  for (auto node = nodes_.begin(); node != nodes_.end(); ++node) {
    if (node != self) add(node->second);
  }
  for (const auto& [key, replica] : replicas_) *topology.add_replicas() = replica;
  return topology;
}

void WatchedStats::Apply(const v1::StatsEvent& event) {
  if (event.has_full()) stats_ = event.full();
  if (!event.has_change()) return;
  google::protobuf::RepeatedPtrField<v1::ReplicaStats> rows;
  rows.Swap(stats_.mutable_replicas());
  const auto find = [&rows](const auto& key) {
    return std::find_if(rows.begin(), rows.end(), [&key](const v1::ReplicaStats& row) {
      return row.run_id() == key.run_id() && KeyOf(row.replica_id()) == KeyOf(key.replica_id());
    });
  };
  for (const v1::ReplicaKey& key : event.change().replicas_removed()) {
    if (const auto found = find(key); found != rows.end()) rows.erase(found);
  }
  for (const v1::ReplicaStats& changed : event.change().stats().replicas()) {
    const auto found = find(changed);
    *(found == rows.end() ? rows.Add() : &*found) = changed;
  }
  stats_ = event.change().stats();
  stats_.mutable_replicas()->Swap(&rows);
}

}  // namespace weightmesh::ctl
