// Serving a replica's snapshots to its sinks.
#include "daemon/core/replica_source.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "daemon/core/fair_share.h"
#include "daemon/core/node_core.h"

namespace weightmesh {
namespace {

// What may go to one peer at once beyond sends_per_peer_max.
constexpr uint32_t kSmallSendsMax = 64;
constexpr uint64_t kSmallSendsBytes = 128 << 10;

// Requests that may wait at one replica, for each of its segments, and of one peer up to its fair
// share (half, when no other waits); beyond it: BUSY. Without faults one reader of a segment waits;
// redirects and the next rounds' readers add to it.
constexpr size_t kWaitingPerSegmentMax = 16;

// How often a reader may take a segment of one snapshot. Once is enough (in async: once in each of
// its own rounds for which that snapshot will do); one that takes it for ever would hold the slot
// for ever.
constexpr size_t kReadsPerSegmentMax = 2;

// False for a round before the first that the source takes part in: it is asked for by who has not
// heard that the replica that had its name is gone.
bool MayComeToPublish(const ReplicaInfo& source, const PullRequest& request) {
  if (request.oldest_round != kNoRound) return true;  // of another that catches up
  return source.state != ReplicaState::kJoining && request.round >= source.active_from;
}

}  // namespace

ReplicaSource::ReplicaSource(AttachId attach, Run* run, StepContext* context,
                             ReplicaStatistics* statistics, std::vector<uint64_t> segment_bytes,
                             uint32_t sends_per_peer_max)
    : attach_(attach),
      run_(run),
      context_(context),
      statistics_(statistics),
      segment_bytes_(std::move(segment_bytes)),
      sends_per_peer_max_(sends_per_peer_max),
      waiting_max_(segment_bytes_.size() * kWaitingPerSegmentMax) {
  for (uint32_t k = 0; k < slots_.size(); ++k) {
    slot_ids_[k] = SlotId{k};
    slots_[k].owed_to.assign(segment_bytes_.size(), kNobody);
  }
  waiting_.reserve(2 * segment_bytes_.size());
  sends_.reserve(segment_bytes_.size());
  times_ = DeriveTimes(run->config(), absl::ZeroDuration());
}

void ReplicaSource::Publish(Round round, SlotId slot_id, std::shared_ptr<const RoundView> view,
                            absl::Span<const Partners> partners, const DerivedTimes& times) {
  if (round <= passed_round_ || closed_) return;
  times_ = times;
  passed_round_ = round;
  published_round_ = round;
  history_[published_count_++ % kRoundsRemembered] = round;
  ++statistics_->rounds_published;
  Slot& slot = slots_[Value(slot_id)];
  slot.round = round;
  slot.view = std::move(view);
  slot.published_at = context_->now();
  slot.claims_end_at = context_->now() + times_.round_deadline;
  if (slot.view->size() > 1) statistics_->segments_published += segment_bytes_.size();
  slot.held = run_->config().mode == Mode::kLockstep;
  slot.claims = 0;
  std::fill(slot.owed_to.begin(), slot.owed_to.end(), kNobody);
  slot.reads.assign(run_->roster_size(), 0);
  lapsed_.resize(run_->roster_size(), kNoRound);
  for (uint32_t segment = 0; slot.held && segment < partners.size(); ++segment) {
    slot.owed_to[segment] = ReaderFrom(slot, segment, partners[segment].sink);
    slot.claims += slot.owed_to[segment] != kNobody;
  }
  if (slot.claims > 0) WakeBy(context_->now() + times_.probe_timeout);
  ReleaseIfFree(slot_id);
  ServeWaiting();
}

void ReplicaSource::Skip(Round round) {
  if (round <= passed_round_ || closed_) return;
  passed_round_ = round;
  ++statistics_->publishes_skipped;
  ServeWaiting();
  std::string reason = DescribeHolders();
  if (reason == skip_reason_) return;
  skip_reason_ = std::move(reason);
  // In overlap and async the wait is short, and a skip nothing special.
  const bool lockstep = run_->config().mode == Mode::kLockstep;
  context_->Emit(Log{
      lockstep ? LogLevel::kWarning : LogLevel::kDebug,
      absl::StrCat("round ", Value(round), " of replica ", run_->MemberAt(own_).info.name,
                   " is not published: no slot came free within publish_wait; ", skip_reason_)});
}

SlotId const* ReplicaSource::FindSlot(Round round) const {
  for (uint32_t k = 0; k < slots_.size(); ++k) {
    if (slots_[k].round == round && round != kNoRound) return &slot_ids_[k];
  }
  return nullptr;
}

wire::Verdict ReplicaSource::VerdictWithoutSlot(Round round) const {
  const size_t remembered = std::min(published_count_, kRoundsRemembered);
  bool older_known = published_count_ <= kRoundsRemembered;
  for (size_t k = 0; k < remembered; ++k) {
    if (history_[k] == round) return wire::Verdict::kGone;
    older_known |= history_[k] < round;
  }
  return older_known ? wire::Verdict::kSkipped : wire::Verdict::kGone;
}

void ReplicaSource::Requested(const PullRequest& request) {
  if (closed_) {
    ++statistics_->requests_late;
    return Answer(request, wire::Verdict::kDead);
  }
  if (Value(request.segment) >= segment_bytes_.size()) {
    return Refuse(request, RequestRefusal::kUnknownSegment, wire::Verdict::kDead);
  }
  if (!MayRead(request)) {
    return Refuse(request, RequestRefusal::kForeignReader, wire::Verdict::kDead);
  }
  const Member* own = run_->Find(request.source);
  if (own != nullptr && !MayComeToPublish(own->info, request)) {
    ++statistics_->requests_late;
    return Answer(request, wire::Verdict::kDead);
  }
  const std::optional<uint32_t> reader = run_->NumberOf(request.reader);
  if (reader.has_value() && *reader < lapsed_.size()) lapsed_[*reader] = kNoRound;
  if (!Serve(request)) Park(request);
}

// A replica asks through the daemon that hosts it; otherwise anybody could take the snapshots that
// are owed to another, or have a stopped one waited for. Before the start nothing is served.
bool ReplicaSource::MayRead(const PullRequest& request) const {
  if (!run_->started()) return true;
  const Member* reader = run_->Find(request.reader);
  if (reader == nullptr) return false;
  return reader->node == request.peer || !context_->IsReachable(*reader);
}

void ReplicaSource::Park(const PullRequest& request) {
  PeerQueue& peer = peers_[request.peer];
  if (!HasFairShare(peer.waiting, waiting_.size(), waiting_max_)) {
    return Refuse(request, RequestRefusal::kBeyondShare, wire::Verdict::kBusy);
  }
  ++peer.waiting;
  const absl::Time until = context_->now() + std::min(absl::Milliseconds(request.remaining_ms),
                                                      run_->config().round_deadline);
  waiting_.push_back(Waiting{request, until});
  WakeBy(until);
  Answer(request, wire::Verdict::kWaiting);
}

// False, and nothing is said: it must wait.
bool ReplicaSource::Serve(const PullRequest& request) {
  const bool any = run_->config().mode == Mode::kAsync || CatchesUp(request);
  if (any) return ServeNewest(request);
  if (request.round > passed_round_) return false;
  const SlotId* slot = FindSlot(request.round);
  if (slot == nullptr) {
    Answer(request, VerdictWithoutSlot(request.round));
    return true;
  }
  // A reader pins one round of this replica at a time.
  const Round leased = LeasedBy(request.reader);
  if (leased != kNoRound && leased != request.round) return false;
  if (!ServeFrom(*slot, request)) Answer(request, wire::Verdict::kGone);
  return true;
}

// False when the trainer has taken the slot.
bool ReplicaSource::ServeFrom(SlotId slot, const PullRequest& request) {
  // Known since the start: nobody has published before it, and only members may read after it.
  std::vector<uint32_t>& reads = slots_[Value(slot)].reads;
  const std::optional<uint32_t> number = run_->NumberOf(request.reader);
  const size_t reads_max = kReadsPerSegmentMax + run_->config().staleness_rounds_max;
  if (number.has_value() && *number >= reads.size()) reads.resize(run_->roster_size(), 0);
  if (!number.has_value() || reads[*number] >= reads_max * segment_bytes_.size()) {
    Refuse(request, RequestRefusal::kBeyondShare, wire::Verdict::kBusy);
    return true;
  }
  ++reads[*number];
  if (!Lease(request, slot)) return false;
  StartOrQueue(Transfer{request, slot, context_->now()});
  return true;
}

bool ReplicaSource::Lease(const PullRequest& request, SlotId slot_id) {
  Slot& slot = slots_[Value(slot_id)];
  if (!slot.held) {
    if (!context_->keeper().Hold(attach_, slot_id, slot.round)) return false;
    slot.held = true;
  }
  ++slot.leases;
  ReaderLeases& reader = readers_[request.reader];
  reader.round = slot.round;
  ++reader.count;
  if (CatchesUp(request)) {
    ++catch_ups_;
    catch_up_round_ = slot.round;
  }
  return true;
}

bool ReplicaSource::Unlease(const PullRequest& request, SlotId slot) {
  --slots_[Value(slot)].leases;
  if (CatchesUp(request)) --catch_ups_;
  const bool was_last = --readers_.find(request.reader)->second.count == 0;
  ReleaseIfFree(slot);
  return was_last;
}

void ReplicaSource::StartOrQueue(const Transfer& transfer) {
  PeerQueue& peer = peers_[transfer.request.peer];
  if (peer.queued.empty() && MayStart(peer, transfer)) {
    Start(transfer);
  } else if (peer.queued.size() >= waiting_max_) {
    Unlease(transfer.request, transfer.slot);
    Refuse(transfer.request, RequestRefusal::kBeyondShare, wire::Verdict::kBusy);
  } else {
    peer.queued.push_back(transfer);
    Answer(transfer.request, wire::Verdict::kQueued);
  }
}

// Few large ones at once: more would share the link, each would take longer, and none would end
// sooner. What is small is over before another turn would come.
bool ReplicaSource::MayStart(const PeerQueue& peer, const Transfer& transfer) const {
  return peer.active < sends_per_peer_max_ ||
         (peer.active < kSmallSendsMax &&
          peer.active_bytes + BytesOf(transfer) <= kSmallSendsBytes);
}

void ReplicaSource::Start(const Transfer& transfer) {
  PeerQueue& peer = peers_[transfer.request.peer];
  ++peer.active;
  peer.active_bytes += BytesOf(transfer);
  const SendId send_id = context_->OpenSend(attach_);
  sends_.emplace(send_id, Transfer{transfer.request, transfer.slot, context_->now()});
  WakeBy(context_->now() + 2 * times_.round_deadline);
  PullAnswer answer;
  answer.peer = transfer.request.peer;
  answer.request_id = transfer.request.request_id;
  answer.run_key = run_->key();
  answer.verdict = wire::Verdict::kData;
  answer.segment = transfer.request.segment;
  answer.round = slots_[Value(transfer.slot)].round;
  answer.newest_round = run_->newest_round();
  context_->Emit(StartSend{answer, attach_, transfer.slot, send_id});
}

void ReplicaSource::SendEnded(SendId send_id, bool sent) {
  const auto found = sends_.find(send_id);
  if (found == sends_.end()) return;
  const Transfer transfer = found->second;
  sends_.erase(found);
  const uint32_t segment = Value(transfer.request.segment);
  if (sent) {
    statistics_->bytes_sent += segment_bytes_[segment];
    ++statistics_->segments_read;
    LinkStatistics& link = context_->link(transfer.request.peer);
    link.bytes_sent += segment_bytes_[segment];
    ++link.sends_ended;
    // Who catches up reads beside the sink, not in its place.
    if (!CatchesUp(transfer.request)) EndClaim(&slots_[Value(transfer.slot)], segment);
  }
  const bool was_last = Unlease(transfer.request, transfer.slot);
  PeerQueue& peer = peers_[transfer.request.peer];
  --peer.active;
  peer.active_bytes -= BytesOf(transfer);
  StartQueued(transfer.request.peer);
  if (was_last || CatchesUp(transfer.request)) ServeWaiting();
}

void ReplicaSource::StartQueued(NodeId peer_id) {
  PeerQueue& peer = peers_[peer_id];
  while (!peer.queued.empty() && MayStart(peer, peer.queued.front())) {
    const Transfer transfer = peer.queued.front();
    peer.queued.pop_front();
    Start(transfer);
  }
}

// Goes once through what waits, in the order of arrival.
void ReplicaSource::ServeWaiting() {
  size_t kept = 0;
  const size_t count = waiting_.size();
  for (size_t k = 0; k < count; ++k) {
    const Waiting waiting = waiting_[k];
    const bool may_read = MayRead(waiting.request);
    if (may_read && !Serve(waiting.request)) {
      waiting_[kept++] = waiting;
      continue;
    }
    --peers_[waiting.request.peer].waiting;
    if (!may_read) Refuse(waiting.request, RequestRefusal::kForeignReader, wire::Verdict::kDead);
  }
  waiting_.resize(kept);
}

template <typename Predicate>
void ReplicaSource::ForgetWaiting(Predicate predicate) {
  std::erase_if(waiting_, [&](const Waiting& waiting) {
    if (!predicate(waiting)) return false;
    --peers_[waiting.request.peer].waiting;
    return true;
  });
}

void ReplicaSource::Cancelled(NodeId peer_id, RequestId request_id) {
  const auto is_it = [&](const PullRequest& request) {
    return request.peer == peer_id && request.request_id == request_id;
  };
  ForgetWaiting([&](const Waiting& waiting) { return is_it(waiting.request); });
  const auto peer = peers_.find(peer_id);
  if (peer == peers_.end()) return;
  auto& queued = peer->second.queued;
  const auto found = std::find_if(queued.begin(), queued.end(), [&](const Transfer& transfer) {
    return is_it(transfer.request);
  });
  if (found == queued.end()) return;
  const Transfer transfer = *found;
  queued.erase(found);
  const bool was_last = Unlease(transfer.request, transfer.slot);
  if (was_last || CatchesUp(transfer.request)) ServeWaiting();
}

void ReplicaSource::Forget(NodeId peer_id) {
  const auto peer = peers_.find(peer_id);
  if (peer == peers_.end()) return;
  const PeerQueue& queue = peer->second;
  if (queue.active == 0 && queue.waiting == 0 && queue.queued.empty()) peers_.erase(peer);
}

void ReplicaSource::ReleaseIfFree(SlotId slot_id) {
  Slot& slot = slots_[Value(slot_id)];
  if (!slot.held || slot.leases > 0 || slot.claims > 0) return;
  slot.held = false;
  context_->keeper().Release(attach_, slot_id, slot.round);
}

void ReplicaSource::Close() {
  if (closed_) return;
  closed_ = true;
  for (const Waiting& waiting : waiting_) Answer(waiting.request, wire::Verdict::kDead);
  ForgetWaiting([](const Waiting&) { return true; });
  for (auto& [peer_id, peer] : peers_) {
    for (const Transfer& transfer : peer.queued) {
      Answer(transfer.request, wire::Verdict::kDead);
      Unlease(transfer.request, transfer.slot);
    }
    peer.queued.clear();
  }
  for (uint32_t k = 0; k < slots_.size(); ++k) {
    EndClaims(&slots_[k]);
    ReleaseIfFree(SlotId{k});
  }
}

bool ReplicaSource::IsIdle() const {
  return std::all_of(slots_.begin(), slots_.end(),
                     [](const Slot& slot) { return slot.leases == 0 && slot.claims == 0; });
}

void ReplicaSource::Tick() {
  const absl::Time now = context_->now();
  if (now < next_deadline_) return;
  CutStuckLinks();
  ForgetWaiting([now](const Waiting& waiting) { return waiting.until <= now; });
  for (uint32_t k = 0; k < slots_.size(); ++k) {
    Slot& slot = slots_[k];
    if (slot.claims == 0) continue;
    if (now >= slot.claims_end_at) {
      Lapse(&slot);
    } else {
      CheckSinks(&slot);
    }
  }
  for (uint32_t k = 0; k < slots_.size(); ++k) {
    for (uint32_t segment = 0; slots_[k].claims > 0 && segment < segment_bytes_.size(); ++segment) {
      const uint32_t sink = slots_[k].owed_to[segment];
      if (sink != kNobody && HasLapsed(sink)) EndClaim(&slots_[k], segment);
    }
    ReleaseIfFree(SlotId{k});
  }
  ScheduleTick();
}

// A transfer that has not ended two deadlines later never does by itself: its reader is stopped.
// Its lease would keep the slot, and in the end the arena.
void ReplicaSource::CutStuckLinks() {
  std::set<NodeId> stuck;
  for (auto& [send_id, transfer] : sends_) {
    if (context_->now() - transfer.started_at < 2 * times_.round_deadline) continue;
    transfer.started_at = context_->now();
    stuck.insert(transfer.request.peer);
  }
  for (NodeId peer : stuck) context_->CutLink(peer);
}

void ReplicaSource::Refuse(const PullRequest& request, RequestRefusal reason,
                           wire::Verdict verdict) {
  context_->RequestRefused(request.peer, reason);
  Answer(request, verdict);
}

void ReplicaSource::Answer(const PullRequest& request, wire::Verdict verdict) {
  PullAnswer answer;
  answer.peer = request.peer;
  answer.request_id = request.request_id;
  answer.run_key = run_->key();
  answer.verdict = verdict;
  answer.segment = request.segment;
  answer.round = published_round_;
  answer.newest_round = run_->newest_round();
  context_->Emit(AnswerPull{answer});
}

// Deadlines that have become void are found at the tick, not searched for at every event.
void ReplicaSource::ScheduleTick() {
  next_deadline_ = absl::InfiniteFuture();
  for (const Waiting& waiting : waiting_) next_deadline_ = std::min(next_deadline_, waiting.until);
  for (const auto& [send_id, transfer] : sends_) {
    next_deadline_ = std::min(next_deadline_, transfer.started_at + 2 * times_.round_deadline);
  }
  for (const Slot& slot : slots_) {
    if (slot.claims == 0) continue;
    next_deadline_ =
        std::min({next_deadline_, slot.claims_end_at,
                  std::max(context_->now(), slot.published_at) + times_.probe_timeout});
  }
}

}  // namespace weightmesh
