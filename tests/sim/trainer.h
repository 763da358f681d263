// SimTrainer: one trainer that follows the client's rules of the control page, with one number for
// each segment as its weights. Its rounds are in trainer_rounds.cc, its join in trainer_joining.cc.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/core/hash.h"
#include "daemon/core/run_config.h"
#include "tests/sim/node.h"
#include "tests/sim/process.h"
#include "tests/sim/world.h"

namespace weightmesh::sim {

struct TrainerOptions {
  std::string run_id = "run";
  std::string name;
  FoundingRecord founding;
  uint64_t rounds = 0;
  absl::Duration start_timeout;
  bool joins = false;  // a run that has started
};

enum class TrainerState {
  kNew,
  kAttaching,
  kJoining,  // catches up
  kTraining,
  kLeaving,
  kLeft,
  kRefused,
  kAlone,  // its daemon is gone
  kDead,
};

class SimTrainer final : public AttachedTrainer {
 public:
  // `index` is its row in the ledger. All pointers must outlive the trainer.
  SimTrainer(uint32_t index, World* world, SimNode* node, TrainerOptions options);

  // Once. Attaches; REQUIRES: the node is up.
  void Start();
  // SIGKILL.
  void Kill();
  // Leaves after the step that it is in.
  void Finish() { rounds_ = 0; }
  // At its next step its weights are again what they were at its beginning.
  void Scatter() { scatters_ = true; }
  // weightmesh_consensus after the step that it is in, and then leaves. It gives up after
  // `timeout`.
  void Agree(double epsilon, absl::Duration timeout);
  void Stop();
  void Resume();

  uint32_t index() const { return index_; }
  SimNode& node() const { return *node_; }
  AttachId attach() const { return attach_; }
  TrainerState state() const { return state_; }
  bool IsDone() const {
    return state_ != TrainerState::kNew && state_ != TrainerState::kAttaching &&
           state_ != TrainerState::kJoining && state_ != TrainerState::kTraining &&
           state_ != TrainerState::kLeaving;
  }
  bool is_to_finish() const { return rounds_ == 0; }
  const std::string& name() const { return options_.name; }
  ReplicaId replica() const { return MakeReplicaId(options_.run_id, options_.name); }
  attach::ReplyCode refusal() const { return refusal_; }
  const std::string& refusal_message() const { return refusal_message_; }
  const std::string& progress() const { return progress_; }
  const std::vector<double>& weights() const { return weights_; }
  const std::vector<double>& initial_weights() const { return initial_weights_; }
  // How the pulls of the rounds that it mixed ended.
  const OutcomeCounts& outcomes() const { return outcomes_; }
  uint64_t steps() const { return steps_; }
  uint64_t skipped() const { return skipped_; }      // publishes
  uint64_t abandoned() const { return abandoned_; }  // collects without an answer
  Round newest_round() const { return newest_round_; }
  // Of Agree: whether it has come about, and by what.
  bool has_agreed() const { return agreement_.has_value() && agreement_->agreed; }
  uint64_t agreement_rounds() const { return agreement_.has_value() ? agreement_->rounds : 0; }
  // Longest time from the end of a step's computing to its end.
  absl::Duration longest_exchange() const { return longest_exchange_; }

  // AttachedTrainer: called by the daemon's process; each goes on in the trainer's own.
  void OnAdmitted(std::shared_ptr<SimArena> arena) override { arena_ = std::move(arena); }
  void OnProgress(const std::string& message) override { progress_ = message; }
  void OnStarted() override;
  void OnRefused(attach::ReplyCode code, const std::string& message) override;
  void OnLeaveFinished() override;
  void OnDoorbell() override;
  void OnDaemonGone() override;
  void OnClockJump(absl::Duration jump) override;

 private:
  // What it waits for; a token makes the time limits of former waits void.
  enum class Wait { kNothing, kSlot, kCollected, kFirstRound };
  struct Pending {
    Round round{};
    uint32_t slot = 0;
    bool published = false;
    bool agrees = false;  // exchanged without training
  };
  struct Agreement {
    double epsilon = 0;
    absl::Time deadline;
    Round first_round{};  // kNoRound: not begun
    uint64_t rounds = 0;
    bool agreed = false;
  };

  void Compute();
  void Exchange();
  void Publish();
  bool TryTakeSlot();
  void WriteSnapshot();
  void Skip();
  void AfterPublish();
  void Collect();
  void GiveUpCollect();
  void Mix();
  void FinishMix(const std::vector<SimArena::InboxBuffer>& seen);
  double Add(double weight, double change) const;
  void Update();
  MixedRow MixRow(uint32_t segment, const SimArena::InboxBuffer& seen, MixedSegmentResult* result);
  void AfterMix();
  void NextStep();
  void GoOnAgreeing();
  void LeaveRun();
  void Detach();
  void End(TrainerState state);

  // trainer_joining.cc
  void CatchUp();
  void TakeOver();
  void EndPass();
  void EndCatchUp();
  void LookForFirstRound();
  void BeginTraining();
  bool HasFirstRound() const;
  bool IsLockstep() const { return options_.founding.config.mode == Mode::kLockstep; }
  // Whether a step waits for its own round.
  bool Waits() const { return IsLockstep() || pending_.agrees; }
  // Waits until the doorbell, or calls `expired` after `limit`; `promise`: see Observer::OnWait.
  void Await(Wait wait, absl::Duration limit, absl::Duration promise,
             void (SimTrainer::*expired)());
  void ExpireAt(absl::Time due);
  void WaitIsOver();
  void TellWait(WaitKind kind, absl::Duration promise, absl::Duration limit);
  void Tell(ProcessChange change);
  void Ring(Event event) { node_->Post(world_->options.doorbell, std::move(event)); }

  const uint32_t index_;
  World* const world_;
  SimNode* const node_;
  const TrainerOptions options_;
  SimProcess process_;
  CounterRng rng_;
  std::vector<double> weights_;
  std::vector<double> initial_weights_;
  std::vector<long double> unmixed_;  // initial weights and all updates
  std::shared_ptr<SimArena> arena_;
  AttachId attach_{};
  TrainerState state_ = TrainerState::kNew;
  attach::ReplyCode refusal_ = attach::ReplyCode::kOk;
  std::string refusal_message_;
  std::string progress_;

  Wait wait_ = Wait::kNothing;
  uint64_t wait_token_ = 0;
  absl::Time wait_due_;
  void (SimTrainer::*wait_expired_)() = nullptr;
  Pending pending_;
  Round newest_round_{};
  absl::Time exchange_begun_;
  absl::Duration longest_exchange_;
  uint64_t rounds_;  // steps to take
  uint64_t steps_ = 0;
  uint64_t skipped_ = 0;
  uint64_t abandoned_ = 0;
  bool scatters_ = false;
  std::optional<Agreement> agreement_;
  OutcomeCounts outcomes_{};

  // Of a join: what has been taken over, by segment; round 0: nothing yet.
  struct Taken {
    double value = 0;
    Round round{};
  };
  std::vector<Taken> taken_;
  Round pass_{};  // names it
  int whole_passes_ = 0;
  absl::Time join_deadline_;
};

}  // namespace weightmesh::sim
