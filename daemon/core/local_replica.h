// LocalReplica: one trainer's replica on this daemon, from attach to the last transfer. Core
// thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "daemon/core/agreement.h"
#include "daemon/core/events.h"
#include "daemon/core/replica_sink.h"
#include "daemon/core/replica_source.h"
#include "daemon/core/round_clock.h"
#include "daemon/core/run.h"
#include "daemon/core/step_context.h"

namespace weightmesh {

class LocalReplica {
 public:
  // `run` and `context` must outlive the replica.
  LocalReplica(AttachId attach, ReplicaId replica, Run* run, StepContext* context,
               std::vector<uint64_t> segment_bytes, absl::Time start_deadline,
               uint32_t sends_per_peer_max);

  AttachId attach() const { return attach_; }
  ReplicaId replica() const { return replica_; }
  Run& run() const { return *run_; }
  ReplicaState state() const { return state_; }
  // When a waiting replica gives up.
  absl::Time start_deadline() const { return start_deadline_; }

  // The run has started and the links are there: waiting -> active; one that joins may catch up.
  // Emits StartReplica. REQUIRES: the run has started with this replica in its roster.
  void Start();
  // It is to join a run that has started. REQUIRES: not started.
  void Join() { SetState(ReplicaState::kJoining); }
  // It has caught up: joining -> active, from a round that all others can be told of in time.
  void TakePart();

  // From the trainer; ignored unless active.
  void Publish(Round round, SlotId slot);
  void SkipPublish(Round round);
  void Collect(Round round);
  // `round`, published next, is exchanged without training, to agree within `distance`
  // (Agreement::Want).
  void WantAgreement(Round round, double distance, bool first);
  // True when all others must hear now that the replica is content.
  bool Mixed(Round round, absl::Span<const MixedSegmentResult> results);
  // Lingers until nobody reads or is owed a snapshot, at most round_deadline; then FinishLeave.
  void Leave();
  // Announces the first round that it takes no part in any more. Its trainer goes on until then,
  // and leaves. Ignored unless active.
  void Drain();
  // It is not waited for any longer: it has left, and its trainer is told so at its next publish.
  // Ignored unless it takes part; who joins still drains once it does.
  void EndDrain();
  // The trainer is gone: dead, unless it had left.
  void Die();

  // From the transport. REQUIRES: started.
  void Answered(SegmentId segment, uint32_t buffer, const PullAnswer& answer);
  void PullEnded(SegmentId segment, uint32_t buffer, PullEnd end);
  ReplicaSource& source() { return source_; }
  bool started() const { return sink_ != nullptr; }

  void Tick();
  absl::Time next_deadline() const;

  // The newest round of the run has changed: tells the trainer.
  void NewestRoundChanged();

  // Gone, and no transfer touches the arena any more; true once, and then FreeArena is emitted.
  bool Free();
  bool freed() const { return freed_; }
  // Its trainer is attached no more.
  bool gone() const { return gone_; }

  const ReplicaStatistics& statistics() const { return statistics_; }
  DerivedTimes Times() const;
  Round published_round() const;
  Round mixed_round() const;

 private:
  bool Accepts(Round round) const;
  bool HasEnded(Round round) const;
  void CatchUp(Round round);
  void FindPartners(const RoundView& view, Round round);
  void UpdateTrainer();
  void TellAgreement(UpdatePage* page) const;
  void HandOver();
  void SetState(ReplicaState state);
  void FinishLeaveWhenIdle();

  const AttachId attach_;
  const ReplicaId replica_;
  Run* const run_;
  StepContext* const context_;
  const std::vector<uint64_t> segment_bytes_;
  const absl::Time start_deadline_;

  ReplicaState state_ = ReplicaState::kWaiting;
  bool gone_ = false;
  bool freed_ = false;
  bool leaving_ = false;
  absl::Time leave_deadline_ = absl::InfiniteFuture();
  uint32_t own_ = 0;  // in the run's roster
  ReplicaStatistics statistics_;
  ReplicaSource source_;
  std::unique_ptr<ReplicaSink> sink_;  // from the start on
  std::vector<Partners> partners_;
  Agreement agreement_;
  Round caught_up_{};  // joining: names the last collect
  RoundClock round_clock_;
  absl::Time last_publish_ = absl::InfinitePast();
  UpdatePage page_;
};

}  // namespace weightmesh
