// Members, their digest, and the tombstones of those who are gone.
#include "daemon/core/member_table.h"

#include <utility>

#include "daemon/core/hash.h"

namespace weightmesh::swim {
namespace {

uint64_t DigestTerm(const Member& member) {
  if (!member.MayLive()) return 0;
  const uint64_t words[] = {member.info.node_id.high, member.info.node_id.low, member.info.session,
                            member.incarnation, member.record_version};
  return Hash64(words);
}

}  // namespace

MemberTable::MemberTable(const SwimOptions& options, const NodeInfo& self)
    : options_(options), self_(self.node_id) {
  Insert(self, /*incarnation=*/1, absl::InfinitePast())->record_version = 1;
  Changed(Find(self_));
}

const Member* MemberTable::Find(NodeId node) const {
  const auto found = members_.find(node);
  return found == members_.end() ? nullptr : &found->second;
}

Member* MemberTable::Find(NodeId node) {
  const auto found = members_.find(node);
  return found == members_.end() ? nullptr : &found->second;
}

Member* MemberTable::Insert(const NodeInfo& node, uint64_t incarnation, absl::Time now) {
  Member& member = members_[node.node_id];
  member.info = node;
  member.incarnation = incarnation;
  member.changed_at = now;
  ++living_;
  Changed(&member);
  return &member;
}

void MemberTable::Changed(Member* member) {
  digest_ -= member->digest_term;
  member->digest_term = DigestTerm(*member);
  digest_ += member->digest_term;

  const NodeId node = member->info.node_id;
  const auto known_gone = gone_at_.find(node);
  if (known_gone != gone_at_.end()) {
    gone_.erase({known_gone->second, node});
    gone_at_.erase(known_gone);
    ++living_;
  }
  if (member->MayLive() || node == self_) return;
  gone_.emplace(member->changed_at, node);
  gone_at_.emplace(node, member->changed_at);
  --living_;
}

std::vector<NodeInfo> MemberTable::Reap(absl::Time now) {
  std::vector<NodeInfo> reaped;
  while (!gone_.empty()) {
    const auto [gone_at, node] = *gone_.begin();
    const bool is_kept = gone_.size() <= options_.dead_max && now < gone_at + options_.dead_kept;
    if (is_kept && !is_full()) break;
    reaped.push_back(Find(node)->info);
    Forget(node);
  }
  return reaped;
}

absl::Time MemberTable::next_reap() const {
  if (gone_.empty()) return absl::InfiniteFuture();
  if (gone_.size() > options_.dead_max) return absl::InfinitePast();
  return gone_.begin()->first + options_.dead_kept;
}

const Member* MemberTable::RandomDead(CounterRng* rng) const {
  std::vector<const Member*> dead;
  for (const auto& [gone_at, node] : gone_) {
    const Member* member = Find(node);
    if (member->state == MemberState::kDead) dead.push_back(member);
  }
  return dead.empty() ? nullptr : dead[rng->Below(dead.size())];
}

void MemberTable::Forget(NodeId node) {
  gone_.erase({gone_at_.at(node), node});
  gone_at_.erase(node);
  members_.erase(node);
}

bool IsWellFormed(const SwimOptions& options, const MemberUpdate& update) {
  return !update.node.node_id.IsZero() && update.state >= MemberState::kAlive &&
         update.state <= MemberState::kLeft && update.incarnation > 0 &&
         update.node.control_address.size() <= kAddressBytesMax &&
         update.node.version.size() <= kVersionBytesMax && update.accusers.size() <= kAccusersMax &&
         update.record.size() <= options.record_bytes_max;
}

}  // namespace weightmesh::swim
