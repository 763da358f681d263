// Identities and counters of the mesh as distinct types, so that none can stand in for another.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace weightmesh {

// 128 bits that name something for ever. `Tag` keeps the kinds apart.
template <typename Tag>
struct Id128 {
  uint64_t high = 0;
  uint64_t low = 0;

  friend auto operator<=>(const Id128&, const Id128&) = default;
  bool IsZero() const { return high == 0 && low == 0; }

  // 32 lower-case hexadecimal digits, high half first.
  std::string ToString() const;

  template <typename H>
  friend H AbslHashValue(H h, const Id128& id) {
    return H::combine(std::move(h), id.high, id.low);
  }
};

// A daemon: random bits kept in its state directory.
using NodeId = Id128<struct NodeTag>;
// One copy of a model in one run: XXH3-128 of (run_id, replica_name).
using ReplicaId = Id128<struct ReplicaTag>;
// What a content hashes to (RunConfig, schema, weights, founding record).
using Digest = Id128<struct DigestTag>;

// Parses 32 hexadecimal digits; InvalidArgument otherwise.
absl::StatusOr<NodeId> ParseNodeId(absl::string_view text);
absl::StatusOr<ReplicaId> ParseReplicaId(absl::string_view text);

// replica_id of design.md section 2: XXH3-128 over the length of run_id (u64, little endian),
// run_id and replica_name.
ReplicaId MakeReplicaId(absl::string_view run_id, absl::string_view replica_name);

// One process of a node: random at each start.
using SessionId = uint64_t;
// XXH3-64 of run_id: names the run in active messages.
using RunKey = uint64_t;
RunKey MakeRunKey(absl::string_view run_id);

// One scheduled exchange. Round 0 is "none yet"; the first round of a fresh run is 1.
enum class Round : uint64_t {};
constexpr uint64_t Value(Round round) { return static_cast<uint64_t>(round); }
constexpr Round Next(Round round) { return Round{Value(round) + 1}; }
constexpr Round kNoRound{0};

// Index of a segment in the model, 0-based.
enum class SegmentId : uint32_t {};
constexpr uint32_t Value(SegmentId segment) { return static_cast<uint32_t>(segment); }

// Index of one snapshot's memory in a replica's arena, 0-based.
enum class SlotId : uint32_t {};
constexpr uint32_t Value(SlotId slot) { return static_cast<uint32_t>(slot); }

// Names one pull request of this process; never used twice.
enum class RequestId : uint64_t {};
constexpr uint64_t Value(RequestId id) { return static_cast<uint64_t>(id); }

// Names one transfer out of a slot of this process; never used twice.
enum class SendId : uint64_t {};
constexpr uint64_t Value(SendId id) { return static_cast<uint64_t>(id); }

// Names one attached trainer of this daemon; never used twice.
enum class AttachId : uint64_t {};
constexpr uint64_t Value(AttachId id) { return static_cast<uint64_t>(id); }

}  // namespace weightmesh
