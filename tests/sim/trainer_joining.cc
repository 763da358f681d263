// The catch-up of a trainer that joins, as client/src/round_join.cc does it.
#include <algorithm>
#include <utility>

#include "tests/sim/trainer.h"

namespace weightmesh::sim {
namespace {

// As there.
constexpr int kRefreshesMax = 3;
constexpr int kDeadlinesWaited = 2;
constexpr absl::Duration kLook = absl::Milliseconds(20);

}  // namespace

// One pass over all segments.
void SimTrainer::CatchUp() {
  if (state_ != TrainerState::kJoining) return;
  taken_.resize(weights_.size());
  pass_ = std::max(arena_->next_round, Next(pass_));
  pending_ = Pending{pass_, 0, false};
  Ring(CollectRequested{attach_, pass_});
  Await(Wait::kCollected, arena_->collect_wait, options_.founding.config.round_deadline,
        &SimTrainer::EndPass);
}

void SimTrainer::TakeOver() {
  std::vector<MixedSegmentResult> results(weights_.size());
  for (uint32_t segment = 0; segment < weights_.size(); ++segment) {
    const FrozenSegment& frozen = arena_->collected[segment];
    if (!frozen.delivered) continue;
    const SimArena::InboxBuffer& inbox = arena_->inbox[segment][frozen.buffer];
    bool sound = true;
    for (uint32_t block = 0; block < inbox.blocks.size(); ++block) {
      sound &= inbox.blocks[block].IsOf(frozen.source, frozen.source_round, segment, block);
    }
    sound &= !inbox.blocks[0].non_finite;
    results[segment].outcome = sound ? Outcome::kArrived : Outcome::kCorrupt;
    const double value = inbox.blocks[0].value;
    if (sound) taken_[segment] = Taken{value, frozen.source_round};
    const bool is_true = world_->ledger.IsTrue(frozen.source, frozen.source_round, segment, value);
    if (sound && (inbox.damaged || !is_true)) {
      world_->ledger.Violate(absl::StrCat("trainer ", index_, " takes over what its donor never ",
                                          "published as round ", Value(frozen.source_round)));
    }
  }
  node_->process().PostToSelf(
      world_->options.doorbell,
      [node = node_, attach = attach_, round = pass_, results = std::move(results)] {
        node->Step(Mixed{attach, round, results});
      });
  process_.PostToSelf(world_->options.mix_time, [this] { EndPass(); });
}

void SimTrainer::EndPass() {
  const auto oldest =
      std::min_element(taken_.begin(), taken_.end(),
                       [](const Taken& a, const Taken& b) { return a.round < b.round; });
  const bool is_late = world_->queue.now() >= join_deadline_;
  if (oldest->round == kNoRound) {
    if (!is_late) return process_.PostToSelf(kLook, [this] { CatchUp(); });
    refusal_ = attach::ReplyCode::kStartTimeout;
    refusal_message_ = "segments could not be had from the other replicas in time";
    End(TrainerState::kRefused);
    return Ring(TrainerGone{attach_});
  }
  ++whole_passes_;
  const bool is_fresh = Next(oldest->round) >= arena_->newest_round;
  is_fresh || is_late || whole_passes_ > kRefreshesMax ? EndCatchUp() : CatchUp();
}

void SimTrainer::EndCatchUp() {
  for (uint32_t segment = 0; segment < weights_.size(); ++segment) {
    weights_[segment] = taken_[segment].value;
  }
  unmixed_.assign(weights_.begin(), weights_.end());
  Ring(CaughtUp{attach_});
  const absl::Duration patience = kDeadlinesWaited * arena_->collect_wait;
  Await(Wait::kFirstRound, patience, patience, &SimTrainer::BeginTraining);
  LookForFirstRound();
}

bool SimTrainer::HasFirstRound() const {
  return arena_->active_from != kNoRound && Next(arena_->newest_round) >= arena_->active_from;
}

void SimTrainer::LookForFirstRound() {
  if (wait_ != Wait::kFirstRound) return;
  if (!HasFirstRound()) return process_.PostToSelf(kLook, [this] { LookForFirstRound(); });
  WaitIsOver();
  BeginTraining();
}

void SimTrainer::BeginTraining() {
  if (arena_->active_from == kNoRound) {  // its daemon has said nothing
    End(TrainerState::kAlone);
    return Ring(TrainerGone{attach_});
  }
  newest_round_ = std::max(newest_round_, Round{Value(arena_->active_from) - 1});
  pending_ = Pending{};
  state_ = TrainerState::kTraining;
  Compute();
}

}  // namespace weightmesh::sim
