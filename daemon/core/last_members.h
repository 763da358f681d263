// LastMembers: the members that this node last knew. Those that an earlier process of it kept are
// looked for at the start, besides the seeds; those of now are told to be kept. Core thread.
//
// An address that was kept may be a stranger's by now, even one of another mesh, and meshes have no
// names: a sync with it would make one of the two. So whoever is there is asked who it is, and
// hears of this node only if it is the one that was kept.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "daemon/core/actions.h"
#include "daemon/core/ids.h"
#include "daemon/core/last_member.h"
#include "daemon/core/membership.h"
#include "daemon/core/sync_message.h"

namespace weightmesh {

// Kept at most. Of a larger mesh each node keeps others, those that answer first.
constexpr size_t kLastMembersMax = 64;
// How long those of an earlier process are looked for.
constexpr absl::Duration kLastMembersSought = absl::Minutes(10);
// Least time between two times that they are kept.
constexpr absl::Duration kKeepInterval = absl::Seconds(5);

class LastMembers {
 public:
  // `kept` by an earlier process of `self`; each is probed once an `interval`.
  LastMembers(NodeId self, std::vector<LastMember> kept, absl::Duration interval, absl::Time now);

  // The process `session` of `node` has answered a probe: who is to be met, if it is looked for.
  std::optional<NodeInfo> Answered(NodeId node, SessionId session);
  // A probe of `node` has failed. False: it was none of those emitted here.
  bool Failed(NodeId node);

  // Emits Probe of those that are looked for and not known to `membership`, ForgetNode of those
  // given up, and KeepMembers where somebody is known and it is not what is kept.
  void Tick(absl::Time now, const Membership& membership, Actions* actions);

 private:
  struct Sought {
    LastMember member;
    bool probe_open = false;
    absl::Time next_probe;
  };
  void Seek(absl::Time now, const Membership& membership, Actions* actions);
  void GiveUp(Actions* actions);
  void Keep(absl::Time now, const Membership& membership, Actions* actions);
  uint64_t Fingerprint(const Membership& membership) const;
  std::vector<LastMember> KnownNow(const Membership& membership) const;

  const NodeId self_;
  const absl::Duration interval_;
  const absl::Time sought_until_;
  std::vector<LastMember> kept_;
  std::vector<Sought> sought_;
  absl::Time next_keep_;
  uint64_t looked_at_ = 0;  // fingerprint of what was last compared with kept_
};

}  // namespace weightmesh
