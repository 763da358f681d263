// The control page: the shared memory through which one trainer and its daemon speak each round.
//
// It lies at the start of the arena. Every word has one writer, named below; the daemon trusts
// nothing that the trainer writes. Words are 64-bit atomics or plain data published by one.
//
//   trainer: publish  -> slot word, Command kPublish, ring the daemon's doorbell (eventfd)
//   trainer: collect  -> Command kCollect, ring; wait on its own doorbell
//   daemon:  freeze   -> CollectedSegment table, collected_round, ring the trainer's doorbell
//   trainer: mix      -> MixedSegment table, Command kMixed
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "proto/outcome.h"

namespace weightmesh::control_page {

constexpr uint32_t kMagic = 0x31434d57;  // "WMC1"
constexpr uint32_t kVersion = 4;

constexpr uint32_t kSlotsMax = 8;
constexpr uint32_t kSlotsDefault = 3;
constexpr uint32_t kCommandsMax = 64;  // a power of two
constexpr uint32_t kScalarsMax = 16;
constexpr uint32_t kScalarNameBytesMax = 32;  // with the ending NUL

// A slot word is round << 2 | SlotState. A fresh slot is (0, kReadable).
enum class SlotState : uint64_t {
  kReadable = 1,  // the trainer may take it, the daemon may lease it
  kWriting = 2,   // the trainer's
  kHeld = 3,      // the daemon's: leased or owed
};
constexpr uint64_t SlotWord(uint64_t round, SlotState state) {
  return round << 2 | static_cast<uint64_t>(state);
}
constexpr uint64_t SlotWordRound(uint64_t word) { return word >> 2; }
constexpr SlotState SlotWordState(uint64_t word) { return static_cast<SlotState>(word & 3); }

enum class CommandKind : uint32_t {
  kPublish = 1,   // `round` is readable in `slot`
  kSkip = 2,      // nothing is published in `round`: no slot came free in time
  kCollect = 3,   // freeze `round`; overlap, async: after overlap_grace for transfers under way
  kMixed = 4,     // `round` is mixed: the MixedSegment table is valid, the inbox is free again
  kCaughtUp = 5,  // a replica that joins: the collects so far gave all segments
  // `round`, published next, is exchanged without training, for agreement within `distance_bits`.
  kAgree = 6,
};

struct Command {
  uint64_t round;
  uint32_t kind;        // CommandKind
  uint32_t slot;        // kPublish; kAgree: 1 in the first round of an agreement, then 0
  uint64_t elapsed_ns;  // kMixed: time from publish to the end of the mix; 0 otherwise
  // kAgree: a double, the consensus distance that will do; infinity: any. 0 otherwise.
  uint64_t distance_bits;
};
static_assert(sizeof(Command) == 32);

// A number that the trainer reports (weightmesh_report). The name is written once, before
// scalar_count is raised over it.
struct Scalar {
  char name[kScalarNameBytesMax];
  std::atomic<uint64_t> value_bits;  // of a double
};
static_assert(sizeof(Scalar) == 40);

// Written by the daemon at freeze, valid for the round in collected_round.
struct CollectedSegment {
  uint32_t delivered;  // 1: inbox buffer `buffer` holds a segment to verify and mix
  uint32_t outcome;    // Outcome, when not delivered
  uint32_t buffer;     // 0 or 1
  uint32_t reserved;
  uint64_t source_round;  // round of the delivered snapshot
  uint64_t source_high;   // replica_id that published it: part of the checksums' key
  uint64_t source_low;
};
static_assert(sizeof(CollectedSegment) == 40);

// Written by the trainer after the mix, for every delivered segment.
struct MixedSegment {
  uint32_t outcome;           // kArrived, kCorrupt or kRefused
  uint32_t blocks_bad;        // of kCorrupt
  double difference_squared;  // sum over the segment of (Q(peer) - own)², 0 unless mixed
};
static_assert(sizeof(MixedSegment) == 16);

struct alignas(64) ControlPage {
  // Constant after attach; written by the daemon.
  uint32_t magic;
  uint32_t version;
  uint32_t segments;
  uint32_t slots;
  uint64_t page_bytes;

  // Daemon -> trainer.
  alignas(64) std::atomic<uint64_t> next_round;  // the round that the next publish must carry
  std::atomic<uint64_t> collected_round;         // newest round whose results are in the table
  std::atomic<uint64_t> publish_wait_us;         // longest wait for a slot before a skip
  std::atomic<uint64_t> collect_wait_us;         // longest a collect may take; then give up
  std::atomic<uint64_t> view_replicas;           // replicas in the view, this one included
  std::atomic<uint64_t> mesh_newest_round;       // newest round known to be published
  std::atomic<uint64_t> active_from;             // first round to take part in; 0: not known yet
  std::atomic<uint64_t> leaves_at;  // first round not to take part in any more; 0: none
  std::atomic<uint64_t> agreed_at;  // all replicas agree, and stop after this round; 0: not known
  std::atomic<uint64_t> agreed_distance_bits;  // a double: the consensus distance, once agreed

  // Trainer -> daemon.
  alignas(
      64) std::atomic<uint64_t> commands_posted;  // count; the next goes to index % kCommandsMax
  std::atomic<uint64_t> slot_wanted;              // 1: ring the trainer when a slot comes free
  std::atomic<uint64_t> scalar_count;

  // Daemon -> trainer.
  alignas(64) std::atomic<uint64_t> commands_taken;

  // Both, by compare-and-swap as design.md section 4 says.
  alignas(64) std::atomic<uint64_t> slot_words[kSlotsMax];

  alignas(64) Command commands[kCommandsMax];
  alignas(64) Scalar scalars[kScalarsMax];
};

static_assert(std::atomic<uint64_t>::is_always_lock_free && sizeof(std::atomic<uint64_t>) == 8);
static_assert(offsetof(ControlPage, next_round) == 64);
static_assert(offsetof(ControlPage, agreed_at) == 128);
static_assert(offsetof(ControlPage, commands_posted) == 192);
static_assert(offsetof(ControlPage, commands_taken) == 256);
static_assert(offsetof(ControlPage, slot_words) == 320);
static_assert(offsetof(ControlPage, commands) == 384);
static_assert(offsetof(ControlPage, scalars) == 2432);
static_assert(sizeof(ControlPage) == 3072);

// The tables follow the page: CollectedSegment[segments], then MixedSegment[segments].
constexpr uint64_t CollectedOffset() { return sizeof(ControlPage); }
constexpr uint64_t MixedOffset(uint64_t segments) {
  return (CollectedOffset() + segments * sizeof(CollectedSegment) + 63) / 64 * 64;
}
constexpr uint64_t ControlPageBytes(uint64_t segments) {
  return MixedOffset(segments) + segments * sizeof(MixedSegment);
}

}  // namespace weightmesh::control_page
