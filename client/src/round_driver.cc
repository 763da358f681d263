// Publish, collect and mix of RoundDriver.
#include "client/src/round_driver.h"

#include <algorithm>
#include <cassert>

namespace weightmesh::client {
namespace {

using control_page::CommandKind;
using control_page::SlotState;
using control_page::SlotWord;
using control_page::SlotWordRound;
using control_page::SlotWordState;

double SecondsSince(Clock::time_point begun) {
  return std::chrono::duration<double>(Clock::now() - begun).count();
}

// The daemon's word for a wait is trusted up to a day.
std::chrono::microseconds Microseconds(uint64_t count) {
  constexpr uint64_t kDay = 86'400'000'000;
  return std::chrono::microseconds(std::min(count, kDay));
}

}  // namespace

RoundDriver::RoundDriver(const RoundSettings& settings, const ModelLayout* model,
                         ArenaMapping* arena, DaemonLink* link, MixPool* pool)
    : settings_(settings),
      model_(model),
      arena_(arena),
      link_(link),
      pool_(pool),
      commands_(&arena->page()),
      mixes_(model->arena.segments.size()),
      newest_round_(settings.start_round) {}

Status RoundDriver::Gone() {
  gone_ = true;
  pending_ = {};
  return Alone("weightmeshd at " + link_->channel().socket_path() +
               " is gone: training goes on alone until it is back");
}

// No round is pending here, so no slot is the own term of a mix to come.
bool RoundDriver::TryTakeSlot(uint64_t round, uint32_t* slot) {
  for (;;) {
    uint64_t oldest = ~uint64_t{0};
    for (uint32_t k = 0; k < arena_->slots(); ++k) {
      const uint64_t word = arena_->page().slot_words[k].load();
      if (SlotWordState(word) == SlotState::kReadable && word < oldest) {
        oldest = word;
        *slot = k;
      }
    }
    if (oldest == ~uint64_t{0}) return false;
    // Fails when the daemon has just leased the slot: then another one is the oldest.
    uint64_t expected = oldest;
    if (arena_->page().slot_words[*slot].compare_exchange_strong(
            expected, SlotWord(round, SlotState::kWriting))) {
      return true;
    }
  }
}

Wake RoundDriver::TakeSlot(uint64_t round, uint32_t* slot, weightmesh_round* result) {
  if (TryTakeSlot(round, slot)) return Wake::kRung;
  control_page::ControlPage& page = arena_->page();
  const Clock::time_point begun = Clock::now();
  const Clock::time_point deadline =
      begun + Microseconds(page.publish_wait_us.load(std::memory_order_acquire));
  // First the wish, then another look, in one order for all (seq_cst): a slot that comes free in
  // between is either seen here or rung for.
  page.slot_wanted.store(1);
  Wake wake = Wake::kRung;
  bool taken = TryTakeSlot(round, slot);
  while (!taken && wake == Wake::kRung) {
    wake = link_->Wait(deadline);
    taken = wake != Wake::kGone && TryTakeSlot(round, slot);
    if (!taken && wake == Wake::kRung && Clock::now() >= deadline) wake = Wake::kTimeout;
  }
  page.slot_wanted.store(0);
  result->wait_seconds += SecondsSince(begun);
  return taken ? Wake::kRung : wake;
}

Status RoundDriver::Publish(const float* const* weights, RingDaemon ring,
                            weightmesh_round* result) {
  assert(!HasPendingRound());
  if (link_->IsGone()) return Gone();
  Pending next;
  next.begun = Clock::now();
  next.round =
      std::max(arena_->page().next_round.load(std::memory_order_acquire), newest_round_ + 1);
  const uint64_t leaves_at = arena_->page().leaves_at.load(std::memory_order_acquire);
  if (leaves_at != 0 && next.round >= leaves_at) {
    return {WEIGHTMESH_DRAINED, "weightmeshd at " + link_->channel().socket_path() +
                                    " drains, and this replica has left the run: attach to another "
                                    "daemon to take part again"};
  }
  if (!commands_.HasRoomForRound()) {
    pending_ = next;
    link_->Ring();
    return Alone(
        "weightmeshd at " + link_->channel().socket_path() +
        " has stopped taking commands: nothing was exchanged this round; restart the daemon "
        "if it hangs");
  }
  const Wake wake = TakeSlot(next.round, &next.slot, result);
  if (wake == Wake::kGone) return Gone();
  newest_round_ = next.round;
  pending_ = next;
  if (wake == Wake::kTimeout) {
    commands_.Post(CommandKind::kSkip, next.round);
    link_->Ring();
    return {};
  }

  std::byte* const slot = arena_->Slot(next.slot);
  auto publish = [&](size_t segment) {
    const SealKey key = {settings_.replica.high, settings_.replica.low, next.round, segment};
    PublishSegment(*model_, BestKernels(), key, weights, slot);
  };
  pool_->Run(arena_->segments(), publish);
  // Lockstep: the daemon's at once, for the snapshot is owed. Otherwise nothing is owed.
  const bool lockstep = settings_.mode == attach::Mode::kLockstep;
  arena_->page().slot_words[next.slot].store(
      SlotWord(next.round, lockstep ? SlotState::kHeld : SlotState::kReadable),
      std::memory_order_release);
  if (wish_.has_value()) {
    const bool first = wish_->first_round == 0;
    if (first) wish_->first_round = next.round;
    commands_.PostAgree(next.round, wish_->distance, first);
  }
  commands_.Post(CommandKind::kPublish, next.round, next.slot);
  if (ring == RingDaemon::kNow) link_->Ring();
  pending_.published = true;
  newest_published_ = next.round;
  result->published = 1;
  return {};
}

void RoundDriver::Agree(double distance) {
  if (!wish_.has_value()) wish_ = Wish{};
  wish_->distance = distance;
}

// The page may still hold the end of the agreement before.
bool RoundDriver::HasAgreed() const {
  const uint64_t end = arena_->page().agreed_at.load(std::memory_order_acquire);
  return wish_->first_round != 0 && end >= wish_->first_round && newest_round_ >= end;
}

Wake RoundDriver::AwaitCollected(uint64_t round, weightmesh_round* result) {
  control_page::ControlPage& page = arena_->page();
  const Clock::time_point begun = Clock::now();
  // Looked up again at its end: what was posted with the collect may make it longer.
  const auto deadline = [&] {
    return begun + Microseconds(page.collect_wait_us.load(std::memory_order_acquire));
  };
  Wake wake = Wake::kRung;
  bool collected = page.collected_round.load(std::memory_order_acquire) >= round;
  while (!collected && wake == Wake::kRung) {
    wake = link_->Wait(deadline());
    collected = page.collected_round.load(std::memory_order_acquire) >= round;
    if (collected || wake == Wake::kGone) break;
    wake = Clock::now() >= deadline() ? Wake::kTimeout : Wake::kRung;
  }
  result->wait_seconds += SecondsSince(begun);
  if (wake == Wake::kGone) return wake;
  return collected ? Wake::kRung : Wake::kTimeout;
}

Status RoundDriver::Mix(float* const* weights, weightmesh_round* result) {
  assert(HasPendingRound());
  if (link_->IsGone()) return Gone();
  if (!pending_.published) {  // skipped: such a round mixes nothing
    pending_ = {};
    return {};
  }
  const uint64_t round = pending_.round;
  commands_.Post(CommandKind::kCollect, round);
  link_->Ring();
  const Wake wake = AwaitCollected(round, result);
  if (wake == Wake::kGone) return Gone();
  result->round = round;
  // The table speaks for collected_round only; the daemon may still write it unless that is our
  // round.
  if (wake == Wake::kRung &&
      arena_->page().collected_round.load(std::memory_order_acquire) == round) {
    MixCollected(weights, result);
    const auto elapsed =
        std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - pending_.begun);
    // Not rung for: the next publish is soon, and rings.
    commands_.Post(CommandKind::kMixed, round, pending_.slot,
                   static_cast<uint64_t>(elapsed.count()));
  } else {
    // Abandoned: the next publish tells the daemon.
    result->segments = arena_->segments();
    result->pulls[WEIGHTMESH_LATE] = result->segments;
  }
  pending_ = {};
  return {};
}

SegmentMix RoundDriver::MixOne(size_t segment, float* const* weights) {
  const volatile control_page::CollectedSegment& entry = arena_->collected()[segment];
  const uint32_t delivered = entry.delivered;
  const uint32_t outcome = entry.outcome;
  const uint32_t buffer = entry.buffer;
  const SealKey peer_key = {entry.source_high, entry.source_low, entry.source_round, segment};
  SegmentMix mix;
  if (delivered == 0) {
    const bool known =
        outcome < kOutcomeCount && outcome != static_cast<uint32_t>(Outcome::kArrived);
    mix.outcome = known ? static_cast<Outcome>(outcome) : Outcome::kCorrupt;
    return mix;
  }
  // The own term is that of this round, or there is none.
  const uint64_t own_word =
      arena_->page().slot_words[pending_.slot].load(std::memory_order_acquire);
  if (buffer > 1 || SlotWordRound(own_word) != pending_.round) {
    mix.outcome = Outcome::kCorrupt;
    mix.blocks_bad = static_cast<uint32_t>(model_->arena.segments[segment].blocks);
  } else {
    mix = MixSegment(*model_, BestKernels(), peer_key, settings_.alpha, arena_->Inbox(buffer),
                     arena_->Slot(pending_.slot), weights);
  }
  arena_->mixed()[segment] = {static_cast<uint32_t>(mix.outcome), mix.blocks_bad,
                              mix.difference_squared};
  return mix;
}

void RoundDriver::MixCollected(float* const* weights, weightmesh_round* result) {
  auto mix_one = [&](size_t segment) { mixes_[segment] = MixOne(segment, weights); };
  pool_->Run(mixes_.size(), mix_one);
  for (const SegmentMix& mix : mixes_) {
    if (mix.outcome == Outcome::kNone) continue;
    ++result->segments;
    ++result->pulls[static_cast<uint32_t>(mix.outcome)];
    result->difference_squared += mix.difference_squared;
  }
}

}  // namespace weightmesh::client
