// From statistics to rows.
#include "deploy/demo/mesh_view.h"

#include <algorithm>
#include <cmath>

namespace weightmesh::demo {
namespace {

constexpr double kRateWindowSeconds = 1.0;
constexpr double kSecondsForEstimate = 0.5;

const char* StateInWords(v1::ReplicaState state) {
  switch (state) {
    case v1::REPLICA_STATE_WAITING:
      return "waiting";
    case v1::REPLICA_STATE_ACTIVE:
      return "training";
    case v1::REPLICA_STATE_JOINING:
      return "joining";
    case v1::REPLICA_STATE_DRAINING:
      return "draining";
    case v1::REPLICA_STATE_LEFT:
      return "left";
    case v1::REPLICA_STATE_DEAD:
      return "dead";
    default:
      return "unknown";
  }
}

bool IsMissing(v1::ReplicaState state) {
  return state == v1::REPLICA_STATE_JOINING || state == v1::REPLICA_STATE_DRAINING ||
         state == v1::REPLICA_STATE_DEAD;
}

}  // namespace

double Median(const v1::Histogram& histogram) {
  const double half = static_cast<double>(histogram.count()) / 2;
  double below = 0;
  for (int k = 0; k < histogram.buckets_size(); ++k) {
    const double in_bucket = static_cast<double>(histogram.buckets(k));
    if (in_bucket > 0 && below + in_bucket >= half) {
      const double low = k == 0 ? 0 : std::ldexp(1.0, k);
      const double high = std::ldexp(1.0, k + 1);
      return low + (high - low) * (half - below) / in_bucket;
    }
    below += in_bucket;
  }
  return 0;
}

uint64_t PullCount(const v1::ReplicaStats& stats, v1::Outcome outcome) {
  for (const v1::OutcomeCount& pulls : stats.pulls()) {
    if (pulls.outcome() == outcome) return pulls.count();
  }
  return 0;
}

uint64_t OtherPullCount(const v1::ReplicaStats& stats) {
  uint64_t count = 0;
  for (const v1::OutcomeCount& pulls : stats.pulls()) {
    if (pulls.outcome() != v1::OUTCOME_ARRIVED && pulls.outcome() != v1::OUTCOME_LATE) {
      count += pulls.count();
    }
  }
  return count;
}

void ReplicaTrack::Update(double now, const std::optional<v1::Stats>& stats) {
  if (!stats.has_value()) {
    ShowState("no answer", /*missing=*/false);
    active_ = row_.counts = false;
    row_.megabytes_per_second = 0;
    return;
  }
  if (stats->replicas_size() == 0) {
    ShowState("starting", /*missing=*/false);
    active_ = row_.counts = false;
    return;
  }
  lives_.Update(stats->replicas(0));
  const v1::ReplicaStats& total = *last();
  const v1::ReplicaState state = total.state();
  ShowState(StateInWords(state), IsMissing(state));
  active_ = state == v1::REPLICA_STATE_ACTIVE;
  row_.counts = mark_.empty() && (active_ || state == v1::REPLICA_STATE_LEFT);
  row_.round = total.round();
  row_.steps = total.rounds_published() + total.publishes_skipped();
  row_.arrived = PullCount(total, v1::OUTCOME_ARRIVED);
  row_.late = PullCount(total, v1::OUTCOME_LATE);
  row_.other = OtherPullCount(total);
  row_.redirects = total.redirects();
  row_.consensus_distance = total.consensus_distance();
  row_.round_ms = Median(total.round_time_us()) / 1000;
  for (const v1::Scalar& scalar : total.scalars()) {
    if (scalar.name() == "loss") row_.loss = scalar.value();
  }
  UpdateRate(now, total.bytes_received());
}

void ReplicaTrack::ShowState(const std::string& state, bool missing) {
  row_.state = mark_.empty() ? state : mark_;
  row_.missing = missing || !mark_.empty();
}

void ReplicaTrack::UpdateRate(double now, uint64_t bytes_received) {
  received_.emplace_back(now, bytes_received);
  while (received_.size() > 2 && received_[1].first <= now - kRateWindowSeconds) {
    received_.pop_front();
  }
  const double seconds = now - received_.front().first;
  const double bytes = static_cast<double>(bytes_received - received_.front().second);
  row_.megabytes_per_second = seconds > 0 ? bytes / seconds / 1e6 : 0;
}

void ReplicaTrack::Mark(const std::string& what) {
  mark_ = what;
  row_.counts = mark_.empty() && active_;
  if (mark_.empty()) return ShowState(active_ ? "training" : "no answer", !active_);
  active_ = false;
  row_.megabytes_per_second = 0;
  ShowState(mark_, /*missing=*/true);
}

MeshTrack::MeshTrack(std::vector<uint64_t> rounds, bool replicas_join)
    : rounds_(std::move(rounds)),
      rounds_total_(*std::max_element(rounds_.begin(), rounds_.end())),
      replicas_join_(replicas_join) {
  for (size_t k = 0; k < rounds_.size(); ++k) replicas_.emplace_back(static_cast<int>(k));
}

void MeshTrack::Update(double now, const std::vector<std::optional<v1::Stats>>& stats) {
  for (size_t k = 0; k < replicas_.size(); ++k) {
    replicas_[k].Update(now, stats.at(k));
    newest_round_ = std::max(newest_round_, replicas_[k].row().round);
  }
  if (!first_seen_at_.has_value() && CommonRound() > 0) {
    first_seen_at_ = now;
    first_seen_round_ = CommonRound();
  }
}

uint64_t MeshTrack::CommonRound() const {
  if (replicas_join_) return std::min(newest_round_, rounds_total_);
  std::optional<uint64_t> least;
  for (size_t k = 0; k < replicas_.size(); ++k) {
    const ReplicaRow& row = replicas_[k].row();
    const uint64_t round = row.steps * rounds_total_ / rounds_[k];
    if (row.counts) least = std::min(least.value_or(round), round);
  }
  return std::min(least.value_or(0), rounds_total_);
}

MeshView MeshTrack::View(double now) const {
  MeshView view;
  view.rounds_total = rounds_total_;
  for (const ReplicaTrack& replica : replicas_) view.rows.push_back(replica.row());
  view.round = CommonRound();
  if (!first_seen_at_.has_value()) return view;
  view.seconds = now - *first_seen_at_;
  if (view.seconds >= kSecondsForEstimate && view.round > first_seen_round_) {
    const double pace = static_cast<double>(view.round - first_seen_round_) / view.seconds;
    view.seconds_left = static_cast<double>(rounds_total_ - view.round) / pace;
  }
  return view;
}

}  // namespace weightmesh::demo
