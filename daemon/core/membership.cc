// Push-pull with the others, and who is silent.
#include "daemon/core/membership.h"

#include <algorithm>
#include <utility>

#include "daemon/core/hash.h"

namespace weightmesh {
namespace {

// Least time between two syncs with one node that news may cause.
constexpr absl::Duration kNewsInterval = absl::Milliseconds(10);
constexpr absl::Duration kSyncTimeoutMin = absl::Seconds(2);
// Syncs open at once with nodes that do not answer. Each carries all that this node knows: made-up
// nodes, told by a liar, must not take the time of real ones.
constexpr size_t kUnheardSyncsMax = 128;
// Least time between two signs of life of one node that the failure detector hears of.
constexpr absl::Duration kVouchInterval = absl::Milliseconds(100);
// Starts that lie closer together than messages may take are not told apart.
constexpr absl::Duration kStartTolerance = absl::Seconds(1);

// Within which `peers` have their turn, `each` of them in an interval.
absl::Duration Spread(absl::Duration interval, size_t peers, size_t each) {
  return interval * std::max(1.0, static_cast<double>(peers) / static_cast<double>(each));
}

// In [0, 1), another one for each node and time.
double InTurn(NodeId node, absl::Time now) {
  return CounterRng(node.low ^ static_cast<uint64_t>(absl::ToUnixNanos(now))).Unit();
}

}  // namespace

Membership::Membership(MembershipOptions options, absl::Time now)
    : options_(std::move(options)), next_seed_(now) {
  for (const std::string& address : options_.seeds) AddSeed(now, address, /*is_found=*/false);
}

const Peer* Membership::Find(NodeId node) const {
  const auto found = peers_.find(node);
  return found == peers_.end() ? nullptr : &found->second;
}

absl::Duration SyncTimeout(absl::Duration sync_interval) {
  return std::max(kSyncTimeoutMin, 2 * sync_interval);
}

absl::Duration SyncSpacing(absl::Duration sync_interval, size_t peers) {
  return Spread(sync_interval, peers, kSyncsPerInterval);
}

absl::Duration FollowSpread(absl::Duration sync_interval, size_t peers) {
  return Spread(sync_interval, peers, kFollowersPerInterval);
}

Admission Membership::Admit(absl::Time now, const NodeInfo& sender, absl::Duration uptime,
                            absl::string_view answered_at) {
  const auto found = peers_.find(sender.node_id);
  if (found == peers_.end() || found->second.info.session == sender.session) {
    return Admission::kKnown;
  }
  Peer& peer = found->second;
  // Words of the process that was there before: late, for two are never at one address.
  const bool is_former = answered_at.empty() && peer.started_at != absl::InfiniteFuture() &&
                         sender.control_address == peer.info.control_address &&
                         now - uptime + kStartTolerance < peer.started_at;
  if (is_former) return Admission::kRefused;
  // Where the known process was, another one answers.
  if (peer.silent() || answered_at == peer.info.control_address) {
    peer.claimant.reset();
    return Admission::kSuccessor;
  }
  if (peer.refused_session == sender.session) return Admission::kRefused;
  const bool claims_again =
      peer.claimant != nullptr && peer.claimant->info.session == sender.session;
  const absl::Time claimed_at = claims_again ? peer.claimant->claimed_at : now;
  peer.claimant = std::make_unique<Claimant>(Claimant{sender, now - uptime, claimed_at});
  return Admission::kContested;
}

std::optional<Membership::Settled> Membership::Settle(absl::Time now, NodeId node,
                                                      bool former_lives) {
  const auto found = peers_.find(node);
  if (found == peers_.end() || found->second.claimant == nullptr) return std::nullopt;
  Peer& peer = found->second;
  const Claimant claimant = *std::exchange(peer.claimant, nullptr);
  const bool is_there = claimant.info.control_address == peer.info.control_address;
  const bool is_later =
      StartedLater(claimant.info, claimant.started_at, peer.info, peer.started_at);
  // A late word of a process that is gone: two are never at one address.
  if (former_lives && is_there && !is_later) return std::nullopt;
  if (former_lives && is_later) {
    peer.refused_session = claimant.info.session;
    return Settled{claimant.info, /*replaced=*/false};
  }
  const NodeInfo gone = peer.info;
  SetInfo(&peer, claimant.info);
  if (former_lives) peer.refused_session = gone.session;
  peer.started_at = claimant.started_at;
  peer.sequence = 0;
  peer.next_sync = now;  // what the claimant said was not believed
  // A sync that is open at its address is answered by it, too.
  if (is_there) {
    SetDue(&peer);
  } else {
    EndSync(&peer);
  }
  return Settled{gone, /*replaced=*/true};
}

bool StartedLater(const NodeInfo& one, absl::Time one_started, const NodeInfo& other,
                  absl::Time other_started) {
  const absl::Duration later = one_started - other_started;
  if (absl::AbsDuration(later) > kStartTolerance) return later > absl::ZeroDuration();
  return one.session > other.session;
}

bool Membership::Learn(absl::Time now, const SyncMessage& message) {
  const Peer* known = Find(message.self.node_id);
  if (known != nullptr && known->info.session == message.self.session &&
      message.sequence <= known->sequence) {
    return false;
  }
  Speaks(now, message.self, message.uptime);
  const auto sender = peers_.find(message.self.node_id);
  if (sender != peers_.end()) sender->second.sequence = message.sequence;
  return true;
}

void Membership::Speaks(absl::Time now, const NodeInfo& sender, absl::Duration uptime) {
  LearnNode(now, sender, /*first_hand=*/true);
  const auto peer = peers_.find(sender.node_id);
  if (peer != peers_.end()) peer->second.started_at = now - uptime;
}

void Membership::Moves(absl::Time now, const NodeInfo& node) {
  const auto peer = peers_.find(node.node_id);
  if (peer == peers_.end() || peer->second.info.session != node.session) return;
  LearnNode(now, node, /*first_hand=*/true);
}

// Only a node itself tells of its sessions; from others just unknown nodes are taken over.
void Membership::LearnNode(absl::Time now, const NodeInfo& info, bool first_hand) {
  if (info.node_id == options_.self.node_id) return;
  auto found = peers_.find(info.node_id);
  if (found == peers_.end()) {
    const bool full = peers_.size() + 1 >= options_.nodes_max;
    if (full && !(first_hand && GiveWay())) return;
    found = peers_.emplace(info.node_id, Peer{}).first;
    by_address_.emplace(Hash64(info.control_address), info.node_id);
    found->second.info = info;
    found->second.next_sync = now;
    if (is_large()) {
      const absl::Duration spacing = SyncSpacing(options_.sync_interval, peers_.size());
      found->second.next_sync += spacing * InTurn(info.node_id, now);
    }
    SetDue(&found->second);
  }
  if (!first_hand) return;
  // What is asked at a former address can no longer be matched to the node.
  if (found->second.info.control_address != info.control_address) EndSync(&found->second);
  if (found->second.info.session != info.session) found->second.sequence = 0;
  SetInfo(&found->second, info);
}

void Membership::SetInfo(Peer* peer, const NodeInfo& info) {
  if (peer->info.control_address != info.control_address) {
    ForgetAddress(peer->info);
    by_address_.emplace(Hash64(info.control_address), info.node_id);
  }
  if (peer->info.session != info.session) peer->path_loss.reset();
  peer->info = info;
}

void Membership::ForgetAddress(const NodeInfo& info) {
  const auto [begin, end] = by_address_.equal_range(Hash64(info.control_address));
  by_address_.erase(std::find_if(
      begin, end, [&info](const auto& entry) { return entry.second == info.node_id; }));
}

void Membership::Erase(Peers::iterator entry) {
  Peer& peer = entry->second;
  ForgetAddress(peer.info);
  due_.erase({peer.due, peer.info.node_id});
  unheard_syncs_ -= peer.sync_unheard;
  answering_ -= peer.Answers();
  silent_ -= peer.silent();
  peers_.erase(entry);
}

void Membership::SetSilence(Peer* peer, std::unique_ptr<Silence> silence) {
  answering_ -= peer->Answers();
  silent_ -= peer->silent();
  peer->silence = std::move(silence);
  silent_ += peer->silent();
  answering_ += peer->Answers();
}

void Membership::SetHeard(Peer* peer, absl::Time now) {
  answering_ -= peer->Answers();
  peer->heard_at = now;
  answering_ += peer->Answers();
}

std::vector<Peer*> Membership::At(absl::string_view address) {
  std::vector<Peer*> there;
  const auto [begin, end] = by_address_.equal_range(Hash64(address));
  for (auto entry = begin; entry != end; ++entry) {
    Peer& peer = peers_.at(entry->second);
    if (peer.info.control_address == address) there.push_back(&peer);
  }
  return there;
}

// One that speaks for itself takes the place of one that nobody but others has told of.
bool Membership::GiveWay() {
  const auto made_up = std::find_if(peers_.begin(), peers_.end(), [](const auto& entry) {
    return entry.second.heard_at == absl::InfinitePast();
  });
  if (made_up == peers_.end()) return false;
  given_way_.push_back(made_up->second.info);
  Erase(made_up);
  return true;
}

void Membership::MarkLeft(NodeId node, SessionId session, bool left) {
  const auto found = peers_.find(node);
  if (found == peers_.end() || found->second.info.session != session) return;
  found->second.left_session = left ? session : 0;
}

bool Membership::Heard(absl::Time now, NodeId node) {
  const auto found = peers_.find(node);
  if (found == peers_.end() || found->second.left_session == found->second.info.session) {
    return false;
  }
  const bool was_silent = found->second.silent();
  SetHeard(&found->second, now);
  SetSilence(&found->second, nullptr);
  return was_silent;
}

bool Membership::IsNewsToDetector(absl::Time now, NodeId node) {
  const auto found = peers_.find(node);
  if (found == peers_.end() || now < found->second.vouched_at + kVouchInterval) return false;
  found->second.vouched_at = now;
  return true;
}

bool Membership::MarkSilent(absl::Time now, NodeId node, absl::string_view reason) {
  const auto found = peers_.find(node);
  if (found == peers_.end() || found->second.silent()) return false;
  SetSilence(&found->second, std::make_unique<Silence>(Silence{std::string(reason), now}));
  return true;
}

void Membership::Explain(NodeId node, absl::string_view reason) {
  const auto found = peers_.find(node);
  if (found != peers_.end() && found->second.silent()) {
    found->second.silence->reason = std::string(reason);
  }
}

std::vector<NodeInfo> Membership::ForgetSilent(absl::Time now,
                                               absl::FunctionRef<bool(NodeId)> is_needed) {
  if (silent_ == 0 && given_way_.empty()) return {};
  std::vector<const Peer*> silent;
  for (const auto& [node, peer] : peers_) {
    if (peer.silent() && !is_needed(node)) silent.push_back(&peer);
  }
  std::stable_sort(silent.begin(), silent.end(), [](const Peer* a, const Peer* b) {
    return a->silence->since < b->silence->since;
  });
  std::vector<NodeInfo> forgotten = std::exchange(given_way_, {});
  std::erase_if(forgotten, [this](const NodeInfo& node) { return Find(node.node_id) != nullptr; });
  for (size_t k = 0; k < silent.size(); ++k) {
    const bool too_many = silent.size() - k > kSilentPeersMax;
    if (too_many || now - silent[k]->silence->since >= kSilentPeerKept) {
      forgotten.push_back(silent[k]->info);
    }
  }
  for (const NodeInfo& node : forgotten) {
    const auto found = peers_.find(node.node_id);
    if (found != peers_.end()) Erase(found);
  }
  return forgotten;
}

std::vector<NodeId> Membership::SyncAnswered(absl::Time now, absl::string_view address,
                                             const NodeInfo& from) {
  std::vector<NodeId> displaced;
  for (Seed& seed : seeds_) {
    if (seed.address != address) continue;
    seed.open = false;
    seed.node = from.node_id;
    seed.answered_at = now;
    seed.next_try = now + options_.sync_interval;
    WakeForSeed(now, seed);
  }
  for (Peer* peer : At(address)) {
    EndSync(peer);
    if (peer->info.node_id != from.node_id) displaced.push_back(peer->info.node_id);
  }
  return displaced;
}

std::vector<NodeId> Membership::SyncFailed(absl::Time now, absl::string_view address) {
  std::vector<NodeId> unheard;
  for (Seed& seed : seeds_) {
    if (seed.address != address) continue;
    seed.open = false;
    seed.next_try = now + options_.sync_interval;
    WakeForSeed(now, seed);
  }
  for (Peer* peer : At(address)) {
    if (!peer->sync_open) continue;
    EndSync(peer);
    if (peer->heard_at <= peer->synced_at) unheard.push_back(peer->info.node_id);
  }
  return unheard;
}

void Membership::ProbeEnded(NodeId node) {
  const auto found = peers_.find(node);
  if (found != peers_.end()) found->second.probe_open = false;
}

bool Membership::ProbeFailed(NodeId node) {
  ProbeEnded(node);
  const Peer* peer = Find(node);
  return peer != nullptr && peer->heard_at <= peer->probed_at;
}

void Membership::ProbeNow(absl::Time now, NodeId node, absl::Duration timeout, Actions* actions) {
  const auto found = peers_.find(node);
  if (found == peers_.end() || found->second.probe_open) return;
  found->second.probe_open = true;
  found->second.probed_at = now;
  actions->push_back(Probe{node, found->second.info.control_address, timeout});
}

bool Membership::IsClaimed(NodeId node) const {
  const Peer* peer = Find(node);
  return peer != nullptr && peer->claimant != nullptr;
}

bool Membership::WasProbedSinceClaim(NodeId node) const {
  return IsClaimed(node) && Find(node)->probed_at >= Find(node)->claimant->claimed_at;
}

void Membership::SyncSoon(absl::Time now, absl::FunctionRef<std::set<NodeId>()> concerned) {
  if (!is_large()) {
    for (auto& [node, peer] : peers_) SyncPeerBy(now, &peer);
    return;
  }
  for (NodeId node : concerned()) {
    const auto found = peers_.find(node);
    if (found != peers_.end()) SyncPeerBy(now, &found->second);
  }
}

void Membership::SyncAgain(absl::Time now, NodeId node) {
  const auto found = peers_.find(node);
  if (found == peers_.end()) return;
  SyncPeerBy(std::max(now, found->second.synced_at + options_.sync_interval), &found->second);
}

void Membership::Follow(absl::Time now, const NodeInfo& node, bool in_turn, Actions* actions) {
  const auto found = peers_.find(node.node_id);
  if (found == peers_.end() || !is_large()) return;
  const double turn = in_turn ? InTurn(options_.self.node_id, now) : 0;
  const absl::Time time = now + turn * FollowSpread(options_.sync_interval, peers_.size());
  if (found->second.info.session == node.session) return SyncPeerBy(time, &found->second);
  const std::vector<Peer*> there = At(node.control_address);
  for (Peer* peer : there) SyncPeerBy(time, peer);  // its former process, as a rule
  if (!there.empty()) return;
  actions->push_back(Sync{node.control_address, SyncTimeout(options_.sync_interval)});
}

// At that time, or earlier.
void Membership::SyncPeerBy(absl::Time time, Peer* peer) {
  if (peer->silent()) return;
  peer->next_sync = std::min(peer->next_sync, std::max(time, peer->synced_at + kNewsInterval));
  SetDue(peer);
}

// Of a sync that is open the end is waited for, however long the next one is due.
void Membership::SetDue(Peer* peer) {
  const NodeId node = peer->info.node_id;
  due_.erase({peer->due, node});
  peer->due = peer->sync_open ? absl::InfiniteFuture() : peer->next_sync;
  if (!peer->sync_open) due_.emplace(peer->due, node);
}

void Membership::BeginSync(absl::Time now, Peer* peer, Actions* actions) {
  peer->sync_open = true;
  peer->sync_unheard = !peer->Answers();
  unheard_syncs_ += peer->sync_unheard;
  peer->synced_at = now;
  SetDue(peer);
  actions->push_back(Sync{peer->info.control_address, SyncTimeout(options_.sync_interval)});
}

void Membership::EndSync(Peer* peer) {
  peer->sync_open = false;
  unheard_syncs_ -= peer->sync_unheard;
  peer->sync_unheard = false;
  SetDue(peer);
}

void Membership::Tick(absl::Time now, Actions* actions) {
  if (now < next_deadline()) return;
  const absl::Duration spacing = SyncSpacing(options_.sync_interval, answering_);
  const bool many = spacing > options_.sync_interval;
  std::vector<Peer*> due;
  for (auto next = due_.begin(); next != due_.end() && next->first <= now; ++next) {
    due.push_back(&peers_.at(next->second));
  }
  std::vector<Peer*> unheard;
  for (Peer* peer : due) {
    peer->next_sync = now + options_.sync_interval;
    if (peer->Answers()) {
      // So that not all are synced with at the same time.
      if (many) peer->next_sync = now + spacing * (0.5 + InTurn(peer->info.node_id, now));
      BeginSync(now, peer, actions);
    } else {
      SetDue(peer);
      unheard.push_back(peer);
    }
  }
  // In turn: who was tried longest ago comes first.
  const size_t room = kUnheardSyncsMax - std::min(kUnheardSyncsMax, unheard_syncs_);
  std::stable_sort(unheard.begin(), unheard.end(),
                   [](const Peer* a, const Peer* b) { return a->synced_at < b->synced_at; });
  if (unheard.size() > room) unheard.resize(room);
  for (Peer* peer : unheard) BeginSync(now, peer, actions);
  if (now >= next_seed_) AskSeeds(now, actions);
}

absl::Time Membership::next_deadline() const {
  return due_.empty() ? next_seed_ : std::min(next_seed_, due_.begin()->first);
}

void Membership::WakeForSeed(absl::Time now, const Seed& seed) {
  if (!seed.open) next_seed_ = std::min(next_seed_, std::max(now, seed.next_try));
}

}  // namespace weightmesh
