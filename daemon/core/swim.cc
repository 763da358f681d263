// Time, calls, and what this node says of itself.
#include "daemon/core/swim.h"

#include <algorithm>
#include <utility>

#include "daemon/core/check.h"
#include "daemon/core/hash.h"

namespace weightmesh::swim {
namespace {

// As multiples of the probe interval.
constexpr int kCallTimeout = 2;     // of gossip and push-pull
constexpr int kRetryInterval = 10;  // of a dead node
// Those who hear of a leave at once.
constexpr size_t kLeaveFanout = 8;

uint64_t KeyOf(const NodeInfo& node, uint64_t use) {
  const uint64_t words[] = {node.node_id.high, node.node_id.low, node.session, use};
  return Hash64(words);
}

}  // namespace

const char* NoticeKindName(NoticeKind kind) {
  switch (kind) {
    case NoticeKind::kJoined:
      return "joined";
    case NoticeKind::kSuspected:
      return "suspected";
    case NoticeKind::kDied:
      return "died";
    case NoticeKind::kLeft:
      return "left";
    case NoticeKind::kRefuted:
      return "refuted";
    case NoticeKind::kReturned:
      return "returned";
    case NoticeKind::kRestarted:
      return "restarted";
    case NoticeKind::kChanged:
      return "changed";
    case NoticeKind::kForgotten:
      return "forgotten";
    case NoticeKind::kDefended:
      return "defended";
    case NoticeKind::kContested:
      return "contested";
  }
  return "unknown";
}

Swim::Swim(const SwimOptions& options, const NodeInfo& self, absl::Time now)
    : options_(options),
      self_(self.node_id),
      table_(options, self),
      rng_(KeyOf(self, 0)),
      order_(KeyOf(self, 1)),
      queue_(options.nodes_max),
      health_(options.health_max),
      next_probe_(now),
      next_gossip_(now),
      next_push_pull_(now + options.push_pull_interval * (0.5 + rng_.Unit())),
      next_retry_(now),
      next_repair_(now) {
  WEIGHTMESH_CHECK(!self_.IsZero(), "a node needs an id");
  WEIGHTMESH_CHECK(2 * options.record_bytes_max < options.message_bytes_max,
                   "every update must fit into a message");
  queue_.Push(self_);
  Schedule(now);
}

// --- time ---

// This process was not served for a while: what it did not hear meanwhile, nobody is to be blamed
// for. Lifeguard infers that from missing answers; here the node's own timer tells it.
void Swim::Observe(absl::Time now) {
  if (!options_.stall_awareness || now < next_deadline_ + options_.probe_timeout) return;
  const absl::Duration stalled = now - next_deadline_;
  next_deadline_ = now;
  health_.Stalled();
  for (auto& [node, suspicion] : suspicions_) suspicion.PushBack(stalled);
  for (auto& [id, probe] : probes_) {
    probe.excused = true;
    probe.deadline += stalled;
  }
  if (stalled > options_.dead_kept) queue_.Clear();  // others may have forgotten those who died
}

void Swim::Tick(absl::Time now, SwimActions* actions) {
  Observe(now);
  std::vector<NodeId> overdue;
  for (const auto& [node, suspicion] : suspicions_) {
    if (suspicion.deadline() <= now) overdue.push_back(node);
  }
  for (NodeId node : overdue) {
    Bury(now, table_.Find(node), MemberState::kDead, self_, actions);
    queue_.Push(node);
  }
  ProbeTick(now, actions);
  GossipTick(now, actions);
  PushPullTick(now, actions);
  if (table_.next_reap() <= now) Reap(now, actions);
  Schedule(now);
}

void Swim::Reap(absl::Time now, SwimActions* actions) {
  for (const NodeInfo& node : table_.Reap(now)) {
    queue_.Erase(node.node_id);
    told_itself_.erase(node.node_id);
    actions->push_back(Notice{NoticeKind::kForgotten, node, 0, NodeId{}});
  }
}

void Swim::GossipTick(absl::Time now, SwimActions* actions) {
  if (now < next_gossip_ || queue_.empty()) return;
  next_gossip_ = now + options_.gossip_interval;
  const auto anybody = [](NodeId) { return true; };
  for (NodeId node : order_.Sample(options_.gossip_fanout, anybody)) {
    if (queue_.empty()) return;
    SendGossip(*Find(node), 0, actions);
  }
}

void Swim::PushPullTick(absl::Time now, SwimActions* actions) {
  if (has_left()) return;
  const auto ask = [&](const Member& member) {
    Message message = MakeMessage(member.info.node_id, 0);
    message.wants_whole = true;
    SendPushPull(member, std::move(message), actions);
  };
  if (now >= next_push_pull_) {
    next_push_pull_ = now + PushPullInterval(options_.push_pull_interval, living());
    const auto alive = [this](NodeId node) { return Find(node)->state == MemberState::kAlive; };
    for (NodeId node : order_.Sample(1, alive)) ask(*Find(node));
  }
  if (now >= next_retry_) {
    next_retry_ = now + kRetryInterval * options_.probe_interval;
    if (const Member* dead = table_.RandomDead(&rng_); dead != nullptr) ask(*dead);
  }
}

void Swim::Schedule(absl::Time now) {
  next_deadline_ = table_.next_reap();
  if (!has_left()) {
    if (order_.size() > 0)
      next_deadline_ = std::min({next_deadline_, next_probe_, next_push_pull_});
    if (table_.members().size() > living()) next_deadline_ = std::min(next_deadline_, next_retry_);
  }
  if (order_.size() > 0 && !queue_.empty()) next_deadline_ = std::min(next_deadline_, next_gossip_);
  for (const auto& [node, suspicion] : suspicions_) {
    next_deadline_ = std::min(next_deadline_, suspicion.deadline());
  }
  for (const auto& [id, probe] : probes_) next_deadline_ = std::min(next_deadline_, probe.deadline);
  next_deadline_ = std::max(next_deadline_, now);
}

// --- calls ---

Message Swim::Answer(absl::Time now, const Message& request, SwimActions* actions) {
  Observe(now);
  TakeIn(now, request, actions);
  Message answer;
  if (request.wants_whole && request.digest != digest()) {
    answer = Whole();
    answer.wants_whole = false;
  } else {
    answer = MakeMessage(request.from.node_id, request.from.session, &request);
  }
  Schedule(now);
  return answer;
}

void Swim::Answered(absl::Time now, const Message& answer, SwimActions* actions) {
  Observe(now);
  TakeInAnswer(now, answer, actions);
  Schedule(now);
}

// What the other side believes of this node is in its answer, unless it is what this node says.
void Swim::TakeInAnswer(absl::Time now, const Message& answer, SwimActions* actions) {
  const bool was_same = answer.digest == digest();
  TakeIn(now, answer, actions);
  const NodeId from = answer.from.node_id;
  if (from == self_) return;
  if (answer.whole || was_same) told_of_self_ = true;
  const Member* member = Find(from);
  if (member == nullptr) return;
  if (member->state != MemberState::kAlive || member->info.session != answer.from.session) {
    TellItself(now, *member, answer.from.session, actions);
  }
  if (answer.whole && answer.digest != digest()) {
    Message whole = Whole();
    whole.wants_whole = false;
    SendPushPull(*member, std::move(whole), actions);
  }
}

Message Swim::Header() const {
  Message message;
  message.from = self().info;
  message.incarnation = self().incarnation;
  message.digest = digest();
  return message;
}

Message Swim::Whole() const {
  Message message = Header();
  message.whole = true;
  message.wants_whole = true;
  message.updates.reserve(members().size());
  for (const auto& [node, member] : members()) message.updates.push_back(MakeUpdate(member));
  return message;
}

// News, and before it what `to` must know of itself: that it is suspected (Lifeguard's buddy
// system), or held for dead or for another process. `session` is the one that speaks; 0: unknown.
// What the request has told is no news for whom it came from.
Message Swim::MakeMessage(NodeId to, SessionId session, const Message* request) {
  Message message = Header();
  size_t budget = options_.message_bytes_max;
  const Member* member = Find(to);
  if (member != nullptr) {
    const bool is_another = session != 0 && session != member->info.session;
    const bool is_gone = !member->MayLive();
    const bool is_suspect = member->state == MemberState::kSuspect && options_.buddy;
    if (is_another || is_gone || is_suspect) {
      message.updates.push_back(MakeUpdate(*member));
      budget -= EncodedBytes(message.updates.back());
    }
  }
  const size_t first = message.updates.size();
  std::map<NodeId, const MemberUpdate*> told;
  if (request != nullptr && !request->whole) {
    for (const MemberUpdate& update : request->updates) told[update.node.node_id] = &update;
  }
  const auto bytes_of = [&](NodeId node) {
    const MemberUpdate update = MakeUpdate(*Find(node));
    const auto known = told.find(node);
    if (known != told.end() && *known->second == update) return BroadcastQueue::kKnown;
    return EncodedBytes(update);
  };
  const uint32_t limit = RetransmitLimit(options_.retransmit_mult, living());
  for (NodeId node : queue_.Take(budget, limit, bytes_of)) {
    if (first == 1 && node == to) continue;
    message.updates.push_back(MakeUpdate(*Find(node)));
  }
  return message;
}

// Of those who are gone only the state is told: nobody is to learn them anew.
MemberUpdate Swim::MakeUpdate(const Member& member) const {
  MemberUpdate update;
  update.node.node_id = member.info.node_id;
  update.node.session = member.info.session;
  update.incarnation = member.incarnation;
  update.state = member.state;
  if (!member.MayLive()) return update;
  update.node = member.info;
  update.record_version = member.record_version;
  update.record = member.record;
  const auto suspicion = suspicions_.find(member.info.node_id);
  if (suspicion != suspicions_.end()) update.accusers = suspicion->second.accusers();
  return update;
}

void Swim::SendGossip(const Member& to, SessionId session, SwimActions* actions) {
  actions->push_back(Gossip{to.info.node_id, to.info.control_address,
                            kCallTimeout * options_.probe_interval,
                            MakeMessage(to.info.node_id, session)});
}

void Swim::SendPushPull(const Member& to, Message message, SwimActions* actions) {
  actions->push_back(PushPull{to.info.node_id, to.info.control_address,
                              kCallTimeout * options_.probe_interval, std::move(message)});
}

// That a node is suspected, dead, or another process in the eyes of this one: at most once in a
// probe interval.
void Swim::TellItself(absl::Time now, const Member& member, SessionId session,
                      SwimActions* actions) {
  absl::Time& told_at =
      told_itself_.try_emplace(member.info.node_id, absl::InfinitePast()).first->second;
  if (now < told_at + options_.probe_interval) return;
  told_at = now;
  SendGossip(member, session, actions);
}

// --- the data plane's evidence ---

void Swim::Heard(absl::Time now, NodeId node, SessionId session, SwimActions* actions) {
  Observe(now);
  Member* member = table_.Find(node);
  if (member != nullptr && node != self_ && member->info.session == session) {
    const auto open = probe_of_.find(node);
    if (open != probe_of_.end()) Succeed(open->second);
    Vouch(now, member);
    if (member->state != MemberState::kAlive) TellItself(now, *member, session, actions);
  }
  Schedule(now);
}

void Swim::Doubt(absl::Time now, NodeId node, SwimActions* actions) {
  Observe(now);
  const Member* member = Find(node);
  if (member != nullptr && node != self_ && member->MayLive() && !has_left()) {
    StartProbe(now, *member, actions);
  }
  Schedule(now);
}

// --- this node ---

void Swim::SetRecord(absl::Time now, std::string record) {
  WEIGHTMESH_CHECK(record.size() <= options_.record_bytes_max, "the record is too long");
  Member* self = table_.Find(self_);
  if (self->record == record) return;
  self->record = std::move(record);
  ++self->record_version;
  table_.Changed(self);
  queue_.Push(self_);
  Schedule(now);
}

void Swim::SetAddress(absl::Time now, std::string control_address) {
  Member* self = table_.Find(self_);
  if (self->info.control_address == control_address) return;
  self->info.control_address = std::move(control_address);
  ++self->record_version;
  ++self->incarnation;
  table_.Changed(self);
  queue_.Push(self_);
  Schedule(now);
}

void Swim::Leave(absl::Time now, SwimActions* actions) {
  if (has_left()) return;
  Member* self = table_.Find(self_);
  self->state = MemberState::kLeft;
  self->changed_at = now;
  table_.Changed(self);
  queue_.Push(self_);
  probes_.clear();
  probe_of_.clear();
  const auto anybody = [](NodeId) { return true; };
  for (NodeId node : order_.Sample(kLeaveFanout, anybody)) SendGossip(*Find(node), 0, actions);
  next_gossip_ = now + options_.gossip_interval;
  Schedule(now);
}

}  // namespace weightmesh::swim
