// ReplicaSink: the reading half of a local replica: its pulls, their outcomes, its inbox. Core
// thread.
//
// Every segment of a round is pulled from the source that the schedule names; a pull from a source
// that is dead, silent or skipped that round is redirected to the source's own source. A collect
// freezes one outcome and at most one inbox buffer for each segment (design.md section 4).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "daemon/core/events.h"
#include "daemon/core/run.h"
#include "daemon/core/step_context.h"

namespace weightmesh {

class ReplicaSink {
 public:
  // All references must outlive the sink; `own` is this replica's number in the run's roster;
  // `segment_bytes` has one row for each segment. REQUIRES: run->started().
  ReplicaSink(AttachId attach, uint32_t own, Run* run, StepContext* context,
              ReplicaStatistics* statistics, std::vector<uint64_t> segment_bytes);

  // Starts the pulls of `round` among those of `view`; `partners` has one row for each segment. A
  // former round that was not mixed is given up: its pulls count as LATE.
  void Begin(Round round, std::shared_ptr<const RoundView> view,
             absl::Span<const Partners> partners, const DerivedTimes& times);
  // The same for a replica that has no round yet: it takes the newest snapshot that each source
  // has, in any mode until the deadline. What earlier passes brought is asked for again once
  // nothing is missing, if it is older than one round. `round` only names the collect.
  void CatchUp(Round round, std::shared_ptr<const RoundView> view,
               absl::Span<const Partners> partners, const DerivedTimes& times);
  // Gives up the former round like Begin, and pulls nothing.
  void Skip(Round round);
  // After Begin: a collect of this round waits for every pull, in any mode.
  void AwaitAll() { hasty_ = false; }
  // The trainer wants `round`: a delivery is ready now, or when the last pull or the deadline
  // comes.
  void Collect(Round round);
  // The trainer has mixed `round`. Returns its estimate of the consensus distance, if half of the
  // model at least was mixed.
  std::optional<double> Mixed(Round round, absl::Span<const MixedSegmentResult> results);

  // From the transport, for the request of `segment` into `buffer`.
  void Answered(SegmentId segment, uint32_t buffer, const PullAnswer& answer);
  void Ended(SegmentId segment, uint32_t buffer, PullEnd end);

  // Ends all pulls as CANCELLED: the replica leaves or died.
  void Cancel();
  // The same, but a collect that waits gets what has landed: a delivery is ready.
  void CutShort();
  // What a collect of `round` gets from a replica that has no such round any more. Gives up the
  // former round like Begin.
  Deliver Nothing(Round round);

  void Tick();
  // May be early.
  absl::Time next_deadline() const { return next_deadline_; }

  // What a collect has frozen, once; its rows live until the next round begins.
  std::optional<Deliver> TakeDelivery();

  // Whether no transfer may touch the inbox any more.
  bool IsIdle() const { return open_requests_ == 0; }
  // Whether a pull of the last collected round ended GONE: this replica was left behind.
  bool left_behind() const { return left_behind_; }
  // Newest round that the trainer has mixed.
  Round mixed_round() const { return mixed_round_; }

 private:
  enum class PullState : uint8_t {
    kNone,     // no pull is due
    kAsked,    // no answer yet
    kQueued,   // the source will send it
    kMoving,   // data is coming
    kWaiting,  // the source has not published that round yet
    kEnding,   // a verdict came, or it was silent: goes on when the transport lets go of the buffer
    kLanded,
    kFailed,
  };
  struct SegmentPull {
    PullState state = PullState::kNone;
    uint32_t source = 0;  // number in the roster, as all members here
    uint32_t hops = 0;
    uint32_t buffer = 0;
    RequestId request{};
    Outcome verdict = Outcome::kNone;        // kEnding: what ended it; kFailed: the outcome
    Outcome first_failure = Outcome::kNone;  // of the sources tried before
    Round source_round{};  // kWaiting: the newest it had published; from kMoving on: the data's
    absl::Time asked_at;
  };
  enum class BufferState : uint8_t {
    kFree,
    kOpen,        // the pull of this round lands here
    kLanded,      // holds what will be, or was, delivered
    kQuarantine,  // a pull that has its outcome may still land here
  };
  struct Buffer {
    BufferState state = BufferState::kFree;
    absl::Time quarantined_at;
    NodeId peer;
  };

  bool IsMissing(uint32_t segment) const;
  bool IsOpen(const SegmentPull& pull) const {
    return pull.state != PullState::kNone && pull.state != PullState::kLanded &&
           pull.state != PullState::kFailed;
  }
  bool IsUnderWay(const SegmentPull& pull) const {
    return IsOpen(pull) && pull.state != PullState::kWaiting;
  }

  // Answered, and nothing to be done but wait.
  static bool IsParked(const SegmentPull& pull) {
    return pull.state == PullState::kWaiting || pull.state == PullState::kQueued;
  }

  void Open(Round round, std::shared_ptr<const RoundView> view, absl::Span<const Partners> partners,
            const DerivedTimes& times);
  void Ask(uint32_t segment);
  void Redirect(uint32_t segment, Outcome reason);
  void Fail(uint32_t segment, Outcome outcome);
  void EndLate(uint32_t segment);
  bool KeptWaiting(const SegmentPull& pull) const;
  void GiveUp();
  void CancelOpen();
  void MeetDeadline();
  void FindSilent();
  void CutStuckLinks();
  void MaybeFreeze();
  void Freeze();
  void CountLanded(uint32_t segment, const SegmentPull& pull);
  void WakeBy(absl::Time deadline) { next_deadline_ = std::min(next_deadline_, deadline); }
  void ScheduleTick();
  void WatchHeal(bool with_returned);

  const AttachId attach_;
  const uint32_t own_;
  Run* const run_;
  StepContext* const context_;
  ReplicaStatistics* const statistics_;
  const std::vector<uint64_t> segment_bytes_;

  Round round_{};
  std::shared_ptr<const RoundView> view_;  // of round_
  bool catching_up_ = false;
  bool all_caught_ = false;    // before this pass
  std::vector<Round> caught_;  // by segment: the round that passes brought; kNoRound: none
  bool hasty_ = false;         // a collect waits only for what is under way
  DerivedTimes times_;
  absl::Time begun_at_;
  std::vector<SegmentPull> pulls_;
  std::vector<std::array<Buffer, 2>> buffers_;
  uint32_t pending_ = 0;        // pulls of this round without an outcome
  uint64_t open_requests_ = 0;  // requests that the transport has not ended
  bool collect_wanted_ = false;
  absl::Time collect_deadline_;
  bool frozen_ = true;  // of round_
  bool delivery_ready_ = false;
  bool unmixed_ = false;  // frozen and not yet mixed
  bool left_behind_ = false;
  Round mixed_round_{};
  std::vector<FrozenSegment> frozen_segments_;
  // By member: the newest published round of a source when it made this replica miss a deadline;
  // its pulls are LATE at once until it publishes. kNotOverdue otherwise.
  std::vector<uint64_t> overdue_;
  absl::Time next_deadline_ = absl::InfiniteFuture();
  absl::Time awake_since_ = absl::InfinitePast();  // the end of the last time it stood still
};

}  // namespace weightmesh
