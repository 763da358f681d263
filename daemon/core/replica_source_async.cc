// Serving the newest snapshot that will do: the source in mode async, and for who catches up.
//
// Nothing is GONE or SKIPPED there: a snapshot that is no more has a newer one after it, and one
// that never was has neighbours. What has none yet within the limit waits for the next publish.
#include "daemon/core/replica_source.h"

namespace weightmesh {

Round ReplicaSource::LeasedBy(ReplicaId reader) const {
  const auto found = readers_.find(reader);
  return found == readers_.end() || found->second.count == 0 ? kNoRound : found->second.round;
}

// The newest snapshot within the request's limit; of a reader that holds leases, the one that it
// reads, or none.
SlotId const* ReplicaSource::FindNewest(const PullRequest& request) const {
  const Round oldest = request.oldest_round != kNoRound
                           ? request.oldest_round
                           : OldestRound(run_->config(), request.round);
  const Round leased = LeasedBy(request.reader);
  const SlotId* newest = nullptr;
  for (uint32_t k = 0; k < slots_.size(); ++k) {
    const Round round = slots_[k].round;
    if (round == kNoRound || round < oldest) continue;
    if (leased != kNoRound && leased != round) continue;
    if (newest == nullptr || round > slots_[Value(*newest)].round) newest = &slot_ids_[k];
  }
  return newest;
}

// All that catch up together get as much of the link as one more peer of a round, and take one slot
// from the trainer at most: they read the newest round, one after the other.
bool ReplicaSource::MayCatchUp() const {
  if (catch_ups_ == 0) return true;
  return catch_ups_ < sends_per_peer_max_ && catch_up_round_ == published_round_;
}

// False: it must wait for the next publish, or for the end of the reader's leases, or of others'
// that catch up.
bool ReplicaSource::ServeNewest(const PullRequest& request) {
  if (CatchesUp(request) && !MayCatchUp()) return false;
  while (const SlotId* slot = FindNewest(request)) {
    if (ServeFrom(*slot, request)) return true;
    slots_[Value(*slot)].round = kNoRound;  // the trainer writes there: it is no more
  }
  return false;
}

}  // namespace weightmesh
