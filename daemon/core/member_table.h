// MemberTable: what a node believes of all others, itself included. Core thread.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "daemon/core/hash.h"
#include "daemon/core/swim_message.h"
#include "daemon/core/swim_policy.h"

namespace weightmesh::swim {

// A leap of an incarnation or a record's version that no life explains: a liar wants to take the
// last number there is, so that its victim can refute no more.
constexpr uint64_t kLeapMax = uint64_t{1} << 32;
// A node that nobody has told of yet may say so much of itself: it has lived before.
constexpr uint64_t kFirstNumberMax = uint64_t{1} << 62;
constexpr size_t kAddressBytesMax = 255;
constexpr size_t kVersionBytesMax = 64;

struct Member {
  NodeInfo info;
  uint64_t incarnation = 0;
  MemberState state = MemberState::kAlive;
  absl::Time changed_at = absl::InfinitePast();  // the state
  absl::Time heard_at = absl::InfinitePast();    // the last sign of life, first-hand
  uint64_t record_version = 0;                   // 0: the record is not known
  std::string record;

  bool MayLive() const { return state == MemberState::kAlive || state == MemberState::kSuspect; }

 private:
  friend class MemberTable;
  uint64_t digest_term = 0;
};

// Those who are gone stay as tombstones: while a node is remembered as dead, news that it lived
// before is known to be old. After dead_kept nobody tells such news any more: whoever does not know
// of a death probes the node, and finds out within seconds. The one exception is a process that
// stood still for longer than that, and what it tells lives only until the next probe. A tombstone
// is never made for a node that is not known, so that tombstones cannot keep each other alive.
class MemberTable {
 public:
  MemberTable(const SwimOptions& options, const NodeInfo& self);

  const Member* Find(NodeId node) const;
  Member* Find(NodeId node);
  const std::map<NodeId, Member>& members() const { return members_; }

  bool is_full() const { return members_.size() >= options_.nodes_max; }
  // REQUIRES: `node` is not known, and the table is not full.
  Member* Insert(const NodeInfo& node, uint64_t incarnation, absl::Time now);
  // Must follow every change of a member's incarnation, state or record.
  void Changed(Member* member);

  // Forgets those who are gone, as dead_kept and dead_max say, and one more if the table is full.
  // Returns them.
  std::vector<NodeInfo> Reap(absl::Time now);
  absl::Time next_reap() const;
  // One of those that died, not left; null when there is none.
  const Member* RandomDead(CounterRng* rng) const;

  // Nodes that may live, this one included.
  size_t living() const { return living_; }
  // Equal when the same nodes live with the same incarnations and records; not over their order.
  // Suspicions are left out: they pass.
  uint64_t digest() const { return digest_; }

 private:
  void Forget(NodeId node);

  const SwimOptions options_;
  const NodeId self_;
  std::map<NodeId, Member> members_;
  // Those who are gone, by the time when that became known.
  std::set<std::pair<absl::Time, NodeId>> gone_;
  std::map<NodeId, absl::Time> gone_at_;
  size_t living_ = 0;
  uint64_t digest_ = 0;
};

// Whether an update can be meant: texts, counts and state within their limits.
bool IsWellFormed(const SwimOptions& options, const MemberUpdate& update);

}  // namespace weightmesh::swim
