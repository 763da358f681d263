// MeshView: what the launcher shows of the mesh while it trains, made of the daemons' statistics.
// Pure: time is passed in.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "deploy/demo/replica_lives.h"
#include "proto/weightmesh/v1/mesh.pb.h"

namespace weightmesh::demo {

struct ReplicaRow {
  int replica = 0;
  std::string state;     // "starting", "waiting", "training", "left", "dead", "daemon killed", …
  bool counts = false;   // towards the progress of the whole
  bool missing = false;  // gone, leaving or not there yet: named where there are no rows
  uint64_t round = 0;
  uint64_t steps = 0;  // rounds it went through, published or skipped
  std::optional<double> loss;
  uint64_t arrived = 0;
  uint64_t late = 0;
  uint64_t other = 0;
  uint64_t redirects = 0;
  double megabytes_per_second = 0;  // received, 10^6 bytes, over the last second
  double consensus_distance = 0;
  double round_ms = 0;  // median time from publish to publish
};

struct MeshView {
  std::vector<ReplicaRow> rows;
  uint64_t rounds_total = 0;
  uint64_t round = 0;  // that all counting replicas have reached
  double seconds = 0;  // since the first round
  std::optional<double> seconds_left;
};

// The median, from counts by power of two, evenly spread within a bucket; 0 when empty. Unit: that
// of the values.
double Median(const v1::Histogram& histogram);

// Of one kind, or 0.
uint64_t PullCount(const v1::ReplicaStats& stats, v1::Outcome outcome);
// Of all kinds but ARRIVED and LATE.
uint64_t OtherPullCount(const v1::ReplicaStats& stats);

// Follows one replica from poll to poll, through all its lives.
class ReplicaTrack {
 public:
  explicit ReplicaTrack(int replica) { row_.replica = replica; }

  // `now` in seconds, not falling. `stats`: its daemon's answer; nullopt when it gave none.
  void Update(double now, const std::optional<v1::Stats>& stats);
  // What was done to it on purpose, "daemon killed": shown in place of what its daemon says, and it
  // does not count meanwhile. Empty: that is over.
  void Mark(const std::string& what);

  const ReplicaRow& row() const { return row_; }
  // Whether it takes part, by its daemon's last answer since it was marked.
  bool active() const { return active_; }
  // The newest that its daemon said, see ReplicaLives; nullopt before the first.
  const std::optional<v1::ReplicaStats>& last() const { return lives_.total(); }

 private:
  void UpdateRate(double now, uint64_t bytes_received);
  void ShowState(const std::string& state, bool missing);

  ReplicaRow row_;
  std::string mark_;
  bool active_ = false;
  ReplicaLives lives_;
  std::deque<std::pair<double, uint64_t>> received_;  // (when, bytes), oldest first
};

// Follows the whole mesh.
class MeshTrack {
 public:
  // `rounds[k]`: how many replica k trains, at least 1. `replicas_join`: not all are there from the
  // first round to the last, so that progress is the run's round. REQUIRES: not empty.
  explicit MeshTrack(std::vector<uint64_t> rounds, bool replicas_join = false);

  // `stats[k]`: the answer of daemon k, nullopt when there is none.
  void Update(double now, const std::vector<std::optional<v1::Stats>>& stats);
  void Mark(int replica, const std::string& what) {
    replicas_.at(static_cast<size_t>(replica)).Mark(what);
  }

  MeshView View(double now) const;
  const std::vector<ReplicaTrack>& replicas() const { return replicas_; }
  // The newest that anybody has published.
  uint64_t newest_round() const { return newest_round_; }

 private:
  // That all counting replicas have reached; of one with fewer rounds, as far along as it is. Where
  // replicas join, the run's.
  uint64_t CommonRound() const;

  const std::vector<uint64_t> rounds_;
  const uint64_t rounds_total_;  // the most of them
  const bool replicas_join_;
  std::vector<ReplicaTrack> replicas_;
  uint64_t newest_round_ = 0;
  // When the first round was seen, and how far all were then: the pace is measured from there.
  std::optional<double> first_seen_at_;
  uint64_t first_seen_round_ = 0;
};

}  // namespace weightmesh::demo
