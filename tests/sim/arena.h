// SimArena: what a trainer and its daemon share, as plain values: slot words, snapshots, inbox,
// page.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "absl/time/time.h"
#include "daemon/core/actions.h"
#include "daemon/core/ids.h"
#include "proto/control_page.h"

namespace weightmesh::sim {

struct SimArena {
  // A snapshot that is being written holds this: whoever reads it too early is found out.
  static constexpr double kTorn = std::numeric_limits<double>::quiet_NaN();

  struct InboxBuffer {
    ReplicaId source;
    Round round{};
    double value = kTorn;
    bool operator==(const InboxBuffer& other) const {
      return source == other.source && round == other.round && value == other.value;
    }
  };

  SimArena(ReplicaId replica_id, uint32_t slot_count, uint32_t segments)
      : replica(replica_id),
        words(slot_count, control_page::SlotWord(0, control_page::SlotState::kReadable)),
        snapshots(slot_count, std::vector<double>(segments, kTorn)),
        inbox(segments) {}

  const ReplicaId replica;
  std::vector<uint64_t> words;
  std::vector<std::vector<double>> snapshots;  // by slot and segment
  std::vector<std::array<InboxBuffer, 2>> inbox;
  bool freed = false;  // the daemon's transport must not touch it any more

  // The page: the daemon's words.
  Round next_round{};
  absl::Duration publish_wait;
  absl::Duration collect_wait;
  Round collected_round{};
  std::vector<FrozenSegment> collected;
};

}  // namespace weightmesh::sim
