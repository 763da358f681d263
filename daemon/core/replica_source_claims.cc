// What a source owes: in lockstep, each segment of a snapshot to its sink until anyone has read it.
#include <algorithm>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "daemon/core/replica_source.h"

namespace weightmesh {

// Who will read the segment, when `sink` should: where that one is known to be dead its own sink is
// redirected here, and so on.
uint32_t ReplicaSource::ReaderFrom(const Slot& slot, uint32_t segment, uint32_t sink) {
  for (uint32_t hops = 0; hops < slot.view->size() && sink != own_; ++hops) {
    const Member& member = run_->MemberAt(sink);
    if (IsLive(member.info.state)) {
      return context_->HasPath(member) && !HasLapsed(sink) ? sink : kNobody;
    }
    sink = run_->PartnersOf(*slot.view, slot.round, SegmentId{segment}, sink).sink;
  }
  return kNobody;
}

std::string ReplicaSource::DescribeHolders() const {
  std::set<std::string> reading;
  std::set<std::string> owed;
  for (const auto& [replica, leases] : readers_) {
    if (leases.count == 0) continue;
    const Member* reader = run_->Find(replica);
    reading.insert(reader == nullptr ? replica.ToString() : reader->info.name);
  }
  for (const Slot& slot : slots_) {
    for (uint32_t sink : slot.owed_to) {
      if (sink != kNobody) owed.insert(run_->MemberAt(sink).info.name);
    }
  }
  return absl::StrCat("reading: ", reading.empty() ? "nobody" : absl::StrJoin(reading, ", "),
                      "; owed to: ", owed.empty() ? "nobody" : absl::StrJoin(owed, ", "));
}

void ReplicaSource::EndClaim(Slot* slot, uint32_t segment) {
  if (slot->owed_to[segment] == kNobody) return;
  slot->owed_to[segment] = kNobody;
  --slot->claims;
}

void ReplicaSource::EndClaims(Slot* slot) {
  std::fill(slot->owed_to.begin(), slot->owed_to.end(), kNobody);
  slot->claims = 0;
}

// The claims have run out: who had not come for them is not waited for again, until it asks or is
// beyond that round.
void ReplicaSource::Lapse(Slot* slot) {
  for (uint32_t sink : slot->owed_to) {
    if (sink != kNobody) lapsed_[sink] = Next(slot->round);
  }
  EndClaims(slot);
}

bool ReplicaSource::HasLapsed(uint32_t sink) const {
  return run_->MemberAt(sink).info.published_round < lapsed_[sink];
}

// Claims of sinks that died pass to whom is redirected around them; sinks that say nothing are
// asked for a sign of life.
void ReplicaSource::CheckSinks(Slot* slot) {
  const absl::Time now = context_->now();
  for (uint32_t segment = 0; segment < slot->owed_to.size(); ++segment) {
    if (slot->owed_to[segment] == kNobody) continue;
    const Member& sink = run_->MemberAt(slot->owed_to[segment]);
    if (!context_->HasPath(sink)) {
      const uint32_t reader = ReaderFrom(*slot, segment, slot->owed_to[segment]);
      if (reader == kNobody) EndClaim(slot, segment);
      if (reader != kNobody) slot->owed_to[segment] = reader;
    } else if (now - context_->HeardFrom(sink.node) >= times_.probe_timeout) {
      context_->AskForLife(sink.node, times_.probe_timeout);
    }
  }
}

}  // namespace weightmesh
