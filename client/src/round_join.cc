// The catch-up of a replica that joins: RoundDriver::CatchUp.
#include <algorithm>
#include <cstring>
#include <utility>

#include "client/src/round_driver.h"

namespace weightmesh::client {
namespace {

using control_page::CommandKind;

// Passes over what is whole but has grown old meanwhile: where rounds are shorter than a pass, the
// newest of them is as near as one can get.
constexpr int kRefreshesMax = 3;
// Of the slots, none of which has been published yet (there are two at least).
constexpr uint32_t kZeroSlot = 0;
constexpr uint32_t kKeepSlot = 1;
// How often the words of the page are looked at, and a pass that brought nothing is tried again.
constexpr std::chrono::milliseconds kLook{20};
// A round is waited for as long as the others come nearer to it, and not beyond so many deadlines
// in which they do not: who publishes early harms nobody, but gets nothing that round.
constexpr int kDeadlinesWaited = 2;

}  // namespace

// Until all segments are there, the weights stay as they are: what has come is kept in a slot that
// no round needs yet.
void RoundDriver::KeepDelivered(size_t segment, SealKey* taken) {
  const volatile control_page::CollectedSegment& entry = arena_->collected()[segment];
  const uint32_t buffer = entry.buffer;
  const SealKey key = {entry.source_high, entry.source_low, entry.source_round, segment};
  if (entry.delivered == 0 || buffer > 1) return;
  const SegmentMix mix = VerifySegment(*model_, BestKernels(), key, arena_->Inbox(buffer));
  arena_->mixed()[segment] = {static_cast<uint32_t>(mix.outcome), mix.blocks_bad, 0};
  if (mix.outcome != Outcome::kArrived) return;
  const SegmentPlace& place = model_->arena.segments[segment];
  std::memcpy(arena_->Slot(kKeepSlot) + place.offset, arena_->Inbox(buffer) + place.offset,
              place.total_bytes);
  *taken = key;
}

Wake RoundDriver::CatchUpOnce(uint64_t round, std::vector<SealKey>* taken) {
  weightmesh_round ignored = {};
  commands_.Post(CommandKind::kCollect, round);
  link_->Ring();
  const Wake wake = AwaitCollected(round, &ignored);
  if (wake != Wake::kRung ||
      arena_->page().collected_round.load(std::memory_order_acquire) != round) {
    return wake;
  }
  auto keep = [&](size_t segment) { KeepDelivered(segment, &(*taken)[segment]); };
  pool_->Run(taken->size(), keep);
  commands_.Post(CommandKind::kMixed, round);
  return wake;
}

Status RoundDriver::CatchUp(float* const* weights, Clock::time_point deadline,
                            uint64_t* first_round) {
  const control_page::ControlPage& page = arena_->page();
  std::vector<SealKey> taken(arena_->segments());  // round 0: nothing yet
  const auto round_is = [](uint64_t round) {
    return [round](const SealKey& key) { return key.round == round; };
  };
  const auto older = [](const SealKey& a, const SealKey& b) { return a.round < b.round; };
  uint64_t name = 0;  // of the pass
  for (int whole = 0; whole <= kRefreshesMax;) {
    name = std::max(page.next_round.load(std::memory_order_acquire), name + 1);
    Wake wake = Wake::kTimeout;
    if (commands_.HasRoomForRound()) wake = CatchUpOnce(name, &taken);
    if (wake == Wake::kGone) return Gone();
    const uint64_t oldest = std::min_element(taken.begin(), taken.end(), older)->round;
    const uint64_t newest = page.mesh_newest_round.load(std::memory_order_acquire);
    const bool late = Clock::now() >= deadline;
    if (oldest != 0 && (oldest + 1 >= newest || late)) break;
    if (oldest != 0) ++whole;
    if (late) {
      const auto missing = std::count_if(taken.begin(), taken.end(), round_is(0));
      return {WEIGHTMESH_START_TIMEOUT,
              std::to_string(missing) + " of " + std::to_string(taken.size()) +
                  " segments could not be had from the other replicas in time: look at their "
                  "daemons (weightmeshctl topology), or raise start_timeout_ms"};
    }
    if (oldest == 0 && link_->Wait(Clock::now() + kLook) == Wake::kGone) return Gone();
  }
  // Before anybody counts on this replica: the daemon may have to ask several others.
  if (!AskForBlob(&link_->channel(), &blob_).ok()) return Gone();
  // Told first: the round is some way off, and there is time until then.
  commands_.Post(CommandKind::kCaughtUp, name);
  link_->Ring();
  if (Status status = FillIn(taken, weights); !status.ok()) return status;
  return AwaitFirstRound(deadline, first_round);
}

// A copy is the mix with weight 1 of own values of zero: a slot that was never written is zero in
// every wire format.
Status RoundDriver::FillIn(const std::vector<SealKey>& taken, float* const* weights) {
  auto verify = [&](size_t segment) {
    mixes_[segment] =
        VerifySegment(*model_, BestKernels(), taken[segment], arena_->Slot(kKeepSlot));
  };
  pool_->Run(taken.size(), verify);
  for (const SegmentMix& mix : mixes_) {
    if (mix.outcome == Outcome::kArrived) continue;
    return Refused(
        "what was kept of the other replicas' weights was overwritten in the arena: look for a "
        "write out of bounds in the trainer, and join again");
  }
  auto fill_in = [&](size_t segment) {
    ClearSegment(*model_, segment, weights);
    MixSegment(*model_, BestKernels(), taken[segment], 1.0f, arena_->Slot(kKeepSlot),
               arena_->Slot(kZeroSlot), weights);
  };
  pool_->Run(taken.size(), fill_in);
  filled_in_ = true;
  return {};
}

Status RoundDriver::AwaitFirstRound(Clock::time_point deadline, uint64_t* first_round) {
  const control_page::ControlPage& page = arena_->page();
  const auto from_now = [&page] {
    return Clock::now() + kDeadlinesWaited * std::chrono::microseconds(page.collect_wait_us.load());
  };
  uint64_t newest = page.mesh_newest_round.load(std::memory_order_acquire);
  Clock::time_point patience = from_now();
  for (;;) {
    *first_round = page.active_from.load(std::memory_order_acquire);
    const uint64_t before =
        std::exchange(newest, page.mesh_newest_round.load(std::memory_order_acquire));
    if (newest > before) patience = from_now();
    if (*first_round != 0 && (newest + 1 >= *first_round || Clock::now() >= patience)) {
      newest_round_ = std::max(newest_round_, *first_round - 1);
      return {};
    }
    if (*first_round == 0 && Clock::now() >= deadline + kReplyGrace) {
      gone_ = true;
      return Alone("weightmeshd at " + link_->channel().socket_path() +
                   " does not say from which round the replica takes part; restart the daemon if "
                   "it hangs");
    }
    if (link_->Wait(Clock::now() + kLook) == Wake::kGone) return Gone();
  }
}

}  // namespace weightmesh::client
