// What others say: taken in, weighed against what is believed, and passed on.
#include <algorithm>
#include <utility>

#include "daemon/core/swim.h"

namespace weightmesh::swim {
namespace {

// Updates in one message that are looked at, unless it is whole.
constexpr size_t kNewsMax = 1024;
// As a multiple of the probe interval: how long a difference that no news explains is let be.
constexpr int kRepairInterval = 4;

void Append(NoticeKind kind, const Member& member, NodeId by, SwimActions* actions) {
  actions->push_back(Notice{kind, member.info, member.incarnation, by});
}

}  // namespace

void Swim::TakeIn(absl::Time now, const Message& message, SwimActions* actions) {
  const NodeId from = message.from.node_id;
  if (from == self_) {
    if (message.from.session != self().info.session) {
      actions->push_back(
          Notice{NoticeKind::kContested, message.from, message.incarnation, NodeId{}});
    }
    return;
  }
  const bool is_alone = living() == 1;
  // Who speaks, lives: with the incarnation that it says it has, and no other process of it does.
  MemberUpdate speaker;
  speaker.node = message.from;
  speaker.incarnation = message.incarnation;
  Merge(now, std::move(speaker), from, /*first_hand=*/true, actions);
  Member* member = table_.Find(from);
  if (member != nullptr && member->info.session == message.from.session) Vouch(now, member);

  const size_t updates_max = message.whole ? options_.nodes_max : kNewsMax;
  const size_t count = std::min(message.updates.size(), updates_max);
  updates_refused_ += message.updates.size() - count;
  for (size_t k = 0; k < count; ++k) {
    MemberUpdate update = message.updates[k];
    // What was news long ago, of those that this node may know better: a mesh that was parted must
    // not kill its other half by it. Whoever is dead does not refute.
    if (message.whole && update.state == MemberState::kDead &&
        Find(update.node.node_id) != nullptr) {
      update.state = MemberState::kSuspect;
      update.accusers = {from};
    }
    Merge(now, std::move(update), from, /*first_hand=*/false, actions);
  }
  // All that a newcomer learns is old to those it learns it from; only it is new to them.
  if (is_alone && message.whole) {
    queue_.Clear();
    queue_.Push(self_);
  }
  RepairTick(now, message, actions);
}

// Two that have no news for each other, and yet believe different things, again and again while
// this node learnt nothing: something was lost. Once is no sign: who has told its news often enough
// meets those whom it reaches a moment later.
void Swim::RepairTick(absl::Time now, const Message& message, SwimActions* actions) {
  if (message.whole || message.wants_whole || !message.updates.empty()) return;
  if (!queue_.empty() || has_left()) return;
  if (message.digest == digest()) {
    differed_digest_ = 0;
    return;
  }
  if (differed_digest_ != digest()) {
    differed_digest_ = digest();
    next_repair_ = now + kRepairInterval * options_.probe_interval;
  }
  if (now < next_repair_) return;
  const Member* member = Find(message.from.node_id);
  if (member == nullptr || member->state != MemberState::kAlive) return;
  next_repair_ = now + kRepairInterval * options_.probe_interval;
  Message ask = Header();
  ask.wants_whole = true;
  SendPushPull(*member, std::move(ask), actions);
}

void Swim::Merge(absl::Time now, MemberUpdate update, NodeId from, bool first_hand,
                 SwimActions* actions) {
  if (!IsWellFormed(options_, update)) {
    ++updates_refused_;
    return;
  }
  if (update.node.node_id == self_) return MergeSelf(update, from, actions);
  Member* member = table_.Find(update.node.node_id);
  if (member == nullptr) return MergeNew(now, update, first_hand, actions);
  if (update.incarnation > member->incarnation + kLeapMax ||
      update.record_version > member->record_version + kLeapMax) {
    ++updates_refused_;
    return;
  }
  const bool is_another = update.node.session != member->info.session;
  if (is_another && update.incarnation <= member->incarnation) return;  // an earlier process
  if (update.state == MemberState::kSuspect && update.accusers.empty()) update.accusers = {from};
  // Nobody who was heard a moment ago is dead because others say so.
  if (update.state == MemberState::kDead && now < member->heard_at + options_.probe_interval) {
    update.state = MemberState::kSuspect;
    update.accusers = {from};
  }
  const bool new_record = MergeRecord(update, member, actions);
  const bool new_state = MergeState(now, update, member, actions);
  if (!new_record && !new_state) return;
  table_.Changed(member);
  queue_.Push(update.node.node_id);
}

// Only of the living, and from somebody who knows where they are.
void Swim::MergeNew(absl::Time now, const MemberUpdate& update, bool first_hand,
                    SwimActions* actions) {
  if (update.node.control_address.empty() || update.state == MemberState::kDead ||
      update.state == MemberState::kLeft) {
    return;
  }
  const uint64_t number_max = first_hand ? kFirstNumberMax : kLeapMax;
  const bool is_plausible = update.incarnation <= number_max && update.record_version <= number_max;
  if (is_plausible && table_.is_full()) Reap(now, actions);
  if (!is_plausible || table_.is_full()) {
    ++updates_refused_;
    return;
  }
  Member* member = table_.Insert(update.node, update.incarnation, now);
  member->record_version = update.record_version;
  member->record = update.record;
  order_.Insert(update.node.node_id);
  Append(NoticeKind::kJoined, *member, NodeId{}, actions);
  if (update.state == MemberState::kSuspect && !update.accusers.empty()) {
    Accuse(now, member, update.accusers, actions);
  }
  table_.Changed(member);
  queue_.Push(update.node.node_id);
}

bool Swim::MergeRecord(const MemberUpdate& update, Member* member, SwimActions* actions) {
  const bool is_another = update.node.session != member->info.session;
  if (!is_another && update.record_version <= member->record_version) return false;
  NodeInfo info = update.node;
  if (info.control_address.empty()) {
    if (!is_another) return false;
    info = member->info;  // where it is comes later
    info.session = update.node.session;
  }
  const bool is_same = info == member->info && update.record == member->record;
  member->info = std::move(info);
  member->record_version = update.record_version;
  member->record = update.record;
  if (is_same) return true;
  Append(is_another ? NoticeKind::kRestarted : NoticeKind::kChanged, *member, NodeId{}, actions);
  return true;
}

bool Swim::MergeState(absl::Time now, const MemberUpdate& update, Member* member,
                      SwimActions* actions) {
  const bool is_suspect = update.state == MemberState::kSuspect;
  if (is_suspect && member->state == MemberState::kSuspect &&
      update.incarnation == member->incarnation) {
    return Accuse(now, member, update.accusers, actions);
  }
  if (!Overrides(update.incarnation, update.state, member->incarnation, member->state)) {
    return false;
  }
  const bool is_newer = update.incarnation > member->incarnation;
  member->incarnation = update.incarnation;
  if (update.state == MemberState::kDead || update.state == MemberState::kLeft) {
    Bury(now, member, update.state, update.accusers.empty() ? NodeId{} : update.accusers[0],
         actions);
    return true;
  }
  if (is_newer) Revive(now, member, actions);
  if (is_suspect) Accuse(now, member, update.accusers, actions);
  return true;
}

// Somebody believes of this node what is not so: it says it again with higher numbers, at once.
void Swim::MergeSelf(const MemberUpdate& update, NodeId from, SwimActions* actions) {
  Member* self = table_.Find(self_);
  const bool is_former = update.node.session != self->info.session;
  if (has_left() && !is_former) return;
  if (update.incarnation > self->incarnation + kLeapMax ||
      update.record_version > self->record_version + kLeapMax) {
    ++updates_refused_;
    return;
  }
  const bool is_doubted = !is_former && update.state != MemberState::kAlive;
  const bool is_said_again = is_former || is_doubted;
  bool raised = false;
  if (update.incarnation > self->incarnation ||
      (is_said_again && update.incarnation == self->incarnation)) {
    self->incarnation = update.incarnation + 1;
    raised = true;
  }
  if (update.record_version > self->record_version ||
      (is_former && update.record_version == self->record_version)) {
    self->record_version = update.record_version + 1;
    raised = true;
  }
  if (!raised) return;
  table_.Changed(self);
  queue_.Push(self_);
  if (!is_doubted) return;
  health_.Refuted();
  Append(NoticeKind::kDefended, *self, update.accusers.empty() ? from : update.accusers[0],
         actions);
}

bool Swim::Accuse(absl::Time now, Member* member, const std::vector<NodeId>& accusers,
                  SwimActions* actions) {
  const NodeId node = member->info.node_id;
  bool is_news = false;
  auto found = suspicions_.find(node);
  if (found == suspicions_.end()) {
    member->state = MemberState::kSuspect;
    member->changed_at = now;
    found = suspicions_
                .emplace(node, Suspicion(accusers[0], now, SuspicionMin(options_, living()),
                                         SuspicionMax(options_, living()),
                                         ConfirmationsWanted(options_, living())))
                .first;
    Append(NoticeKind::kSuspected, *member, accusers[0], actions);
    is_news = true;
  }
  for (NodeId accuser : accusers) is_news |= found->second.Confirm(accuser);
  return is_news;
}

void Swim::Bury(absl::Time now, Member* member, MemberState state, NodeId by,
                SwimActions* actions) {
  const NodeId node = member->info.node_id;
  const bool was_gone = !member->MayLive();
  suspicions_.erase(node);
  order_.Erase(node);
  member->state = state;
  member->changed_at = now;
  table_.Changed(member);
  if (was_gone && state == MemberState::kDead) return;
  Append(state == MemberState::kDead ? NoticeKind::kDied : NoticeKind::kLeft, *member, by, actions);
}

void Swim::Revive(absl::Time now, Member* member, SwimActions* actions) {
  const NodeId node = member->info.node_id;
  const MemberState former = member->state;
  suspicions_.erase(node);
  told_itself_.erase(node);
  if (former == MemberState::kAlive) return;
  member->state = MemberState::kAlive;
  member->changed_at = now;
  if (member->MayLive() && former != MemberState::kSuspect) order_.Insert(node);
  Append(former == MemberState::kSuspect ? NoticeKind::kRefuted : NoticeKind::kReturned, *member,
         NodeId{}, actions);
}

void Swim::Vouch(absl::Time now, Member* member) {
  member->heard_at = now;
  const auto suspicion = suspicions_.find(member->info.node_id);
  if (suspicion != suspicions_.end()) suspicion->second.Restart(now);
}

}  // namespace weightmesh::swim
