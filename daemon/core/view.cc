// The sorted set of replicas and its digest.
#include "daemon/core/view.h"

#include <algorithm>

#include "daemon/core/hash.h"

namespace weightmesh {

View::View(std::vector<ReplicaId> replicas) : replicas_(std::move(replicas)) {
  std::sort(replicas_.begin(), replicas_.end());
  replicas_.erase(std::unique(replicas_.begin(), replicas_.end()), replicas_.end());
  std::vector<uint64_t> words;
  for (const ReplicaId& replica : replicas_) {
    hashes_.push_back(Hash64({replica.high, replica.low}));
    words.push_back(replica.high);
    words.push_back(replica.low);
  }
  digest_ = std::max<uint64_t>(Hash64(words), 1);
}

std::optional<uint32_t> View::RankOf(ReplicaId replica) const {
  const auto found = std::lower_bound(replicas_.begin(), replicas_.end(), replica);
  if (found == replicas_.end() || *found != replica) return std::nullopt;
  return static_cast<uint32_t>(found - replicas_.begin());
}

uint64_t ViewDigest(std::vector<ReplicaId> replicas) { return View(std::move(replicas)).digest(); }

}  // namespace weightmesh
