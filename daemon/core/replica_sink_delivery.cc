// What the trainer gets of a round: the collect, its end, and the mix.
#include <algorithm>

#include "daemon/core/replica_sink.h"

namespace weightmesh {

void ReplicaSink::Collect(Round round) {
  if (round != round_ || frozen_ || collect_wanted_) return;
  collect_wanted_ = true;
  collect_deadline_ = begun_at_ + times_.round_deadline;
  if (hasty_) {
    collect_deadline_ = std::min(collect_deadline_, context_->now() + times_.overlap_grace);
  }
  WakeBy(collect_deadline_);
  MaybeFreeze();
}

// Lockstep waits for every pull; the other modes only for those under way.
void ReplicaSink::MaybeFreeze() {
  if (!collect_wanted_ || frozen_) return;
  if (pending_ > 0 && hasty_) {
    const bool under_way = std::any_of(pulls_.begin(), pulls_.end(),
                                       [this](const SegmentPull& p) { return IsUnderWay(p); });
    if (!under_way) {
      for (uint32_t segment = 0; segment < pulls_.size(); ++segment) {
        if (IsOpen(pulls_[segment])) EndLate(segment);
      }
    }
  }
  if (pending_ == 0) Freeze();
}

void ReplicaSink::Freeze() {
  frozen_ = true;
  unmixed_ = true;
  ++statistics_->rounds_collected;
  for (uint32_t segment = 0; segment < pulls_.size(); ++segment) {
    const SegmentPull& pull = pulls_[segment];
    FrozenSegment& frozen = frozen_segments_[segment];
    frozen = FrozenSegment{};
    if (pull.state == PullState::kLanded) {
      frozen.delivered = true;
      frozen.buffer = pull.buffer;
      frozen.source_round = pull.source_round;
      frozen.source = run_->MemberAt(pull.source).info.replica_id;
    } else if (pull.state == PullState::kFailed) {
      frozen.outcome = pull.verdict;
      ++statistics_->pulls[static_cast<size_t>(pull.verdict)];
      ++statistics_->segments[segment].pulls[static_cast<size_t>(pull.verdict)];
      if (pull.verdict == Outcome::kGone) left_behind_ = true;
    }
  }
  delivery_ready_ = true;
}

std::optional<Deliver> ReplicaSink::TakeDelivery() {
  if (!delivery_ready_) return std::nullopt;
  delivery_ready_ = false;
  return Deliver{attach_, round_, frozen_segments_};
}

std::optional<double> ReplicaSink::Mixed(Round round,
                                         absl::Span<const MixedSegmentResult> results) {
  if (round != round_ || !frozen_ || !unmixed_ || results.size() != pulls_.size()) {
    return std::nullopt;
  }
  unmixed_ = false;
  mixed_round_ = round;
  double difference_squared = 0;
  uint64_t bytes_mixed = 0;
  uint64_t bytes_all = 0;
  bool with_returned = false;
  for (uint32_t segment = 0; segment < pulls_.size(); ++segment) {
    bytes_all += segment_bytes_[segment];
    SegmentPull& pull = pulls_[segment];
    if (pull.state != PullState::kLanded) continue;
    const Outcome outcome =
        results[segment].outcome == Outcome::kNone ? Outcome::kLate : results[segment].outcome;
    ++statistics_->pulls[static_cast<size_t>(outcome)];
    ++statistics_->segments[segment].pulls[static_cast<size_t>(outcome)];
    if (outcome == Outcome::kArrived) {
      if (catching_up_) caught_[segment] = pull.source_round;
      ++statistics_->sources[pull.source].arrived;
      with_returned = with_returned || run_->heal_watch().Awaits(pull.source);
      statistics_->staleness.Add(Value(round_) - std::min(Value(round_), Value(pull.source_round)));
      difference_squared += results[segment].difference_squared;
      bytes_mixed += segment_bytes_[segment];
    } else {
      ++statistics_->sources[pull.source].failed;
    }
    buffers_[segment][pull.buffer].state = BufferState::kFree;
    pull.state = PullState::kNone;
  }
  if (bytes_mixed == 0) return std::nullopt;
  // paper.md: the free estimate (n-1)/(2n)·|x_i - x_source|², scaled up to the whole model where
  // segments are missing.
  const double n = view_->size();
  statistics_->consensus_distance =
      (n - 1) / (2 * n) * difference_squared * (static_cast<double>(bytes_all) / bytes_mixed);
  if (!catching_up_) WatchHeal(with_returned);
  if (bytes_mixed < bytes_all / 2) return std::nullopt;
  return statistics_->consensus_distance;
}

void ReplicaSink::WatchHeal(bool with_returned) {
  const double distance = statistics_->consensus_distance;
  const auto heal = run_->heal_watch().Mixed(context_->now(), with_returned, distance);
  if (!heal.has_value()) return;
  std::string line = DescribeHeal(*run_, *heal);
  if (!line.empty()) context_->Emit(Log{LogLevel::kInfo, std::move(line)});
}

void ReplicaSink::Cancel() {
  CancelOpen();
  GiveUp();
}

void ReplicaSink::CutShort() {
  if (!collect_wanted_ || frozen_) return Cancel();
  CancelOpen();
  MaybeFreeze();
}

void ReplicaSink::CancelOpen() {
  for (uint32_t segment = 0; segment < pulls_.size(); ++segment) {
    SegmentPull& pull = pulls_[segment];
    if (!IsOpen(pull)) continue;
    EndLate(segment);
    pull.verdict = Outcome::kCancelled;
  }
}

Deliver ReplicaSink::Nothing(Round round) {
  Skip(round);
  frozen_segments_.assign(frozen_segments_.size(), FrozenSegment{});
  return Deliver{attach_, round, frozen_segments_};
}

}  // namespace weightmesh
