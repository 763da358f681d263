// How a queue that many peers fill stays open to all of them; pure.
#pragma once

#include <cstddef>

namespace weightmesh {

// Whether a peer that has `own` of the `total` entries of a queue may add one: it may have as many
// as are still free. So one peer alone takes at most half of the queue, k that flood it take k
// parts of k + 1, and who asks for little always finds room.
constexpr bool HasFairShare(size_t own, size_t total, size_t limit) {
  return total < limit && own < limit - total;
}

}  // namespace weightmesh
