// MeshView: what the launcher shows of the mesh while it trains, made of the daemons' statistics.
// Pure: time is passed in.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "proto/weightmesh/v1/mesh.pb.h"

namespace weightmesh::demo {

struct ReplicaRow {
  int replica = 0;
  std::string state;    // "starting", "waiting", "training", "left", "dead", "daemon killed", …
  bool counts = false;  // towards the progress of the whole
  uint64_t round = 0;
  uint64_t steps = 0;  // rounds it went through, published or skipped
  std::optional<double> loss;
  uint64_t arrived = 0;
  uint64_t late = 0;
  uint64_t other = 0;
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

// Follows one replica from poll to poll.
class ReplicaTrack {
 public:
  explicit ReplicaTrack(int replica) { row_.replica = replica; }

  // `now` in seconds, not falling. `stats`: its daemon's answer; nullopt when it gave none.
  void Update(double now, const std::optional<v1::Stats>& stats);
  // Its daemon was killed on purpose.
  void MarkKilled();

  const ReplicaRow& row() const { return row_; }
  // The newest that its daemon said; nullopt before the first.
  const std::optional<v1::ReplicaStats>& last() const { return last_; }

 private:
  void UpdateRate(double now, uint64_t bytes_received);

  ReplicaRow row_;
  bool killed_ = false;
  std::optional<v1::ReplicaStats> last_;
  std::deque<std::pair<double, uint64_t>> received_;  // (when, bytes), oldest first
};

// Follows the whole mesh.
class MeshTrack {
 public:
  // `rounds[k]`: how many replica k trains, at least 1. REQUIRES: not empty.
  explicit MeshTrack(std::vector<uint64_t> rounds);

  // `stats[k]`: the answer of daemon k, nullopt when there is none.
  void Update(double now, const std::vector<std::optional<v1::Stats>>& stats);
  void MarkKilled(int replica) { replicas_.at(static_cast<size_t>(replica)).MarkKilled(); }

  MeshView View(double now) const;
  const std::vector<ReplicaTrack>& replicas() const { return replicas_; }

 private:
  // That all counting replicas have reached; of one with fewer rounds, as far along as it is.
  uint64_t CommonRound() const;

  const std::vector<uint64_t> rounds_;
  const uint64_t rounds_total_;  // the most of them
  std::vector<ReplicaTrack> replicas_;
  // When the first round was seen, and how far all were then: the pace is measured from there.
  std::optional<double> first_seen_at_;
  uint64_t first_seen_round_ = 0;
};

}  // namespace weightmesh::demo
