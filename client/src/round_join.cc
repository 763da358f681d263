// The catch-up of a replica that joins: RoundDriver::CatchUp.
#include <algorithm>

#include "client/src/round_driver.h"

namespace weightmesh::client {
namespace {

using control_page::CommandKind;

// Passes over what is whole but has grown old meanwhile: where rounds are shorter than a pass, the
// newest of them is as near as one can get.
constexpr int kRefreshesMax = 3;
// How often the words of the page are looked at, and a pass that brought nothing is tried again.
constexpr std::chrono::milliseconds kLook{20};
// Beyond these deadlines a round that does not come is not waited for: who publishes early harms
// nobody.
constexpr int kDeadlinesWaited = 2;

}  // namespace

// Verifies a delivered segment and copies it: the mix with weight 1 of an own value of zero.
// Returns its round, or 0 when it brought nothing good.
uint64_t RoundDriver::TakeOver(size_t segment, float* const* weights) {
  const volatile control_page::CollectedSegment& entry = arena_->collected()[segment];
  const uint32_t buffer = entry.buffer;
  const SealKey peer_key = {entry.source_high, entry.source_low, entry.source_round, segment};
  if (entry.delivered == 0 || buffer > 1) return 0;
  ClearSegment(*model_, segment, weights);
  // No slot has been written yet: all of them are zero, in every wire format.
  const SegmentMix mix = MixSegment(*model_, BestKernels(), peer_key, 1.0f, arena_->Inbox(buffer),
                                    arena_->Slot(0), weights);
  arena_->mixed()[segment] = {static_cast<uint32_t>(mix.outcome), mix.blocks_bad, 0};
  return mix.outcome == Outcome::kArrived ? peer_key.round : 0;
}

Wake RoundDriver::CatchUpOnce(uint64_t round, float* const* weights,
                              std::vector<uint64_t>* rounds) {
  weightmesh_round ignored = {};
  commands_.Post(CommandKind::kCollect, round);
  link_->Ring();
  const Wake wake = AwaitCollected(round, &ignored);
  if (wake != Wake::kRung ||
      arena_->page().collected_round.load(std::memory_order_acquire) != round) {
    return wake;
  }
  auto take_over = [&](size_t segment) {
    // A bad copy has left nothing of the former one.
    const bool delivered = arena_->collected()[segment].delivered != 0;
    if (delivered) (*rounds)[segment] = TakeOver(segment, weights);
  };
  pool_->Run(rounds->size(), take_over);
  commands_.Post(CommandKind::kMixed, round);
  return wake;
}

Status RoundDriver::CatchUp(float* const* weights, Clock::time_point deadline,
                            uint64_t* first_round) {
  control_page::ControlPage& page = arena_->page();
  std::vector<uint64_t> rounds(arena_->segments(), 0);  // of what is in `weights`
  uint64_t name = 0;                                    // of the pass
  for (int whole = 0; whole <= kRefreshesMax;) {
    name = std::max(page.next_round.load(std::memory_order_acquire), name + 1);
    Wake wake = Wake::kTimeout;
    if (commands_.HasRoomForRound()) wake = CatchUpOnce(name, weights, &rounds);
    if (wake == Wake::kGone) return Gone();
    const uint64_t oldest = *std::min_element(rounds.begin(), rounds.end());
    const uint64_t newest = page.mesh_newest_round.load(std::memory_order_acquire);
    const bool late = Clock::now() >= deadline;
    if (oldest != 0 && (oldest + 1 >= newest || late)) break;
    if (oldest != 0) ++whole;
    if (late) {
      const auto missing = std::count(rounds.begin(), rounds.end(), 0);
      return {WEIGHTMESH_START_TIMEOUT,
              std::to_string(missing) + " of " + std::to_string(rounds.size()) +
                  " segments could not be had from the other replicas in time: look at their "
                  "daemons (weightmeshctl topology), or raise start_timeout_ms"};
    }
    if (oldest == 0 && link_->Wait(Clock::now() + kLook) == Wake::kGone) return Gone();
  }
  commands_.Post(CommandKind::kCaughtUp, name);
  link_->Ring();
  const Clock::time_point patience =
      Clock::now() + kDeadlinesWaited * std::chrono::microseconds(page.collect_wait_us.load());
  for (;;) {
    *first_round = page.active_from.load(std::memory_order_acquire);
    const uint64_t newest = page.mesh_newest_round.load(std::memory_order_acquire);
    if (*first_round != 0 && (newest + 1 >= *first_round || Clock::now() >= patience)) break;
    if (Clock::now() >= deadline + kReplyGrace) {
      return Alone("weightmeshd at " + link_->channel().socket_path() +
                   " does not say from which round the replica takes part; restart the daemon if "
                   "it hangs");
    }
    if (link_->Wait(Clock::now() + kLook) == Wake::kGone) return Gone();
  }
  newest_round_ = std::max(newest_round_, *first_round - 1);
  return {};
}

}  // namespace weightmesh::client
