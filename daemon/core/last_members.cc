// Who was there before this process, and who is to be found again after it.
#include "daemon/core/last_members.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/core/hash.h"

namespace weightmesh {
namespace {

constexpr absl::Duration kProbeTimeout = absl::Seconds(2);
// How often it is looked whether there is something new to be kept.
constexpr absl::Duration kKeepCheck = absl::Seconds(1);

bool ByNodeId(const LastMember& a, const LastMember& b) { return a.node_id < b.node_id; }

}  // namespace

LastMembers::LastMembers(NodeId self, std::vector<LastMember> kept, absl::Duration interval,
                         absl::Time now)
    : self_(self),
      interval_(interval),
      sought_until_(now + kLastMembersSought),
      kept_(std::move(kept)),
      next_keep_(now) {
  std::sort(kept_.begin(), kept_.end(), ByNodeId);
  for (const LastMember& member : kept_) {
    if (member.node_id != self_) sought_.push_back(Sought{member, false, now});
  }
}

std::optional<NodeInfo> LastMembers::Answered(NodeId node, SessionId session) {
  const auto found = std::find_if(sought_.begin(), sought_.end(), [node](const Sought& sought) {
    return sought.probe_open && sought.member.node_id == node;
  });
  if (found == sought_.end()) return std::nullopt;
  const NodeInfo answered{node, session, found->member.control_address, ""};
  sought_.erase(found);
  return answered;
}

bool LastMembers::Failed(NodeId node) {
  for (Sought& sought : sought_) {
    if (sought.member.node_id == node && std::exchange(sought.probe_open, false)) return true;
  }
  return false;
}

void LastMembers::Tick(absl::Time now, const Membership& membership, Actions* actions) {
  Seek(now, membership, actions);
  if (now >= sought_until_ && !sought_.empty()) GiveUp(actions);
  Keep(now, membership, actions);
}

void LastMembers::Seek(absl::Time now, const Membership& membership, Actions* actions) {
  std::erase_if(sought_, [&](const Sought& sought) {
    return !sought.probe_open && membership.Find(sought.member.node_id) != nullptr;
  });
  for (Sought& sought : sought_) {
    if (sought.probe_open || now < sought.next_probe) continue;
    sought.probe_open = true;
    sought.next_probe = now + interval_;
    actions->push_back(Probe{sought.member.node_id, sought.member.control_address, kProbeTimeout});
  }
}

void LastMembers::GiveUp(Actions* actions) {
  actions->push_back(Log{LogLevel::kInfo,
                         absl::StrCat(sought_.size(),
                                      " of the daemons that this one last knew have not been found "
                                      "where they were, and are given up")});
  for (const Sought& sought : sought_) {
    actions->push_back(ForgetNode{sought.member.node_id, sought.member.control_address});
  }
  sought_.clear();
}

// Nobody is no news: what was kept may still help the next process.
void LastMembers::Keep(absl::Time now, const Membership& membership, Actions* actions) {
  if (now < next_keep_) return;
  next_keep_ = now + kKeepCheck;
  // As a rule nothing has changed, and nothing is to be allocated.
  const uint64_t fingerprint = Fingerprint(membership);
  if (std::exchange(looked_at_, fingerprint) == fingerprint) return;
  std::vector<LastMember> members = KnownNow(membership);
  if (members.empty() || members == kept_) return;
  next_keep_ = now + kKeepInterval;
  kept_ = members;
  actions->push_back(KeepMembers{std::move(members)});
}

// Of all that KnownNow depends on.
uint64_t LastMembers::Fingerprint(const Membership& membership) const {
  uint64_t hash = 1 + sought_.size();
  for (const auto& [node, peer] : membership.peers()) {
    const uint64_t kind = peer.heard_at == absl::InfinitePast() ? 2 : peer.Answers() ? 0 : 1;
    hash = Hash64({hash, node.high, node.low, kind, Hash64(peer.info.control_address)});
  }
  return hash;
}

// Those that answer first, then those that have spoken, then those still looked for; among equals
// the nearest by the bits of their id, who are others for each node.
std::vector<LastMember> LastMembers::KnownNow(const Membership& membership) const {
  using Rank = std::tuple<int, uint64_t, uint64_t>;
  std::vector<std::pair<Rank, LastMember>> ranked;
  const auto add = [&](int kind, NodeId node, const std::string& address) {
    const Rank rank{kind, node.high ^ self_.high, node.low ^ self_.low};
    ranked.emplace_back(rank, LastMember{node, address});
  };
  for (const auto& [node, peer] : membership.peers()) {
    if (peer.heard_at == absl::InfinitePast()) continue;
    add(peer.Answers() ? 0 : 1, node, peer.info.control_address);
  }
  for (const Sought& sought : sought_) {
    const Peer* peer = membership.Find(sought.member.node_id);
    if (peer != nullptr && peer->heard_at != absl::InfinitePast()) continue;
    add(2, sought.member.node_id, sought.member.control_address);
  }
  std::sort(ranked.begin(), ranked.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  if (ranked.size() > kLastMembersMax) ranked.resize(kLastMembersMax);
  std::vector<LastMember> members;
  members.reserve(ranked.size());
  for (auto& [rank, member] : ranked) members.push_back(std::move(member));
  std::sort(members.begin(), members.end(), ByNodeId);
  return members;
}

}  // namespace weightmesh
