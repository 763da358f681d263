// Counts accusers and tells the deadline.
#include "daemon/core/suspicion.h"

#include <algorithm>

#include "daemon/core/swim_policy.h"

namespace weightmesh::swim {

Suspicion::Suspicion(NodeId accuser, absl::Time now, absl::Duration min, absl::Duration max,
                     uint32_t wanted)
    : began_at_(now), min_(min), max_(max), wanted_(wanted), accusers_{accuser} {}

bool Suspicion::Confirm(NodeId accuser) {
  if (accusers_.size() >= kAccusersMax) return false;
  if (std::find(accusers_.begin(), accusers_.end(), accuser) != accusers_.end()) return false;
  accusers_.push_back(accuser);
  ++confirmations_;
  return true;
}

void Suspicion::Restart(absl::Time now) {
  began_at_ = now;
  confirmations_ = 0;
}

absl::Time Suspicion::deadline() const {
  return began_at_ + SuspicionTimeout(min_, max_, confirmations_, wanted_);
}

}  // namespace weightmesh::swim
