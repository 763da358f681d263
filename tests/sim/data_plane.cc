// Frames and transfers in virtual time.
#include "tests/sim/data_plane.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "tests/sim/node.h"

namespace weightmesh::sim {
namespace {

// Within one node a frame takes this long.
constexpr absl::Duration kLocalDelay = absl::Microseconds(5);

}  // namespace

// --- links ---

bool DataPlane::IsLinked(uint32_t a, uint32_t b) const {
  return a == b || links_.count({a, b}) > 0;
}

bool DataPlane::Works(uint32_t a, uint32_t b) const {
  const auto link = links_.find({a, b});
  return link != links_.end() && links_.count({b, a}) > 0 && hung_.count(link->second) == 0;
}

bool DataPlane::IsMoving(uint32_t puller, uint32_t source) const {
  return std::any_of(pulls_.begin(), pulls_.end(), [&](const auto& entry) {
    return entry.first.first == puller && entry.second.source == source && entry.second.moving;
  });
}

void DataPlane::Link(uint32_t a, uint32_t b) {
  if (a == b || (links_.count({a, b}) > 0 && links_.count({b, a}) > 0)) return;
  BreakTransfers(a, b);
  BreakTransfers(b, a);
  links_[{a, b}] = links_[{b, a}] = ++last_link_;
}

void DataPlane::Hang(uint32_t a, uint32_t b) {
  const auto link = links_.find({a, b});
  if (link == links_.end() || !hung_.insert(link->second).second) return;
  if (world_->options.keepalive == absl::InfiniteDuration()) return;
  world_->queue.After(world_->options.keepalive,
                      [this, a, b, number = link->second] { BreakLink(a, b, number); });
}

// Both ends find out, unless that link is none any more.
void DataPlane::BreakLink(uint32_t a, uint32_t b, uint64_t number) {
  const auto present = links_.find({a, b});
  if (present == links_.end() || present->second != number) return;
  Unlink(a, b);
  const auto tell = [this](uint32_t node, uint32_t peer) {
    world_->nodes[node]->process().PostToSelf(absl::ZeroDuration(), [this, node, peer] {
      BreakTransfers(node, peer);
      world_->nodes[node]->Step(LinkDown{World::NodeIdOf(peer), "no answer to keepalive"});
    });
  };
  tell(a, b);
  tell(b, a);
}

void DataPlane::Unlink(uint32_t a, uint32_t b) {
  links_.erase({a, b});
  links_.erase({b, a});
}

void DataPlane::CutLink(uint32_t node, uint32_t peer) {
  if (!IsLinked(node, peer)) return;
  Unlink(node, peer);
  BreakTransfers(node, peer);
  world_->nodes[peer]->process().Post(world_->options.frame_delay, [this, node, peer] {
    BreakTransfers(peer, node);
    world_->nodes[peer]->Step(LinkDown{World::NodeIdOf(node), "closed by the peer"});
  });
}

void DataPlane::ProcessEnded(uint32_t node) {
  // What was open on the dead side is gone with it, without events.
  std::erase_if(pulls_, [node](const auto& entry) { return entry.first.first == node; });
  std::erase_if(sends_, [node](const auto& entry) { return entry.first.first == node; });
  std::vector<uint32_t> peers;
  for (const auto& [pair, number] : links_) {
    if (pair.first == node) peers.push_back(pair.second);
  }
  for (uint32_t peer : peers) {
    Unlink(node, peer);
    world_->nodes[peer]->process().PostToSelf(world_->options.frame_delay, [this, node, peer] {
      BreakTransfers(peer, node);
      world_->nodes[peer]->Step(LinkDown{World::NodeIdOf(node), "connection reset"});
    });
  }
}

void DataPlane::BreakTransfers(uint32_t node, uint32_t peer) {
  std::vector<PullKey> pulls;
  for (const auto& [key, pull] : pulls_) {
    if (key.first == node && pull.source == peer) pulls.push_back(key);
  }
  for (const PullKey& key : pulls) {
    if (pulls_[key].stopped) LandRest(node, pulls_[key]);
    EndPull(key, PullEnd::kFailed);
  }
  std::vector<SendKey> sends;
  for (const auto& [key, send] : sends_) {
    if (key.first == node && send.puller == peer) sends.push_back(key);
  }
  for (const SendKey& key : sends) EndSend(key, false);
}

bool DataPlane::Touches(uint32_t node, AttachId attach) const {
  const auto of_it = [&](const auto& entry) {
    return entry.first.first == node && entry.second.attach == attach;
  };
  return std::any_of(pulls_.begin(), pulls_.end(), of_it) ||
         std::any_of(sends_.begin(), sends_.end(), of_it);
}

// Frames on one link arrive in the order sent. `lose` (may be null) runs at the sender when the
// frame cannot arrive.
void DataPlane::PostFrame(uint32_t from, uint32_t to, EventQueue::Task arrive,
                          EventQueue::Task lose) {
  SimNode* const sender = world_->nodes[from];
  SimNode* const receiver = world_->nodes[to];
  if (from == to) return receiver->process().PostToSelf(kLocalDelay, std::move(arrive));
  const auto link = links_.find({from, to});
  if (link == links_.end() || world_->Chance(world_->options.frame_loss)) {
    if (lose) sender->process().PostToSelf(world_->options.loss_detected, std::move(lose));
    return;
  }
  const absl::Time now = world_->queue.now();
  absl::Duration delay = world_->Draw(world_->options.frame_delay, world_->options.frame_jitter);
  const SimFaults& faults = world_->options.faults;
  if (world_->Hits(faults.delay, &seen_.delayed)) {
    ++injected_.delayed;
    delay += world_->Draw(absl::ZeroDuration(), faults.delay_max);
  }
  // A transfer is one operation of the transport: only frames without data come twice.
  const bool twice = !lose && world_->Hits(faults.duplicate, &seen_.duplicated);
  injected_.duplicated += twice;
  absl::Time& last = last_arrival_[{from, to}];
  last = std::max(last, now + delay);
  receiver->process().Post(
      last - now, [this, from, to, twice, number = link->second, arrive = std::move(arrive)] {
        for (int copy = 0; copy < (twice ? 2 : 1); ++copy) {
          const auto present = links_.find({to, from});
          const bool stands = present != links_.end() && present->second == number;
          if (stands && hung_.count(number) == 0) arrive();
        }
      });
}

// --- the ends: each at once in the books, and as an event of its own ---

void DataPlane::EndPull(PullKey key, PullEnd end) {
  if (pulls_.erase(key) == 0) return;
  world_->nodes[key.first]->Post(absl::ZeroDuration(), PullEnded{key.second, end});
}

void DataPlane::EndSend(SendKey key, bool sent) {
  if (sends_.erase(key) == 0) return;
  world_->nodes[key.first]->Post(absl::ZeroDuration(), SendEnded{key.second, sent});
}

// --- pulls ---

void DataPlane::StartPull(uint32_t node, const struct StartPull& action) {
  const PullKey key{node, action.request.request_id};
  const uint32_t peer = World::IndexOf(action.request.peer);
  const auto arena = world_->nodes[node]->FindArena(action.attach);
  if (arena == nullptr) world_->ledger.Violate("a pull into an arena that is not there");
  for (auto other = pulls_.lower_bound({node, RequestId{0}});
       other != pulls_.end() && other->first.first == node; ++other) {
    if (other->second.attach == action.attach && other->second.buffer == action.buffer &&
        other->second.request.segment == action.request.segment) {
      world_->ledger.Violate("two pulls into one inbox buffer");
    }
  }
  pulls_[key] = Pull{action.request, action.attach, action.buffer, peer, false, false, {}};
  if (!IsLinked(node, peer)) return EndPull(key, PullEnd::kFailed);
  if (Fails(key)) return;
  PullRequest request = action.request;
  request.peer = World::NodeIdOf(node);
  PostFrame(
      node, peer, [this, peer, request] { world_->nodes[peer]->Step(PullRequested{request}); },
      nullptr);
}

bool DataPlane::Fails(PullKey key) {
  if (world_->Hits(world_->options.faults.fail, &seen_.failed)) {
    ++injected_.failed;
    EndPull(key, PullEnd::kFailed);
    return true;
  }
  if (world_->Hits(world_->options.faults.no_room, &seen_.no_room)) {
    ++injected_.no_room;
    EndPull(key, PullEnd::kNoRoom);
    return true;
  }
  return false;
}

void DataPlane::CancelPull(uint32_t node, RequestId request_id) {
  const auto found = pulls_.find({node, request_id});
  if (found == pulls_.end()) return;
  const uint32_t peer = found->second.source;
  const NodeId self = World::NodeIdOf(node);
  PostFrame(
      node, peer,
      [this, peer, self, request_id] {
        world_->nodes[peer]->Step(PullCancelled{self, request_id});
      },
      nullptr);
  if (!found->second.moving) EndPull(found->first, PullEnd::kCancelled);
}

void DataPlane::AnswerPull(uint32_t node, const PullAnswer& answer) {
  const uint32_t peer = World::IndexOf(answer.peer);
  PullAnswer arriving = answer;
  arriving.peer = World::NodeIdOf(node);
  PostFrame(
      node, peer, [this, peer, arriving, node] { ArriveAnswer(peer, arriving, node); }, nullptr);
}

void DataPlane::ArriveAnswer(uint32_t node, PullAnswer answer, uint32_t from) {
  const auto found = pulls_.find({node, answer.request_id});
  if (found == pulls_.end() || found->second.source != from || found->second.moving) return;
  const bool last =
      answer.verdict != wire::Verdict::kWaiting && answer.verdict != wire::Verdict::kQueued;
  if (!Fits(answer, found->second.request)) {
    world_->ledger.Violate(absl::StrCat("node ", from, " answers what nobody asked"));
  }
  world_->nodes[node]->Step(PullAnswered{answer});
  if (last) EndPull({node, answer.request_id}, PullEnd::kNoData);
}

// --- sends ---

void DataPlane::StartSend(uint32_t node, const struct StartSend& action) {
  const SendKey key{node, action.send_id};
  const uint32_t puller = World::IndexOf(action.answer.peer);
  const uint32_t segment = Value(action.answer.segment);
  Send send{action.answer, action.attach, action.slot, puller, {}};
  send.answer.peer = World::NodeIdOf(node);
  const auto arena = world_->nodes[node]->FindArena(action.attach);
  const uint64_t held =
      control_page::SlotWord(Value(action.answer.round), control_page::SlotState::kHeld);
  if (arena == nullptr || arena->words[Value(action.slot)] != held) {
    world_->ledger.Violate(absl::StrCat("node ", node, " sends round ", Value(action.answer.round),
                                        " out of a slot that does not hold it"));
  } else if (!arena->IsWhole(action.slot, action.answer.round, segment)) {
    world_->ledger.Violate("a snapshot is sent before it is whole");
  }
  sends_[key] = send;
  if (!IsLinked(node, puller)) return EndSend(key, false);
  PostFrame(
      node, puller,
      [this, puller, node, id = action.send_id, send] { ArriveData(puller, node, id, send); },
      [this, key] { EndSend(key, false); });
}

// The header is there: the puller takes the data, or declines.
void DataPlane::ArriveData(uint32_t node, uint32_t source, SendId send_id, const Send& send) {
  const auto found = pulls_.find({node, send.answer.request_id});
  if (found == pulls_.end() || found->second.source != source || found->second.moving) {
    world_->nodes[source]->process().PostToSelf(world_->options.frame_delay,
                                                [this, source, send_id] {
                                                  EndSend({source, send_id}, false);
                                                });
    return;
  }
  if (!Fits(send.answer, found->second.request)) {
    world_->ledger.Violate(absl::StrCat("node ", source, " sends what was not asked for: round ",
                                        Value(send.answer.round), " for round ",
                                        Value(found->second.request.round)));
  }
  const auto sending = sends_.find({source, send_id});
  const auto slots = world_->nodes[source]->FindArena(send.attach);
  if (sending == sends_.end() || slots == nullptr) return;
  const uint32_t segment = Value(send.answer.segment);
  const SimSegment& snapshot = slots->snapshots[Value(send.slot)][segment];
  sending->second.first_half = snapshot[0];
  found->second.moving = true;
  if (node != source && world_->Hits(world_->options.faults.stop, &seen_.stopped)) {
    ++injected_.stopped;
    found->second.stopped = true;
    found->second.rest = snapshot[1];
    if (const auto arena = world_->nodes[node]->FindArena(found->second.attach)) {
      SimArena::InboxBuffer& buffer = arena->inbox[segment][found->second.buffer];
      buffer = SimArena::InboxBuffer{{snapshot[0], buffer.blocks[1]}, true};
    }
    return world_->nodes[node]->Step(PullAnswered{send.answer});
  }
  world_->nodes[node]->Step(PullAnswered{send.answer});
  const absl::Duration time =
      node == source ? kLocalDelay
                     : world_->Draw(world_->options.transfer, world_->options.transfer_jitter);
  // A stopped source moves no data.
  world_->nodes[source]->process().PostToSelf(
      time, [this, node, source, send_id] { FinishAtSource(node, source, send_id); });
}

// The last byte leaves the source: until now its slot must have held the snapshot.
void DataPlane::FinishAtSource(uint32_t puller, uint32_t source, SendId send_id) {
  const auto found = sends_.find({source, send_id});
  if (found == sends_.end()) return;  // the link broke
  const auto link = links_.find({source, puller});
  if (link != links_.end() && hung_.count(link->second) > 0) return;  // it ends when that is cut
  const Send send = found->second;
  SimSegment data{send.first_half, {}};
  const auto arena = world_->nodes[source]->FindArena(send.attach);
  const uint64_t held =
      control_page::SlotWord(Value(send.answer.round), control_page::SlotState::kHeld);
  if (arena == nullptr || arena->words[Value(send.slot)] != held) {
    world_->ledger.Violate(absl::StrCat("a torn read: round ", Value(send.answer.round),
                                        " of node ", source, " was overwritten while it was sent"));
  } else {
    data[1] = arena->snapshots[Value(send.slot)][Value(send.answer.segment)][1];
  }
  world_->nodes[puller]->process().PostToSelf(
      absl::ZeroDuration(), [=, this] { LandAtPuller(puller, source, send_id, send, data); });
}

void DataPlane::LandAtPuller(uint32_t puller, uint32_t source, SendId send_id, const Send& send,
                             const SimSegment& data) {
  const PullKey key{puller, send.answer.request_id};
  const auto found = pulls_.find(key);
  if (found == pulls_.end()) return;  // the link broke
  const Pull& pull = found->second;
  const auto arena = world_->nodes[puller]->FindArena(pull.attach);
  if (arena == nullptr) {
    world_->ledger.Violate("data landed in an arena that was freed");
  } else {
    SimArena::InboxBuffer& buffer = arena->inbox[Value(send.answer.segment)][pull.buffer];
    SimArena::InboxBuffer landed{data, false};
    Damage(&landed, buffer);
    buffer = landed;
  }
  EndPull(key, PullEnd::kLanded);
  world_->nodes[source]->process().PostToSelf(world_->options.frame_delay, [this, source, send_id] {
    EndSend({source, send_id}, true);
  });
}

void DataPlane::Damage(SimArena::InboxBuffer* landed, const SimArena::InboxBuffer& former) {
  const SimFaults& faults = world_->options.faults;
  const SimSegment sent = landed->blocks;
  if (world_->Hits(faults.tear, &seen_.torn)) {
    ++injected_.torn;
    landed->blocks[1] = former.blocks[1];
  }
  if (world_->Hits(faults.corrupt, &seen_.corrupted)) {
    ++injected_.corrupted;
    SimBlock& block = landed->blocks[world_->rng.Below(2)];
    const uint64_t bit = world_->rng.Below(128);
    if (bit < 64) {
      block.seal ^= uint64_t{1} << bit;
    } else {
      const uint64_t flipped = std::bit_cast<uint64_t>(block.value) ^ uint64_t { 1 } << (bit - 64);
      block.value = std::bit_cast<double>(flipped);
    }
  }
  landed->damaged = landed->blocks != sent;
  injected_.damaged += landed->damaged;
}

// What was still under way when the link was cut, just before its end is told.
void DataPlane::LandRest(uint32_t puller, const Pull& pull) {
  const auto arena = world_->nodes[puller]->FindArena(pull.attach);
  if (arena == nullptr) return world_->ledger.Violate("data landed in an arena that was freed");
  arena->inbox[Value(pull.request.segment)][pull.buffer].blocks[1] = pull.rest;
}

}  // namespace weightmesh::sim
