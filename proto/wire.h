// The active-message headers of the data plane: the contract between two daemons' transports.
//
// Little endian, fixed size, no padding. A pull is one PullRequestFrame to the source, answered at
// once by one PullAnswerFrame whose verdict is kData (the segment follows by rendezvous in the same
// active message), kQueued or kWaiting (kData or a final verdict follows later), or a final
// verdict.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace weightmesh::wire {

constexpr uint32_t kMagic = 0x31444d57;  // "WMD1"
constexpr uint16_t kVersion = 2;

// Active-message ids; also FrameHeader::type.
enum class FrameType : uint16_t {
  kPullRequest = 1,
  kPullAnswer = 2,
  kPullCancel = 3,
  kIdleClose = 4,
};

// What a source says to a request.
enum class Verdict : uint32_t {
  kData = 1,     // the segment comes with this frame
  kQueued = 2,   // leased; it comes after other transfers to the same peer
  kWaiting = 3,  // nothing that will do yet; `round` is the newest that the source has published
  kGone = 4,     // that round's slot was recycled; not in mode async
  kSkipped = 5,  // the source published nothing in that round; not in mode async
  kBusy = 6,     // a limit of the source was reached
  kDead = 7,     // no such live replica here
};

struct FrameHeader {
  uint32_t magic;
  uint16_t version;
  uint16_t type;   // FrameType
  uint64_t token;  // drawn by the receiver for this sender and told over the control plane
};

struct PullRequestFrame {
  FrameHeader header;
  uint64_t request_id;   // the puller's; comes back in every answer
  uint64_t run_key;      // XXH3-64 of run_id
  uint64_t source_high;  // replica_id that is asked
  uint64_t source_low;
  uint64_t reader_high;  // replica_id that asks
  uint64_t reader_low;
  uint64_t round;         // the round wanted, >= 1; mode async: or another that will do
  uint64_t oldest_round;  // 0: only `round`; else the newest from this one on will do
  uint64_t newest_round;  // newest round that the sender knows to be published in this run
  uint32_t segment;
  uint32_t remaining_ms;  // how long the reader will wait; never a clock reading
};

struct PullAnswerFrame {
  FrameHeader header;
  uint64_t request_id;
  uint64_t run_key;
  uint64_t round;         // kData: the data's round; otherwise the source's newest published round
  uint64_t newest_round;  // as in PullRequestFrame
  uint64_t bytes;         // kData: bytes that follow; otherwise 0
  uint32_t verdict;       // Verdict
  uint32_t segment;
};

struct PullCancelFrame {
  FrameHeader header;
  uint64_t request_id;  // the puller's, of a request it no longer waits for
};

// The sender closes this connection because it is idle; the link stays, and either side may open
// the next one.
struct IdleCloseFrame {
  FrameHeader header;
};

static_assert(sizeof(FrameHeader) == 16 && offsetof(FrameHeader, token) == 8);
static_assert(sizeof(PullRequestFrame) == 96 && offsetof(PullRequestFrame, segment) == 88);
static_assert(sizeof(PullAnswerFrame) == 64 && offsetof(PullAnswerFrame, verdict) == 56);
static_assert(sizeof(PullCancelFrame) == 24);
static_assert(sizeof(IdleCloseFrame) == 16);
static_assert(std::is_trivially_copyable_v<PullRequestFrame> &&
              std::is_trivially_copyable_v<PullAnswerFrame> &&
              std::is_trivially_copyable_v<PullCancelFrame>);

}  // namespace weightmesh::wire
