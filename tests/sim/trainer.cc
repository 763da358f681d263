// The life of a trainer, and its waits.
#include "tests/sim/trainer.h"

#include <algorithm>
#include <functional>
#include <utility>

namespace weightmesh::sim {
namespace {

// What the start may take beyond its timeout: the daemon holds trainers back for links.
constexpr absl::Duration kLinkWait = absl::Seconds(5);

}  // namespace

SimTrainer::SimTrainer(uint32_t index, World* world, SimNode* node, TrainerOptions options)
    : index_(index),
      world_(world),
      node_(node),
      options_(std::move(options)),
      process_(&world->queue),
      rng_(Hash64({world->options.seed, 2, index})),
      newest_round_(options_.founding.start_round),
      rounds_(options_.rounds) {
  for (uint32_t k = 0; k < world_->options.segments; ++k) {
    weights_.push_back(Add(0, 2 * rng_.Unit() - 1));
  }
  initial_weights_ = weights_;
  unmixed_.assign(weights_.begin(), weights_.end());
}

void SimTrainer::Tell(ProcessChange change) {
  for (Observer* observer : world_->observers) {
    observer->OnTrainer(world_->queue.now(), node_->index(), attach_, change);
  }
}

void SimTrainer::Stop() {
  if (!process_.is_up() || process_.is_stopped()) return;
  process_.Stop();
  Tell(ProcessChange::kStopped);
}

void SimTrainer::Resume() {
  if (!process_.is_stopped()) return;
  Tell(ProcessChange::kResumed);
  process_.Resume();
}

// Its process ends.
void SimTrainer::End(TrainerState state) {
  state_ = state;
  process_.Kill();
  Tell(ProcessChange::kKilled);
}

void SimTrainer::Start() {
  process_.Start();
  state_ = TrainerState::kAttaching;
  attach_ = node_->OpenAttach(this);
  Tell(ProcessChange::kStarted);
  TellWait(WaitKind::kStart, options_.start_timeout + kLinkWait, absl::InfiniteDuration());
  AttachRequested request;
  request.attach = attach_;
  request.run_id = options_.run_id;
  request.replica_name = options_.name;
  request.founding = options_.founding;
  request.segment_bytes.assign(world_->options.segments, sizeof(double));
  request.start_timeout = options_.start_timeout;
  request.joins = options_.joins;
  join_deadline_ = world_->queue.now() + options_.start_timeout;
  Ring(std::move(request));
}

void SimTrainer::Kill() {
  if (IsDone() || state_ == TrainerState::kNew) return;
  End(TrainerState::kDead);
  Ring(TrainerGone{attach_});
}

// --- from the daemon ---

void SimTrainer::OnStarted() {
  process_.PostToSelf(world_->options.doorbell, [this] {
    if (state_ != TrainerState::kAttaching) return;
    WaitIsOver();
    state_ = options_.joins ? TrainerState::kJoining : TrainerState::kTraining;
    options_.joins ? CatchUp() : Compute();
  });
}

void SimTrainer::OnRefused(attach::ReplyCode code, const std::string& message) {
  if (state_ == TrainerState::kTraining) {
    world_->ledger.Violate("a trainer that had started was refused");
  }
  refusal_ = code;
  refusal_message_ = message;
  End(state_ == TrainerState::kDead ? state_ : TrainerState::kRefused);
}

void SimTrainer::OnLeaveFinished() {
  process_.PostToSelf(world_->options.doorbell, [this] {
    if (state_ != TrainerState::kLeaving) return;
    WaitIsOver();
    Detach();
  });
}

void SimTrainer::LeaveRun() {
  state_ = TrainerState::kLeaving;
  TellWait(WaitKind::kLeave, options_.founding.config.round_deadline, absl::InfiniteDuration());
  Ring(LeaveRequested{attach_});
}

void SimTrainer::Detach() {
  End(TrainerState::kLeft);
  Ring(TrainerGone{attach_});
}

void SimTrainer::OnDaemonGone() {
  if (!IsDone()) End(TrainerState::kAlone);
}

void SimTrainer::OnDoorbell() {
  if (wait_ == Wait::kNothing) return;
  process_.PostToSelf(world_->options.doorbell, [this] {
    if (wait_ == Wait::kSlot && TryTakeSlot()) {
      WaitIsOver();
      WriteSnapshot();
    } else if (wait_ == Wait::kCollected && arena_->collected_round >= pending_.round) {
      WaitIsOver();
      if (state_ == TrainerState::kJoining) {
        arena_->collected_round == pending_.round ? TakeOver() : EndPass();
      } else {
        arena_->collected_round == pending_.round ? Mix() : GiveUpCollect();
      }
    }
  });
}

void SimTrainer::TellWait(WaitKind kind, absl::Duration promise, absl::Duration limit) {
  for (Observer* observer : world_->observers) {
    observer->OnWait(world_->queue.now(), node_->index(), attach_, kind, promise, limit);
  }
}

void SimTrainer::WaitIsOver() {
  wait_ = Wait::kNothing;
  for (Observer* observer : world_->observers) {
    observer->OnWaitOver(world_->queue.now(), node_->index(), attach_);
  }
}

void SimTrainer::Await(Wait wait, absl::Duration limit, absl::Duration promise,
                       void (SimTrainer::*expired)()) {
  wait_ = wait;
  wait_expired_ = expired;
  TellWait(wait == Wait::kSlot        ? WaitKind::kSlot
           : wait == Wait::kCollected ? WaitKind::kCollect
                                      : WaitKind::kFirstRound,
           promise, limit);
  ExpireAt(world_->queue.now() + limit);
}

// Earlier ones are void.
void SimTrainer::ExpireAt(absl::Time due) {
  wait_due_ = due;
  const uint64_t token = ++wait_token_;
  process_.PostToSelf(due - world_->queue.now(), [this, token] {
    if (wait_ == Wait::kNothing || token != wait_token_) return;
    WaitIsOver();
    std::invoke(wait_expired_, *this);
  });
}

void SimTrainer::OnClockJump(absl::Duration jump) {
  join_deadline_ -= jump;
  if (wait_ == Wait::kNothing) return;
  Tell(ProcessChange::kClockJumped);
  ExpireAt(wait_due_ - jump);
}

}  // namespace weightmesh::sim
