// Publish, collect and mix, as client/src/round_driver.cc does them.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "tests/sim/trainer.h"

namespace weightmesh::sim {

using control_page::SlotState;
using control_page::SlotWord;
using control_page::SlotWordRound;
using control_page::SlotWordState;

void SimTrainer::Compute() {
  const SimOptions& options = world_->options;
  const double slowness = index_ < options.slowness.size() ? options.slowness[index_] : 1;
  absl::Duration time =
      options.step * (slowness * (1 + options.step_jitter * (2 * rng_.Unit() - 1)));
  if (options.stall_chance > 0 && rng_.Unit() < options.stall_chance) {
    time += options.stall_max * rng_.Unit();
  }
  process_.PostToSelf(time, [this] { Exchange(); });
}

// As in fp64, or both and their sum in fp32.
double SimTrainer::Add(double weight, double change) const {
  if (!world_->options.single) return weight + change;
  return static_cast<float>(weight) + static_cast<float>(change);
}

void SimTrainer::Update() {
  const SimOptions& options = world_->options;
  if (index_ < options.poisoned_from.size() && steps_ >= options.poisoned_from[index_]) {
    for (size_t k = 0; k < weights_.size(); ++k) weights_[k] = k % 2 == 0 ? NAN : INFINITY;
  }
  if (std::exchange(scatters_, false)) {
    weights_ = initial_weights_;
    unmixed_.assign(weights_.begin(), weights_.end());
  }
  if (options.noise == 0) return;
  for (size_t k = 0; k < weights_.size(); ++k) {
    const double change = Add(0, options.noise * (2 * rng_.Unit() - 1));
    weights_[k] = Add(weights_[k], change);
    unmixed_[k] += change;
  }
}

void SimTrainer::Exchange() {
  exchange_begun_ = world_->queue.now();
  Update();
  // Lockstep: publish, collect, mix. Otherwise: collect and mix the former round, then publish.
  IsLockstep() || !pending_.published ? Publish() : Collect();
}

void SimTrainer::Publish() {
  pending_ =
      Pending{std::max(arena_->next_round, Next(newest_round_)), 0, false, agreement_.has_value()};
  if (arena_->leaves_at != kNoRound && pending_.round >= arena_->leaves_at) return LeaveRun();
  if (TryTakeSlot()) return WriteSnapshot();
  Await(Wait::kSlot, arena_->publish_wait, arena_->publish_wait, &SimTrainer::Skip);
}

// The oldest readable slot. No mix is pending here, so none is the own term of one.
bool SimTrainer::TryTakeSlot() {
  uint64_t oldest = std::numeric_limits<uint64_t>::max();
  for (uint32_t slot = 0; slot < arena_->words.size(); ++slot) {
    const uint64_t word = arena_->words[slot];
    if (SlotWordState(word) != SlotState::kReadable || word >= oldest) continue;
    oldest = word;
    pending_.slot = slot;
  }
  if (oldest == std::numeric_limits<uint64_t>::max()) return false;
  arena_->words[pending_.slot] = SlotWord(Value(pending_.round), SlotState::kWriting);
  auto& snapshot = arena_->snapshots[pending_.slot];
  std::fill(snapshot.begin(), snapshot.end(), SimSegment{});
  for (Observer* observer : world_->observers) {
    observer->OnSlotTaken(world_->queue.now(), node_->index(), attach_, SlotId{pending_.slot});
  }
  return true;
}

void SimTrainer::WriteSnapshot() {
  process_.PostToSelf(world_->options.publish_time, [this] {
    for (uint32_t segment = 0; segment < weights_.size(); ++segment) {
      const double value = weights_[segment];
      const bool non_finite = !std::isfinite(value);
      for (uint32_t block = 0; block < 2; ++block) {
        arena_->snapshots[pending_.slot][segment][block] = {
            value, non_finite,
            SimBlock::SealOf(replica(), pending_.round, segment, block, value, non_finite)};
      }
    }
    world_->ledger.Published(world_->queue.now(), replica(), pending_.round, weights_);
    arena_->words[pending_.slot] =
        SlotWord(Value(pending_.round), IsLockstep() ? SlotState::kHeld : SlotState::kReadable);
    pending_.published = true;
    newest_round_ = pending_.round;
    if (pending_.agrees) {
      const bool first = agreement_->first_round == kNoRound;
      if (first) agreement_->first_round = pending_.round;
      const bool gives_up = world_->queue.now() >= agreement_->deadline;
      Ring(AgreementWanted{attach_, pending_.round, gives_up ? INFINITY : agreement_->epsilon,
                           first});
    }
    Ring(Published{attach_, pending_.round, SlotId{pending_.slot}});
    AfterPublish();
  });
}

void SimTrainer::Skip() {
  ++skipped_;
  newest_round_ = pending_.round;
  Ring(PublishSkipped{attach_, pending_.round});
  pending_ = Pending{};
  AfterPublish();
}

void SimTrainer::AfterPublish() { Waits() && pending_.published ? Collect() : NextStep(); }

void SimTrainer::Collect() {
  Ring(CollectRequested{attach_, pending_.round});
  // Otherwise it is overlap_grace, which is a tenth of it at most.
  const absl::Duration promise = options_.founding.config.round_deadline / (Waits() ? 1 : 10);
  Await(Wait::kCollected, arena_->collect_wait, promise, &SimTrainer::GiveUpCollect);
}

void SimTrainer::GiveUpCollect() {
  ++abandoned_;
  AfterMix();
}

// Reads the inbox when it begins and when it ends: meanwhile nothing may land there.
void SimTrainer::Mix() {
  std::vector<SimArena::InboxBuffer> seen(weights_.size());
  for (uint32_t segment = 0; segment < weights_.size(); ++segment) {
    const FrozenSegment& frozen = arena_->collected[segment];
    if (frozen.delivered) seen[segment] = arena_->inbox[segment][frozen.buffer];
  }
  process_.PostToSelf(world_->options.mix_time,
                      [this, seen = std::move(seen)] { FinishMix(seen); });
}

void SimTrainer::FinishMix(const std::vector<SimArena::InboxBuffer>& seen) {
  std::vector<MixedSegmentResult> results(weights_.size());
  std::vector<MixedRow> rows(weights_.size());
  for (uint32_t segment = 0; segment < weights_.size(); ++segment) {
    rows[segment] = MixRow(segment, seen[segment], &results[segment]);
    // To one alone no pull is due.
    if (rows[segment].outcome != Outcome::kNone) {
      ++outcomes_[static_cast<size_t>(rows[segment].outcome)];
    }
  }
  world_->ledger.Mixed(index_, pending_.round, rows, weights_, unmixed_);
  node_->process().PostToSelf(
      world_->options.doorbell,
      [node = node_, attach = attach_, round = pending_.round, results = std::move(results)] {
        node->Step(Mixed{attach, round, results});
      });
  AfterMix();
}

// Verifies and mixes as client/src/segment_passes.cc does; the ledger is asked whether that was
// right.
MixedRow SimTrainer::MixRow(uint32_t segment, const SimArena::InboxBuffer& seen,
                            MixedSegmentResult* result) {
  const FrozenSegment& frozen = arena_->collected[segment];
  MixedRow row;
  row.outcome = frozen.outcome;
  if (!frozen.delivered) return row;
  const auto violate = [&](const char* what) {
    world_->ledger.Violate(
        absl::StrCat("trainer ", index_, " mixes ", what, " in round ", Value(pending_.round)));
  };
  const SimArena::InboxBuffer& inbox = arena_->inbox[segment][frozen.buffer];
  if (!(inbox == seen)) violate("an inbox that changes meanwhile");
  const RunConfig& config = options_.founding.config;
  if (frozen.source_round < OldestRound(config, pending_.round) ||
      (config.mode != Mode::kAsync && frozen.source_round != pending_.round)) {
    violate("another round");
  }
  row.staleness =
      Value(pending_.round) - std::min(Value(pending_.round), Value(frozen.source_round));
  const bool own_term = SlotWordRound(arena_->words[pending_.slot]) == Value(pending_.round);
  if (!own_term) violate("without an own term");
  bool sound = own_term;
  for (uint32_t block = 0; block < inbox.blocks.size(); ++block) {
    sound &= inbox.blocks[block].IsOf(frozen.source, frozen.source_round, segment, block);
  }
  if (!sound && world_->options.verify) {
    if (!inbox.damaged) violate("what nobody sent");
    row.outcome = result->outcome = Outcome::kCorrupt;
    return row;
  }
  if (inbox.damaged) violate("a damaged segment");
  const double value = inbox.blocks[0].value;
  if (!world_->ledger.IsTrue(frozen.source, frozen.source_round, segment, value)) {
    violate("what its source never published");
  }
  if (inbox.blocks[0].non_finite) {
    row.outcome = result->outcome = Outcome::kRefused;
    return row;
  }
  const double own = arena_->snapshots[pending_.slot][segment][0].value;
  const double difference = Add(value, -own);
  weights_[segment] = Add(weights_[segment], options_.founding.config.alpha * difference);
  row.outcome = result->outcome = Outcome::kArrived;
  result->difference_squared = difference * difference;
  row.source = world_->TrainerOf(frozen.source);
  return row;
}

void SimTrainer::AfterMix() {
  const bool waited = Waits();
  if (pending_.agrees) ++agreement_->rounds;
  pending_ = Pending{};
  waited ? NextStep() : Publish();
}

void SimTrainer::Agree(double epsilon, absl::Duration timeout) {
  agreement_ = Agreement{epsilon, world_->queue.now() + timeout};
}

void SimTrainer::GoOnAgreeing() {
  const Round end = arena_->agreed_at;
  const bool begun = agreement_->first_round != kNoRound;
  if (begun && end >= agreement_->first_round && newest_round_ >= end) {
    agreement_->agreed = world_->queue.now() < agreement_->deadline &&
                         arena_->agreed_distance <= agreement_->epsilon;
    return LeaveRun();
  }
  exchange_begun_ = world_->queue.now();
  IsLockstep() || !pending_.published ? Publish() : Collect();
}

void SimTrainer::NextStep() {
  longest_exchange_ = std::max(longest_exchange_, world_->queue.now() - exchange_begun_);
  ++steps_;
  if (agreement_.has_value()) return GoOnAgreeing();
  if (steps_ < rounds_) return Compute();
  LeaveRun();
}

}  // namespace weightmesh::sim
