// What daemons tell each other about nodes and runs: the core's form of peer.proto; plain data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "daemon/core/ids.h"
#include "daemon/core/run_config.h"

namespace weightmesh {

// Fields as NodeInfo of proto/weightmesh/v1/peer.proto.
struct NodeInfo {
  NodeId node_id;
  SessionId session = 0;
  std::string control_address;
  std::string version;

  friend bool operator==(const NodeInfo&, const NodeInfo&) = default;
};

// Values as ReplicaState of peer.proto.
enum class ReplicaState : uint32_t {
  kWaiting = 1,
  kActive = 2,
  kLeft = 3,
  kDead = 4,
  kJoining = 5,
  kDraining = 6
};
const char* ReplicaStateName(ReplicaState state);  // "waiting", …
// Whether it publishes rounds and mixes them.
constexpr bool TakesPart(ReplicaState state) {
  return state == ReplicaState::kActive || state == ReplicaState::kDraining;
}
// Whether its trainer is there.
constexpr bool IsLive(ReplicaState state) {
  return state != ReplicaState::kLeft && state != ReplicaState::kDead;
}

struct ReplicaInfo {
  ReplicaId replica_id;
  std::string name;
  ReplicaState state = ReplicaState::kWaiting;
  Round published_round{};
  Round mixed_round{};
  // Which of the trainers that its daemon's process has had under this name; the newest counts.
  uint64_t life = 0;
  // It takes part in the rounds from the first on, and before the second; kNoRound: since the
  // start; not known to end.
  Round active_from{};
  Round left_at{};
  // Of a replica that exchanges without training until all agree (core/agreement.h), from when it
  // is content: a round of which it is, and the one after which it may stop. kNoRound: it is not.
  Round content_at{};
  Round stops_after{};
  double consensus_distance = 0;  // its estimate of (1/n)·Σ‖xᵢ − x̄‖² then
};

// What a round is said to take, at most.
constexpr absl::Duration kRoundTimeMax = absl::Hours(1);

// Fields as RunState of peer.proto.
struct RunState {
  std::string run_id;
  FoundingRecord founding;
  bool started = false;
  bool ended = false;
  std::vector<ReplicaId> founders;  // may be left out
  uint64_t founders_digest = 0;     // ViewDigest of them; 0 before the start
  uint64_t waiting_digest = 0;
  uint64_t view_digest = 0;
  Round newest_round{};
  absl::Duration round_time;
  std::vector<ReplicaInfo> replicas;
  std::vector<ReplicaInfo> gone;
};

struct SyncMessage {
  NodeInfo self;
  // Counts this process's messages, so that an overtaken one is known as such.
  uint64_t sequence = 0;
  absl::Duration uptime;  // of this process
  std::vector<RunState> runs;
};

}  // namespace weightmesh
