// Publish, collect and mix, as client/src/round_driver.cc does them.
#include "tests/sim/trainer.h"

#include <algorithm>
#include <limits>

namespace weightmesh::sim {

using control_page::SlotState;
using control_page::SlotWord;
using control_page::SlotWordRound;
using control_page::SlotWordState;

SimTrainer::SimTrainer(uint32_t index, World* world, SimNode* node, TrainerOptions options)
    : index_(index),
      world_(world),
      node_(node),
      options_(std::move(options)),
      process_(&world->queue),
      rng_(Hash64({world->options.seed, 2, index})),
      newest_round_(options_.founding.start_round) {
  for (uint32_t k = 0; k < world_->options.segments; ++k) weights_.push_back(2 * rng_.Unit() - 1);
}

void SimTrainer::Start() {
  process_.Start();
  state_ = TrainerState::kAttaching;
  attach_ = node_->OpenAttach(this);
  AttachRequested request;
  request.attach = attach_;
  request.run_id = options_.run_id;
  request.replica_name = options_.name;
  request.founding = options_.founding;
  request.segment_bytes.assign(world_->options.segments, sizeof(double));
  request.start_timeout = options_.start_timeout;
  Ring(std::move(request));
}

void SimTrainer::Kill() {
  if (IsDone()) return;
  process_.Kill();
  state_ = TrainerState::kDead;
  Ring(TrainerGone{attach_});
}

// --- from the daemon ---

void SimTrainer::OnStarted() {
  process_.PostToSelf(world_->options.doorbell, [this] {
    if (state_ != TrainerState::kAttaching) return;
    state_ = TrainerState::kTraining;
    Compute();
  });
}

void SimTrainer::OnRefused(attach::ReplyCode code, const std::string& message) {
  if (state_ == TrainerState::kTraining) {
    world_->ledger.Violate("a trainer that had started was refused");
  }
  refusal_ = code;
  refusal_message_ = message;
  if (state_ != TrainerState::kDead) state_ = TrainerState::kRefused;
  process_.Kill();
}

void SimTrainer::OnLeaveFinished() {
  process_.PostToSelf(world_->options.doorbell, [this] {
    if (state_ == TrainerState::kLeaving) Detach();
  });
}

void SimTrainer::Detach() {
  state_ = TrainerState::kLeft;
  process_.Kill();
  Ring(TrainerGone{attach_});
}

void SimTrainer::OnDaemonGone() {
  if (IsDone()) return;
  state_ = TrainerState::kAlone;
  process_.Kill();
}

void SimTrainer::OnDoorbell() {
  if (wait_ == Wait::kNothing) return;
  process_.PostToSelf(world_->options.doorbell, [this] {
    if (wait_ == Wait::kSlot && TryTakeSlot()) {
      wait_ = Wait::kNothing;
      WriteSnapshot();
    } else if (wait_ == Wait::kCollected && arena_->collected_round >= pending_.round) {
      wait_ = Wait::kNothing;
      arena_->collected_round == pending_.round ? Mix() : GiveUpCollect();
    }
  });
}

void SimTrainer::Await(Wait wait, absl::Duration limit, void (SimTrainer::*expired)()) {
  wait_ = wait;
  const uint64_t token = ++wait_token_;
  process_.PostToSelf(limit, [this, token, expired] {
    if (wait_ == Wait::kNothing || token != wait_token_) return;
    wait_ = Wait::kNothing;
    (this->*expired)();
  });
}

// --- a step ---

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

void SimTrainer::Exchange() {
  exchange_begun_ = world_->queue.now();
  if (world_->options.noise > 0) {
    for (double& weight : weights_) weight += world_->options.noise * (2 * rng_.Unit() - 1);
  }
  // Lockstep: publish, collect, mix. Overlap: collect and mix the former round, then publish.
  IsLockstep() || !pending_.published ? Publish() : Collect();
}

void SimTrainer::Publish() {
  pending_ = Pending{std::max(arena_->next_round, Next(newest_round_)), 0, false};
  if (TryTakeSlot()) return WriteSnapshot();
  Await(Wait::kSlot, arena_->publish_wait, &SimTrainer::Skip);
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
  std::fill(snapshot.begin(), snapshot.end(), SimArena::kTorn);
  return true;
}

void SimTrainer::WriteSnapshot() {
  process_.PostToSelf(world_->options.publish_time, [this] {
    arena_->snapshots[pending_.slot] = weights_;
    arena_->words[pending_.slot] =
        SlotWord(Value(pending_.round), IsLockstep() ? SlotState::kHeld : SlotState::kReadable);
    pending_.published = true;
    newest_round_ = pending_.round;
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

void SimTrainer::AfterPublish() { IsLockstep() && pending_.published ? Collect() : NextStep(); }

void SimTrainer::Collect() {
  Ring(CollectRequested{attach_, pending_.round});
  Await(Wait::kCollected, arena_->collect_wait, &SimTrainer::GiveUpCollect);
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
  }
  world_->ledger.Mixed(index_, pending_.round, rows, weights_);
  node_->process().PostToSelf(
      world_->options.doorbell,
      [node = node_, attach = attach_, round = pending_.round, results = std::move(results)] {
        node->Step(Mixed{attach, round, results});
      });
  AfterMix();
}

MixedRow SimTrainer::MixRow(uint32_t segment, const SimArena::InboxBuffer& seen,
                            MixedSegmentResult* result) {
  const FrozenSegment& frozen = arena_->collected[segment];
  MixedRow row;
  row.outcome = frozen.outcome;
  if (!frozen.delivered) return row;
  const auto& inbox = arena_->inbox[segment][frozen.buffer];
  const bool sound = inbox == seen && inbox.source == frozen.source &&
                     inbox.round == frozen.source_round && inbox.round == pending_.round;
  const bool own_term = SlotWordRound(arena_->words[pending_.slot]) == Value(pending_.round);
  if (!sound || !own_term) {
    world_->ledger.Violate(absl::StrCat("trainer ", index_, " mixes a bad ",
                                        own_term ? "inbox" : "own term", " in round ",
                                        Value(pending_.round)));
    row.outcome = result->outcome = Outcome::kCorrupt;
    return row;
  }
  const double difference = inbox.value - arena_->snapshots[pending_.slot][segment];
  weights_[segment] += options_.founding.config.alpha * difference;
  row.outcome = result->outcome = Outcome::kArrived;
  result->difference_squared = difference * difference;
  row.source = world_->TrainerOf(inbox.source);
  return row;
}

void SimTrainer::AfterMix() {
  pending_ = Pending{};
  IsLockstep() ? NextStep() : Publish();
}

void SimTrainer::NextStep() {
  longest_exchange_ = std::max(longest_exchange_, world_->queue.now() - exchange_begun_);
  if (++steps_ < options_.rounds) return Compute();
  state_ = TrainerState::kLeaving;
  Ring(LeaveRequested{attach_});
}

}  // namespace weightmesh::sim
