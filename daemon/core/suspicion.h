// Suspicion: one suspect's time to refute, which shrinks with everybody who accuses it too.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/time/time.h"
#include "daemon/core/ids.h"

namespace weightmesh::swim {

class Suspicion {
 public:
  // The first accuser is no confirmation. `wanted` of them bring the timeout from max to min.
  Suspicion(NodeId accuser, absl::Time now, absl::Duration min, absl::Duration max,
            uint32_t wanted);

  // True if `accuser` is new, and counts: no more than kAccusersMax are remembered.
  bool Confirm(NodeId accuser);

  // The suspect gave a sign of life: the whole time begins anew, and only accusers that are new
  // shorten it.
  void Restart(absl::Time now);
  // This node stood still for so long: it could not have heard a refutation.
  void PushBack(absl::Duration stalled) { began_at_ += stalled; }

  absl::Time deadline() const;
  uint32_t confirmations() const { return confirmations_; }
  const std::vector<NodeId>& accusers() const { return accusers_; }

 private:
  absl::Time began_at_;
  const absl::Duration min_;
  const absl::Duration max_;
  const uint32_t wanted_;
  uint32_t confirmations_ = 0;
  std::vector<NodeId> accusers_;
};

}  // namespace weightmesh::swim
