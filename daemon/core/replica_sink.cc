// The life of a replica's pulls.
#include "daemon/core/replica_sink.h"

#include <algorithm>
#include <limits>
#include <set>

#include "daemon/core/check.h"

namespace weightmesh {
namespace {

constexpr uint64_t kNotOverdue = std::numeric_limits<uint64_t>::max();

uint32_t RemainingMs(absl::Duration left) {
  const int64_t ms = absl::ToInt64Milliseconds(left);
  return static_cast<uint32_t>(std::clamp<int64_t>(ms, 1, std::numeric_limits<int32_t>::max()));
}

}  // namespace

ReplicaSink::ReplicaSink(AttachId attach, uint32_t own, Run* run, StepContext* context,
                         ReplicaStatistics* statistics, std::vector<uint64_t> segment_bytes)
    : attach_(attach),
      own_(own),
      run_(run),
      context_(context),
      statistics_(statistics),
      segment_bytes_(std::move(segment_bytes)),
      pulls_(segment_bytes_.size()),
      buffers_(segment_bytes_.size()),
      frozen_segments_(segment_bytes_.size()) {}

void ReplicaSink::Begin(Round round, std::shared_ptr<const RoundView> view,
                        absl::Span<const Partners> partners, const DerivedTimes& times) {
  GiveUp();
  catching_up_ = false;
  Open(round, std::move(view), partners, times);
}

void ReplicaSink::CatchUp(Round round, std::shared_ptr<const RoundView> view,
                          absl::Span<const Partners> partners, const DerivedTimes& times) {
  GiveUp();
  catching_up_ = true;
  caught_.resize(segment_bytes_.size());
  all_caught_ = std::find(caught_.begin(), caught_.end(), kNoRound) == caught_.end();
  Open(round, std::move(view), partners, times);
}

void ReplicaSink::Open(Round round, std::shared_ptr<const RoundView> view,
                       absl::Span<const Partners> partners, const DerivedTimes& times) {
  round_ = round;
  view_ = std::move(view);
  overdue_.resize(run_->roster_size(), kNotOverdue);
  statistics_->sources.resize(run_->roster_size());
  times_ = times;
  begun_at_ = context_->now();
  frozen_ = false;
  collect_wanted_ = false;
  left_behind_ = false;
  hasty_ = run_->config().mode != Mode::kLockstep && !catching_up_;
  pending_ = 0;
  const bool alone = view_->size() < (catching_up_ ? 1 : 2);
  for (uint32_t segment = 0; segment < pulls_.size(); ++segment) {
    pulls_[segment] = SegmentPull{};
    if (alone || (catching_up_ && !IsMissing(segment))) continue;
    pulls_[segment].source = partners[segment].source;
    pulls_[segment].state = PullState::kEnding;
    ++pending_;
  }
  for (uint32_t segment = 0; segment < pulls_.size(); ++segment) {
    if (IsOpen(pulls_[segment])) Ask(segment);
  }
}

// A pass that is cut short by its deadline leaves the rest to the next ones.
bool ReplicaSink::IsMissing(uint32_t segment) const {
  const Round caught = caught_[segment];
  return all_caught_ ? Next(caught) < run_->newest_round() : caught == kNoRound;
}

void ReplicaSink::Skip(Round round) {
  GiveUp();
  round_ = round;
  frozen_ = true;
  collect_wanted_ = false;
}

// What was not collected, or delivered and never mixed, is LATE.
void ReplicaSink::GiveUp() {
  for (uint32_t segment = 0; segment < pulls_.size(); ++segment) {
    SegmentPull& pull = pulls_[segment];
    if (IsOpen(pull)) EndLate(segment);
    if (pull.state == PullState::kLanded && (!frozen_ || unmixed_)) {
      buffers_[segment][pull.buffer].state = BufferState::kFree;
      ++statistics_->pulls[static_cast<size_t>(Outcome::kLate)];
      ++statistics_->segments[segment].pulls[static_cast<size_t>(Outcome::kLate)];
    } else if (pull.state == PullState::kFailed && !frozen_) {
      ++statistics_->pulls[static_cast<size_t>(pull.verdict)];
      ++statistics_->segments[segment].pulls[static_cast<size_t>(pull.verdict)];
    }
    pull.state = PullState::kNone;
  }
  pending_ = 0;
  frozen_ = true;
  unmixed_ = false;
  delivery_ready_ = false;
}

// Requests the segment from pull.source, or from the next source that can be reached.
void ReplicaSink::Ask(uint32_t segment) {
  SegmentPull& pull = pulls_[segment];
  while (pull.source != own_ && !context_->HasPath(run_->MemberAt(pull.source))) {
    if (pull.first_failure == Outcome::kNone) pull.first_failure = Outcome::kDead;
    ++statistics_->redirects;
    ++pull.hops;
    pull.source = run_->PartnersOf(*view_, round_, SegmentId{segment}, pull.source).source;
    if (pull.hops >= view_->size()) break;
  }
  if (pull.source == own_ || pull.hops >= view_->size()) {
    return Fail(segment, pull.first_failure);
  }
  auto& buffers = buffers_[segment];
  const uint32_t buffer = buffers[0].state == BufferState::kFree ? 0 : 1;
  if (buffers[buffer].state != BufferState::kFree) return Fail(segment, Outcome::kLate);
  const absl::Duration left = begun_at_ + times_.round_deadline - context_->now();
  if (left <= absl::ZeroDuration()) return Fail(segment, Outcome::kLate);

  const Member& source = run_->MemberAt(pull.source);
  pull.state = PullState::kAsked;
  pull.buffer = buffer;
  pull.asked_at = context_->now();
  pull.request = context_->OpenRequest(attach_, source.node, SegmentId{segment}, buffer);
  buffers[buffer] = Buffer{BufferState::kOpen, absl::InfinitePast(), source.node};
  ++open_requests_;
  context_->link(source.node).PullOpened(context_->now());
  WakeBy(pull.asked_at + times_.probe_timeout);
  PullRequest request;
  request.peer = source.node;
  request.request_id = pull.request;
  request.run_key = run_->key();
  request.source = source.info.replica_id;
  request.reader = run_->MemberAt(own_).info.replica_id;
  request.round = round_;
  request.oldest_round = catching_up_ ? Round{1} : kNoRound;
  request.segment = SegmentId{segment};
  request.remaining_ms = RemainingMs(left);
  request.newest_round = run_->newest_round();
  request.rounds_behind_max = Value(round_) - Value(OldestRound(run_->config(), round_));
  if (run_->config().mode == Mode::kAsync) {  // up to what Run::IsPlausible takes
    request.rounds_ahead_max = Value(run_->newest_round()) - Value(round_) + kRoundJumpMax;
  }
  context_->Emit(StartPull{request, attach_, buffer});
}

void ReplicaSink::Redirect(uint32_t segment, Outcome reason) {
  SegmentPull& pull = pulls_[segment];
  if (pull.first_failure == Outcome::kNone) pull.first_failure = reason;
  ++statistics_->sources[pull.source].failed;
  ++statistics_->redirects;
  if (++pull.hops >= view_->size()) return Fail(segment, pull.first_failure);
  pull.source = run_->PartnersOf(*view_, round_, SegmentId{segment}, pull.source).source;
  Ask(segment);
}

void ReplicaSink::Fail(uint32_t segment, Outcome outcome) {
  SegmentPull& pull = pulls_[segment];
  WEIGHTMESH_CHECK(IsOpen(pull), "a pull ended twice");
  pull.state = PullState::kFailed;
  pull.verdict = outcome;
  --pending_;
}

// The pull has its outcome; its buffer waits until the transport lets go of it.
void ReplicaSink::EndLate(uint32_t segment) {
  SegmentPull& pull = pulls_[segment];
  Buffer& buffer = buffers_[segment][pull.buffer];
  if (buffer.state == BufferState::kOpen) {
    buffer.state = BufferState::kQuarantine;
    buffer.quarantined_at = context_->now();
    context_->Emit(CancelPull{pull.request});
    WakeBy(context_->now() + 2 * times_.round_deadline);
  }
  Fail(segment, Outcome::kLate);
}

void ReplicaSink::Answered(SegmentId segment_id, uint32_t buffer, const PullAnswer& answer) {
  const uint32_t segment = Value(segment_id);
  SegmentPull& pull = pulls_[segment];
  if (buffers_[segment][buffer].state != BufferState::kOpen || pull.buffer != buffer) {
    return;  // of a pull that has its outcome
  }
  // A cancel may come too late: data is heard of even then, for it lands.
  if (pull.state == PullState::kEnding && answer.verdict != wire::Verdict::kData) return;
  switch (answer.verdict) {
    case wire::Verdict::kData:
      pull.state = PullState::kMoving;
      pull.source_round = answer.round;
      return;
    case wire::Verdict::kQueued:
      pull.state = PullState::kQueued;
      WakeBy(context_->now() + times_.probe_timeout);
      return;
    case wire::Verdict::kWaiting:
      pull.state = PullState::kWaiting;
      pull.source_round = answer.round;
      WakeBy(context_->now() + times_.probe_timeout);
      if (!catching_up_ && overdue_[pull.source] == Value(answer.round)) {
        EndLate(segment);
      } else {
        overdue_[pull.source] = kNotOverdue;
      }
      break;
    case wire::Verdict::kGone:
      pull.verdict = Outcome::kGone;
      break;
    case wire::Verdict::kSkipped:
      pull.verdict = Outcome::kSkipped;
      break;
    case wire::Verdict::kBusy:
      pull.verdict = Outcome::kBusy;
      break;
    case wire::Verdict::kDead:
      pull.verdict = Outcome::kDead;
      break;
  }
  if (answer.verdict != wire::Verdict::kWaiting) pull.state = PullState::kEnding;
  MaybeFreeze();
}

void ReplicaSink::Ended(SegmentId segment_id, uint32_t buffer_index, PullEnd end) {
  const uint32_t segment = Value(segment_id);
  SegmentPull& pull = pulls_[segment];
  Buffer& buffer = buffers_[segment][buffer_index];
  const NodeId peer = buffer.peer;
  --open_requests_;
  context_->link(peer).PullClosed(context_->now());
  const bool current = buffer.state == BufferState::kOpen;
  buffer.state = BufferState::kFree;
  if (!current) return;
  if (end == PullEnd::kLanded) {
    buffer.state = BufferState::kLanded;
    CountLanded(segment, pull);
    pull.state = PullState::kLanded;
    --pending_;
  } else if (end == PullEnd::kNoData &&
             (pull.verdict == Outcome::kGone || pull.verdict == Outcome::kBusy)) {
    ++statistics_->sources[pull.source].failed;
    Fail(segment, pull.verdict);
  } else if (end == PullEnd::kNoRoom) {
    Fail(segment, Outcome::kBusy);  // a limit of this daemon: says nothing of the source
  } else {
    const bool broken = end == PullEnd::kFailed;
    if (broken) context_->PullFailed(peer, times_.probe_timeout);
    pull.state = PullState::kEnding;
    Redirect(segment, pull.verdict == Outcome::kNone || broken ? Outcome::kDead : pull.verdict);
    pull.verdict = pull.state == PullState::kFailed ? pull.verdict : Outcome::kNone;
  }
  MaybeFreeze();
}

void ReplicaSink::CountLanded(uint32_t segment, const SegmentPull& pull) {
  const uint64_t bytes = segment_bytes_[segment];
  const uint64_t us = absl::ToInt64Microseconds(context_->now() - pull.asked_at);
  statistics_->bytes_received += bytes;
  statistics_->pull_time_us.Add(us);
  statistics_->segments[segment].bytes_received += bytes;
  statistics_->sources[pull.source].bytes += bytes;
  LinkStatistics& link = context_->link(run_->MemberAt(pull.source).node);
  link.bytes_received += bytes;
  link.pull_time_us.Add(us);
  ++link.pulls_landed;
}

void ReplicaSink::Tick() {
  if (context_->now() < next_deadline_) return;
  // This daemon stood still: what came meanwhile has not been looked at.
  if (context_->now() - next_deadline_ >= times_.probe_timeout) awake_since_ = context_->now();
  FindSilent();
  MeetDeadline();
  CutStuckLinks();
  MaybeFreeze();
  ScheduleTick();
}

// A request without any answer for probe_timeout: its source is silent. One that was answered
// waits, as long as its source gives signs of life.
void ReplicaSink::FindSilent() {
  for (SegmentPull& pull : pulls_) {
    if (pull.state != PullState::kAsked && !IsParked(pull)) continue;
    const Member& source = run_->MemberAt(pull.source);
    const absl::Time since = std::max(pull.asked_at, awake_since_);
    if (IsParked(pull)) {
      if (context_->HasPath(source)) {
        const absl::Duration silence = context_->now() - context_->HeardFrom(source.node);
        if (silence >= times_.probe_timeout) {
          context_->AskForLife(source.node, times_.probe_timeout);
        }
        continue;
      }
    } else if (context_->now() - since < times_.probe_timeout) {
      continue;
    } else {
      context_->PullUnanswered(source.node, since, times_.probe_timeout, 2 * times_.round_deadline);
    }
    pull.state = PullState::kEnding;
    pull.verdict = Outcome::kDead;
    context_->Emit(CancelPull{pull.request});
  }
}

// Whether the source had nothing yet that would do. In async a slower one has, unless it is slower
// than the limit; then the pull waited for the end of this replica's other transfers from it.
bool ReplicaSink::KeptWaiting(const SegmentPull& pull) const {
  return run_->config().mode != Mode::kAsync ||
         pull.source_round < OldestRound(run_->config(), round_);
}

// At the round's deadline everything open is LATE; who kept this replica waiting is remembered.
void ReplicaSink::MeetDeadline() {
  if (pending_ == 0) return;
  const absl::Time now = context_->now();
  const bool round_over = now >= begun_at_ + times_.round_deadline;
  if (!round_over && !(collect_wanted_ && now >= collect_deadline_)) return;
  for (uint32_t segment = 0; segment < pulls_.size(); ++segment) {
    SegmentPull& pull = pulls_[segment];
    if (!IsOpen(pull)) continue;
    const bool waited = round_over && pull.state == PullState::kWaiting && !catching_up_;
    if (waited && KeptWaiting(pull)) {
      overdue_[pull.source] = Value(pull.source_round);
    }
    EndLate(segment);
  }
}

// A transfer that still holds its buffer two deadlines later never ends by itself.
void ReplicaSink::CutStuckLinks() {
  std::set<NodeId> stuck;
  for (auto& buffers : buffers_) {
    for (Buffer& buffer : buffers) {
      if (buffer.state != BufferState::kQuarantine) continue;
      if (context_->now() - buffer.quarantined_at < 2 * times_.round_deadline) continue;
      buffer.quarantined_at = context_->now();
      stuck.insert(buffer.peer);
    }
  }
  for (NodeId peer : stuck) context_->CutLink(peer);
}

// Deadlines that have become void are found at the tick, not searched for at every event.
void ReplicaSink::ScheduleTick() {
  next_deadline_ = absl::InfiniteFuture();
  if (pending_ > 0) {
    next_deadline_ = begun_at_ + times_.round_deadline;
    if (collect_wanted_) next_deadline_ = std::min(next_deadline_, collect_deadline_);
    for (const SegmentPull& pull : pulls_) {
      if (pull.state != PullState::kAsked && !IsParked(pull)) continue;
      const absl::Time since =
          IsParked(pull) ? context_->now() : std::max(pull.asked_at, awake_since_);
      next_deadline_ = std::min(next_deadline_, since + times_.probe_timeout);
    }
  }
  if (open_requests_ > pending_) {
    for (const auto& buffers : buffers_) {
      for (const Buffer& buffer : buffers) {
        if (buffer.state != BufferState::kQuarantine) continue;
        next_deadline_ =
            std::min(next_deadline_, buffer.quarantined_at + 2 * times_.round_deadline);
      }
    }
  }
}

}  // namespace weightmesh
