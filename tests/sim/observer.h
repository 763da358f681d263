// Observer: is told of all that happens in a simulated world, when it happens.
#pragma once

#include <cstdint>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "daemon/core/actions.h"
#include "daemon/core/events.h"

namespace weightmesh::sim {

// What becomes of a process, a daemon's or a trainer's.
enum class ProcessChange { kStarted, kKilled, kStopped, kResumed, kClockJumped };

// What a trainer waits for.
enum class WaitKind { kStart, kSlot, kCollect, kFirstRound, kLeave };
const char* WaitKindName(WaitKind kind);  // "its start", …

// Trainers are named by their node and their attach, which no other trainer of that node ever has.
class Observer {
 public:
  virtual ~Observer() = default;

  // The core of `node` has taken in `event` and asks for `actions`, none of which has run yet.
  virtual void OnStep(absl::Time /*now*/, uint32_t /*node*/, const Event& /*event*/,
                      absl::Span<const Action> /*actions*/) {}
  virtual void OnNode(absl::Time /*now*/, uint32_t /*node*/, ProcessChange /*change*/) {}
  virtual void OnTrainer(absl::Time /*now*/, uint32_t /*node*/, AttachId /*attach*/,
                         ProcessChange /*change*/) {}
  // The trainer writes into the slot from now on.
  virtual void OnSlotTaken(absl::Time /*now*/, uint32_t /*node*/, AttachId /*attach*/,
                           SlotId /*slot*/) {}
  // The trainer waits for its daemon: `promise` at most where that one does its work, and by itself
  // it gives up after `limit`. Then it waits no longer. One wait at a time.
  virtual void OnWait(absl::Time /*now*/, uint32_t /*node*/, AttachId /*attach*/, WaitKind /*kind*/,
                      absl::Duration /*promise*/, absl::Duration /*limit*/) {}
  virtual void OnWaitOver(absl::Time /*now*/, uint32_t /*node*/, AttachId /*attach*/) {}
};

}  // namespace weightmesh::sim
