// SimNode: one daemon: a NodeCore, the arenas of its trainers, and the driver that runs its
// actions.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "daemon/core/node_core.h"
#include "tests/sim/arena.h"
#include "tests/sim/control_plane.h"
#include "tests/sim/data_plane.h"
#include "tests/sim/process.h"
#include "tests/sim/world.h"

namespace weightmesh::sim {

// A trainer as its daemon sees it: the attach socket and the trainer's doorbell.
class AttachedTrainer {
 public:
  virtual ~AttachedTrainer() = default;
  virtual void OnAdmitted(std::shared_ptr<SimArena> arena) = 0;
  virtual void OnProgress(const std::string& message) = 0;
  virtual void OnStarted() = 0;
  virtual void OnRefused(attach::ReplyCode code, const std::string& message) = 0;
  virtual void OnLeaveFinished() = 0;
  virtual void OnDoorbell() = 0;
  virtual void OnDaemonGone() = 0;
  virtual void OnClockJump(absl::Duration jump) = 0;
};

class SimNode final : public SlotKeeper {
 public:
  // The planes must outlive the node. It begins down.
  SimNode(uint32_t index, World* world, DataPlane* data, ControlPlane* control);

  uint32_t index() const { return index_; }
  NodeId id() const { return World::NodeIdOf(identity_); }
  SimProcess& process() { return process_; }
  // REQUIRES: the process is up.
  NodeCore& core() { return *core_; }

  // A new process of the daemon, with a fresh session.
  void Start();
  // The next process has the node_id of another node: its state directory was copied.
  void PoseAs(uint32_t index) { identity_ = index; }
  // The next process listens there; as World::AddressOf but for the port.
  void MoveTo(std::string address) { address_ = std::move(address); }
  const std::string& address() const { return address_; }
  // The seeds of the next process; everybody's as long as there are none.
  void SetSeeds(std::vector<std::string> seeds) { seeds_ = std::move(seeds); }
  // Why the core asked its daemon to end; empty if it did not.
  const std::string& end_reason() const { return end_reason_; }
  // As `weightmeshctl drain`; `ends`: as SIGTERM, and the process ends afterwards. REQUIRES: it is
  // up.
  void Drain(absl::Duration deadline, bool ends);
  // That has been answered.
  bool drained() const { return drained_; }
  // The disk of the daemon is lost: its next process knows nobody.
  void LoseDisk() { kept_members_.clear(); }
  // What the core has said for people, the newest of it.
  const std::deque<std::string>& log() const { return log_; }
  // SIGKILL: links break, trainers notice.
  void Kill();
  void Stop();
  void Resume();
  // The clock of its machine, which its trainers have too, is ahead by so much more from now on:
  // the machine stood still, and whatever was to come meanwhile was held up on its way. Not
  // negative: the core's clock never goes back.
  void JumpClock(absl::Duration jump);

  // Feeds the core and runs what it asks for. REQUIRES: called by a task of process().
  void Step(const Event& event);
  // The same, later.
  void Post(absl::Duration delay, Event event);

  // Names an attach and remembers its trainer.
  AttachId OpenAttach(AttachedTrainer* trainer);

  // Null when there is none, or it was freed.
  std::shared_ptr<SimArena> FindArena(AttachId attach) const;

  // SlotKeeper.
  bool Hold(AttachId attach, SlotId slot, Round round) override;
  void Release(AttachId attach, SlotId slot, Round round) override;

 private:
  void Run(const AdmitReplica& action);
  void Run(const RefuseAttach& action);
  void Run(const ReportProgress& action);
  void Run(const StartReplica& action);
  void Run(const UpdatePage& action);
  void Run(const Deliver& action);
  void Run(const FinishLeave& action);
  void Run(const FreeArena& action);
  void Run(const StartPull& action) { data_->StartPull(index_, action); }
  void Run(const CancelPull& action) { data_->CancelPull(index_, action.request_id); }
  void Run(const AnswerPull& action) { data_->AnswerPull(index_, action.answer); }
  void Run(const StartSend& action) { data_->StartSend(index_, action); }
  void Run(const CutLink& action) { data_->CutLink(index_, World::IndexOf(action.node)); }
  void Run(const ForgetNode&) {}  // a simulated link takes nothing that could be kept
  void Run(const Sync& action) { control_->Sync(index_, action); }
  void Run(const Probe& action) { control_->Probe(index_, action); }
  void Run(const Gossip& action) { control_->Gossip(index_, action); }
  void Run(const swim::IndirectProbe& action) { control_->IndirectProbe(index_, action); }
  void Run(const AnswerGossip& action) { control_->Answer(action); }
  void Run(const swim::AnswerIndirectProbe& action) { control_->Answer(action); }
  void Run(const Connect& action) { control_->Connect(index_, action); }
  void Run(const KeepMembers& action) { kept_members_ = action.members; }
  void Run(const Drained& action);
  void Run(const EndDaemon& action);
  void Run(const Log& action);
  absl::Time now() const { return world_->queue.now() + clock_ahead_; }
  void Tell(ProcessChange change);
  AttachedTrainer* Trainer(AttachId attach) const;
  void CheckDeliver(const Deliver& action) const;
  void ArmTimer();
  void OnTimer(absl::Time due);

  const uint32_t index_;
  World* const world_;
  DataPlane* const data_;
  ControlPlane* const control_;
  uint32_t identity_;  // whose node_id it has: its own, as a rule
  std::string address_;
  std::vector<std::string> seeds_;
  std::string end_reason_;
  bool drained_ = false;
  std::vector<LastMember> kept_members_;  // on disk
  std::deque<std::string> log_;
  bool ends_when_drained_ = false;
  SimProcess process_;
  std::unique_ptr<NodeCore> core_;
  std::map<AttachId, AttachedTrainer*> trainers_;
  std::map<AttachId, std::shared_ptr<SimArena>> arenas_;
  uint64_t attaches_ = 0;
  absl::Duration clock_ahead_;
  absl::Time timer_due_ = absl::InfiniteFuture();
  absl::Time last_timer_;
  uint32_t timers_at_once_ = 0;
};

}  // namespace weightmesh::sim
