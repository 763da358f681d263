// View: the replicas that take part in a round, in rank order; pure, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "daemon/core/ids.h"

namespace weightmesh {

// An immutable set of replicas. The rank of a replica is its position in the order of replica_id.
class View {
 public:
  View() = default;
  // Sorts `replicas` and drops duplicates.
  explicit View(std::vector<ReplicaId> replicas);

  uint32_t size() const { return static_cast<uint32_t>(replicas_.size()); }
  // REQUIRES (both): rank < size().
  ReplicaId replica(uint32_t rank) const { return replicas_[rank]; }
  // XXH3-64 of the replica's id: the h of hash_cycle.
  uint64_t replica_hash(uint32_t rank) const { return hashes_[rank]; }
  absl::Span<const uint64_t> replica_hashes() const { return hashes_; }

  // Nothing when the replica is not in the view.
  std::optional<uint32_t> RankOf(ReplicaId replica) const;

  // Hash of the sorted ids; never 0. Equal views, equal digests, whatever the incarnations.
  uint64_t digest() const { return digest_; }

 private:
  std::vector<ReplicaId> replicas_;
  std::vector<uint64_t> hashes_;
  uint64_t digest_ = 1;
};

// What View::digest() would be of these ids in any order.
uint64_t ViewDigest(std::vector<ReplicaId> replicas);

}  // namespace weightmesh
