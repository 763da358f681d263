// SimArena: what a trainer and its daemon share, as plain values: slot words, snapshots, inbox,
// page.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <vector>

#include "absl/time/time.h"
#include "daemon/core/actions.h"
#include "daemon/core/hash.h"
#include "daemon/core/ids.h"
#include "proto/control_page.h"

namespace weightmesh::sim {

// A block of a segment: one number, and the seal that tells whose it is and of which round.
struct SimBlock {
  double value = 0;
  bool non_finite = false;  // NaN or infinity is in the segment
  uint64_t seal = 0;        // 0: it is being written

  static uint64_t SealOf(ReplicaId replica, Round round, uint32_t segment, uint32_t block,
                         double value, bool non_finite) {
    return Hash64({replica.high, replica.low, Value(round), segment, block,
                   std::bit_cast<uint64_t>(value), non_finite}) |
           1;
  }
  bool IsOf(ReplicaId replica, Round round, uint32_t segment, uint32_t block) const {
    return seal == SealOf(replica, round, segment, block, value, non_finite);
  }
  bool operator==(const SimBlock& other) const {
    return std::bit_cast<uint64_t>(value) == std::bit_cast<uint64_t>(other.value) &&
           non_finite == other.non_finite && seal == other.seal;
  }
};

// Two halves, so that one may be of another round than the other; both hold the same number.
using SimSegment = std::array<SimBlock, 2>;

struct SimArena {
  struct InboxBuffer {
    SimSegment blocks;
    // Not for the trainer's eyes: a fault was injected, so these are not the blocks that were sent.
    bool damaged = false;
    bool operator==(const InboxBuffer& other) const {
      return blocks == other.blocks && damaged == other.damaged;
    }
  };

  SimArena(ReplicaId replica_id, uint32_t slot_count, uint32_t segments)
      : replica(replica_id),
        words(slot_count, control_page::SlotWord(0, control_page::SlotState::kReadable)),
        snapshots(slot_count, std::vector<SimSegment>(segments)),
        inbox(segments) {}

  bool IsWhole(SlotId slot, Round round, uint32_t segment) const {
    const SimSegment& blocks = snapshots[Value(slot)][segment];
    return blocks[0].IsOf(replica, round, segment, 0) && blocks[1].IsOf(replica, round, segment, 1);
  }

  const ReplicaId replica;
  std::vector<uint64_t> words;
  std::vector<std::vector<SimSegment>> snapshots;  // by slot and segment
  std::vector<std::array<InboxBuffer, 2>> inbox;
  bool freed = false;  // the daemon's transport must not touch it any more

  // The page: the daemon's words.
  Round next_round{};
  Round newest_round{};
  Round active_from{};
  absl::Duration publish_wait;
  absl::Duration collect_wait;
  Round leaves_at{};
  Round agreed_at{};
  double agreed_distance = 0;
  Round collected_round{};
  std::vector<FrozenSegment> collected;
};

}  // namespace weightmesh::sim
