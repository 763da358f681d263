// A local replica's states and what it tells its trainer.
#include "daemon/core/local_replica.h"

#include <algorithm>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "daemon/core/hash.h"

namespace weightmesh {
namespace {

// What a collect may take beyond its deadline before the trainer gives up on its daemon.
constexpr absl::Duration kCollectSlack = absl::Seconds(1);

}  // namespace

LocalReplica::LocalReplica(AttachId attach, ReplicaId replica, Run* run, StepContext* context,
                           std::vector<uint64_t> segment_bytes, absl::Time start_deadline,
                           uint32_t sends_per_peer_max)
    : attach_(attach),
      replica_(replica),
      run_(run),
      context_(context),
      segment_bytes_(std::move(segment_bytes)),
      start_deadline_(start_deadline),
      source_(attach, run, context, &statistics_, segment_bytes_, sends_per_peer_max),
      agreement_(replica, run) {
  page_.attach = attach;
}

void LocalReplica::Start() {
  own_ = *run_->NumberOf(replica_);
  partners_.resize(segment_bytes_.size());
  statistics_.segments.resize(segment_bytes_.size());
  statistics_.sources.resize(run_->roster_size());
  source_.Start(own_);
  sink_ =
      std::make_unique<ReplicaSink>(attach_, own_, run_, context_, &statistics_, segment_bytes_);
  if (state_ == ReplicaState::kWaiting) SetState(ReplicaState::kActive);
  UpdateTrainer();
  context_->Emit(StartReplica{attach_});
}

// One pass over all segments, each from another donor: who joins at the same time, or tries again,
// asks others.
void LocalReplica::CatchUp(Round round) {
  if (round <= caught_up_ || !run_->IsPlausible(round)) return;
  caught_up_ = round;
  const std::shared_ptr<const RoundView> view = run_->ViewOf(Next(run_->newest_round()));
  for (uint32_t segment = 0; segment < partners_.size(); ++segment) {
    if (view->size() == 0) break;
    const uint64_t draw = Hash64({replica_.high, replica_.low, Value(round), segment});
    partners_[segment].source = view->NumberOf(static_cast<uint32_t>(draw % view->size()));
  }
  sink_->CatchUp(round, view, partners_, Times());
  UpdateTrainer();
}

void LocalReplica::TakePart() {
  if (state_ != ReplicaState::kJoining || !started()) return;
  Member* member = run_->Find(replica_);
  member->info.active_from = std::max(run_->AnnouncedRound(), Next(caught_up_));
  const size_t segments = statistics_.segments.size();
  sink_->Skip(caught_up_);            // ends a pass that is still open
  statistics_ = ReplicaStatistics{};  // what was pulled before it took part is no round's
  statistics_.segments.resize(segments);
  statistics_.sources.resize(run_->roster_size());
  SetState(ReplicaState::kActive);
  UpdateTrainer();
}

DerivedTimes LocalReplica::Times() const {
  return DeriveTimes(run_->config(), round_clock_.Median());
}

Round LocalReplica::published_round() const { return source_.published_round(); }
Round LocalReplica::mixed_round() const {
  return sink_ == nullptr ? kNoRound : sink_->mixed_round();
}

// A trainer may only go forward, and not further than the coupling of rounds allows.
bool LocalReplica::Accepts(Round round) const {
  if (!TakesPart(state_) || leaving_) return false;
  return round > source_.passed_round() && round >= run_->Find(replica_)->info.active_from &&
         !HasEnded(round) && run_->IsPlausible(round);
}

// Its last round was before `round`, which its trainer may not know yet.
bool LocalReplica::HasEnded(Round round) const {
  const Round left_at = run_->Find(replica_)->info.left_at;
  return state_ == ReplicaState::kLeft || (left_at != kNoRound && round >= left_at);
}

void LocalReplica::FindPartners(const RoundView& view, Round round) {
  for (uint32_t segment = 0; segment < partners_.size(); ++segment) {
    partners_[segment] = run_->PartnersOf(view, round, SegmentId{segment}, own_);
  }
}

void LocalReplica::Publish(Round round, SlotId slot) {
  if (!Accepts(round)) return;
  const absl::Time now = context_->now();
  if (last_publish_ != absl::InfinitePast()) {
    round_clock_.Add(now - last_publish_);
    statistics_.round_time_us.Add(absl::ToInt64Microseconds(now - last_publish_));
  }
  last_publish_ = now;
  agreement_.Publish(now, round);
  run_->Observe(now, round);
  const std::shared_ptr<const RoundView> view = run_->ViewOf(round);
  FindPartners(*view, round);
  const DerivedTimes times = Times();
  source_.Publish(round, slot, view, partners_, times);
  sink_->Begin(round, view, partners_, times);
  if (agreement_.Covers(round)) sink_->AwaitAll();
  UpdateTrainer();
}

void LocalReplica::SkipPublish(Round round) {
  if (!Accepts(round)) return;
  source_.Skip(round);
  sink_->Skip(round);
  UpdateTrainer();
}

void LocalReplica::Collect(Round round) {
  if (HasEnded(round) && started() && !gone_) return context_->Emit(sink_->Nothing(round));
  if (state_ == ReplicaState::kJoining && started()) CatchUp(round);
  const bool collects = TakesPart(state_) || state_ == ReplicaState::kJoining;
  if (!collects || !started() || leaving_) return;
  sink_->Collect(round);
  HandOver();
}

void LocalReplica::WantAgreement(Round round, double distance, bool first) {
  if (!Accepts(round)) return;
  agreement_.Want(round, distance, first);
  UpdateTrainer();
}

bool LocalReplica::Mixed(Round round, absl::Span<const MixedSegmentResult> results) {
  if (sink_ == nullptr) return false;
  const std::optional<double> distance = sink_->Mixed(round, results);
  return IsLive(state_) && agreement_.Mixed(round, distance);
}

void LocalReplica::Answered(SegmentId segment, uint32_t buffer, const PullAnswer& answer) {
  sink_->Answered(segment, buffer, answer);
  HandOver();
}

void LocalReplica::PullEnded(SegmentId segment, uint32_t buffer, enum PullEnd end) {
  sink_->Ended(segment, buffer, end);
  HandOver();
}

// The page comes before the delivery: a trainer that wakes must find the next round there.
void LocalReplica::HandOver() {
  std::optional<Deliver> delivery = sink_->TakeDelivery();
  if (!delivery.has_value()) return;
  UpdateTrainer();
  context_->Emit(*delivery);
}

// design.md section 4, "Round numbers are coupled".
void LocalReplica::UpdateTrainer() {
  const bool joining = state_ == ReplicaState::kJoining;
  const Round active_from = run_->Find(replica_)->info.active_from;
  Round own = std::max({source_.passed_round(), run_->founding().start_round, caught_up_});
  if (active_from > Next(own)) own = Round{Value(active_from) - 1};
  const bool lockstep = run_->config().mode == Mode::kLockstep;
  const bool couple = !lockstep || sink_->left_behind() || joining;
  const bool waits = lockstep || joining || agreement_.is_wanted();
  const DerivedTimes times = Times();
  UpdatePage page = page_;
  page.next_round = couple ? std::max(Next(own), run_->newest_round()) : Next(own);
  page.newest_round = run_->newest_round();
  page.view_replicas = run_->view().size();
  page.publish_wait = times.publish_wait;
  page.collect_wait = kCollectSlack + (waits ? times.round_deadline : times.overlap_grace);
  page.active_from = joining ? kNoRound : std::max(active_from, Next(run_->founding().start_round));
  // Whoever was not waited for has no round any more, whatever was announced.
  page.leaves_at = IsLive(state_) ? run_->Find(replica_)->info.left_at : Round{1};
  if (IsLive(state_)) TellAgreement(&page);
  const auto words = [](const UpdatePage& p) {
    return std::tuple(p.next_round, p.newest_round, p.view_replicas, p.publish_wait, p.collect_wait,
                      p.active_from, p.leaves_at, p.agreed_at, p.agreed_distance);
  };
  if (words(page) == words(page_)) return;
  page_ = page;
  context_->Emit(page);
}

void LocalReplica::TellAgreement(UpdatePage* page) const {
  const std::optional<Agreement::End> end = agreement_.end();
  page->agreed_at = end.has_value() ? end->round : kNoRound;
  page->agreed_distance = end.has_value() ? end->distance : 0;
  if (page->agreed_at == page_.agreed_at || !end.has_value()) return;
  context_->Emit(
      Log{LogLevel::kInfo,
          absl::StrCat("replica ", run_->Find(replica_)->info.name, " of run ", run_->run_id(),
                       " stops exchanging after round ", Value(end->round),
                       ": the consensus distance is ", end->distance)});
}

void LocalReplica::NewestRoundChanged() {
  const bool follows = TakesPart(state_) || state_ == ReplicaState::kJoining;
  if (follows && started()) UpdateTrainer();
}

void LocalReplica::SetState(ReplicaState state) {
  const ReplicaState before = state_;
  state_ = state;
  Member* member = run_->Find(replica_);
  if (member == nullptr) return;
  // Whoever hears of the end in time leaves it out from the same round on.
  const bool ends = !IsLive(state) && run_->started() && member->info.left_at == kNoRound;
  if (ends) member->info.left_at = run_->AnnouncedRound();
  const bool never_began = ends && before == ReplicaState::kJoining;
  if (never_began) member->info.active_from = member->info.left_at;
  member->info.state = state;
  run_->MemberChanged();
}

void LocalReplica::Leave() {
  if (state_ == ReplicaState::kWaiting || state_ == ReplicaState::kJoining) {
    SetState(ReplicaState::kLeft);
    if (started()) sink_->Cancel();
    source_.Close();
    context_->Emit(FinishLeave{attach_});
    return;
  }
  if (state_ == ReplicaState::kLeft) context_->Emit(FinishLeave{attach_});  // EndDrain
  if (!TakesPart(state_) || leaving_) return;
  leaving_ = true;
  leave_deadline_ = context_->now() + run_->config().round_deadline;
  sink_->Cancel();
  FinishLeaveWhenIdle();
}

void LocalReplica::Drain() {
  if (state_ != ReplicaState::kActive || leaving_ || gone_) return;
  run_->Find(replica_)->info.left_at =
      std::max(run_->AnnouncedRound(), Next(source_.passed_round()));
  SetState(ReplicaState::kDraining);
  UpdateTrainer();
}

void LocalReplica::EndDrain() {
  if (!TakesPart(state_) || !started() || gone_) return;
  SetState(ReplicaState::kLeft);
  sink_->CutShort();
  source_.Close();
  if (std::exchange(leaving_, false)) context_->Emit(FinishLeave{attach_});
  UpdateTrainer();
  HandOver();
}

void LocalReplica::FinishLeaveWhenIdle() {
  if (!leaving_ || !TakesPart(state_)) return;
  if (!source_.IsIdle() && context_->now() < leave_deadline_) return;
  SetState(ReplicaState::kLeft);
  source_.Close();
  context_->Emit(FinishLeave{attach_});
}

void LocalReplica::Die() {
  if (gone_) return;
  gone_ = true;
  if (started()) sink_->Cancel();
  if (state_ == ReplicaState::kLeft) return;
  SetState(ReplicaState::kDead);
  source_.Close();
}

void LocalReplica::Tick() {
  source_.Tick();
  if (!started()) return;
  sink_->Tick();
  HandOver();
  FinishLeaveWhenIdle();
}

absl::Time LocalReplica::next_deadline() const {
  absl::Time next = source_.next_deadline();
  if (started()) next = std::min(next, sink_->next_deadline());
  if (leaving_ && TakesPart(state_)) next = std::min(next, leave_deadline_);
  return next;
}

bool LocalReplica::Free() {
  if (freed_ || !gone_) return false;
  if (!source_.IsIdle() || (started() && !sink_->IsIdle())) return false;
  freed_ = true;
  context_->Emit(FreeArena{attach_});
  return true;
}

}  // namespace weightmesh
