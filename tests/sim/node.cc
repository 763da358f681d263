// Runs a core's actions against the simulated world.
#include "tests/sim/node.h"

#include <algorithm>
#include <cstdlib>

namespace weightmesh::sim {
namespace {

// A core whose timer fires so often at one instant never lets time go on.
constexpr uint32_t kTimersAtOnceMax = 100;
constexpr size_t kLogKept = 256;

}  // namespace

SimNode::SimNode(uint32_t index, World* world, DataPlane* data, ControlPlane* control)
    : index_(index),
      world_(world),
      data_(data),
      control_(control),
      identity_(index),
      address_(World::AddressOf(index)),
      process_(&world->queue) {}

void SimNode::Start() {
  process_.Start();
  NodeCoreOptions options;
  options.self.node_id = id();
  options.self.session = Hash64({world_->options.seed, index_, process_.generation()});
  options.self.control_address = address_;
  options.self.version = "sim";
  options.seeds = seeds_;
  for (uint32_t seed = 0; seeds_.empty() && seed < world_->options.seeds; ++seed) {
    options.seeds.push_back(World::AddressOf(seed));
  }
  options.last_members = kept_members_;
  options.sync_interval = world_->options.sync_interval;
  options.sends_per_peer_max = world_->options.sends_per_peer_max;
  core_ = std::make_unique<NodeCore>(options, this, now());
  timer_due_ = absl::InfiniteFuture();
  drained_ = false;
  ends_when_drained_ = false;
  Tell(ProcessChange::kStarted);
  ArmTimer();
}

void SimNode::Kill() {
  if (!process_.is_up()) return;
  process_.Kill();
  Tell(ProcessChange::kKilled);
  data_->ProcessEnded(index_);
  for (auto& [attach, trainer] : trainers_) trainer->OnDaemonGone();
  trainers_.clear();
  arenas_.clear();
}

void SimNode::Stop() {
  if (!process_.is_up() || process_.is_stopped()) return;
  process_.Stop();
  Tell(ProcessChange::kStopped);
}

void SimNode::Resume() {
  if (!process_.is_stopped()) return;
  Tell(ProcessChange::kResumed);
  process_.Resume();
}

void SimNode::JumpClock(absl::Duration jump) {
  clock_ahead_ += jump;
  if (!process_.is_up()) return;
  Tell(ProcessChange::kClockJumped);
  timer_due_ = absl::InfiniteFuture();
  ArmTimer();
  for (auto& [attach, trainer] : trainers_) trainer->OnClockJump(jump);
}

void SimNode::Drain(absl::Duration deadline, bool ends) {
  ends_when_drained_ |= ends;
  Post(absl::ZeroDuration(), DrainRequested{deadline, ends});
}

void SimNode::Tell(ProcessChange change) {
  for (Observer* observer : world_->observers) {
    observer->OnNode(world_->queue.now(), index_, change);
  }
}

void SimNode::Post(absl::Duration delay, Event event) {
  process_.PostToSelf(delay, [this, event = std::move(event)] { Step(event); });
}

void SimNode::Step(const Event& event) {
  Actions actions;
  ++world_->core_steps;
  if (world_->times_core) {
    const auto begun = std::chrono::steady_clock::now();
    core_->Step(now(), event, &actions);
    world_->core_time += std::chrono::steady_clock::now() - begun;
  } else {
    core_->Step(now(), event, &actions);
  }
  world_->ledger.Trace({static_cast<uint64_t>(absl::ToUnixNanos(world_->queue.now())), index_,
                        event.index(), actions.size()});
  for (Observer* observer : world_->observers) {
    observer->OnStep(world_->queue.now(), index_, event, actions);
  }
  for (const Action& action : actions) {
    std::visit([this](const auto& a) { Run(a); }, action);
  }
  ArmTimer();
}

void SimNode::ArmTimer() {
  const absl::Time due = core_->next_deadline();
  if (due >= timer_due_ || due == absl::InfiniteFuture()) return;
  timer_due_ = due;
  process_.PostToSelf(due - now(), [this, due] { OnTimer(due); });
}

void SimNode::OnTimer(absl::Time due) {
  if (due != timer_due_) return;  // an earlier one has taken its place
  timer_due_ = absl::InfiniteFuture();
  if (core_->next_deadline() > now()) return ArmTimer();
  timers_at_once_ = now() == last_timer_ ? timers_at_once_ + 1 : 0;
  last_timer_ = now();
  if (timers_at_once_ > kTimersAtOnceMax) {
    world_->ledger.Violate(absl::StrCat("the core of node ", index_,
                                        " wants its timer again and again at one instant"));
    return process_.PostToSelf(absl::Milliseconds(1), [this] { ArmTimer(); });
  }
  Step(TimerFired{});
}

AttachId SimNode::OpenAttach(AttachedTrainer* trainer) {
  const AttachId attach{++attaches_};
  trainers_[attach] = trainer;
  return attach;
}

std::shared_ptr<SimArena> SimNode::FindArena(AttachId attach) const {
  const auto found = arenas_.find(attach);
  return found == arenas_.end() ? nullptr : found->second;
}

AttachedTrainer* SimNode::Trainer(AttachId attach) const {
  const auto found = trainers_.find(attach);
  return found == trainers_.end() ? nullptr : found->second;
}

// --- SlotKeeper: the rules of proto/control_page.h ---

bool SimNode::Hold(AttachId attach, SlotId slot, Round round) {
  const auto arena = FindArena(attach);
  if (arena == nullptr) {
    world_->ledger.Violate("the core holds a slot of an arena that is not there");
    return false;
  }
  uint64_t& word = arena->words[Value(slot)];
  if (word != control_page::SlotWord(Value(round), control_page::SlotState::kReadable)) {
    return false;
  }
  word = control_page::SlotWord(Value(round), control_page::SlotState::kHeld);
  return true;
}

void SimNode::Release(AttachId attach, SlotId slot, Round round) {
  const auto arena = FindArena(attach);
  const uint64_t held = control_page::SlotWord(Value(round), control_page::SlotState::kHeld);
  if (arena == nullptr || arena->words[Value(slot)] != held) {
    return world_->ledger.Violate(absl::StrCat("the core of node ", index_, " releases slot ",
                                               Value(slot), " of round ", Value(round),
                                               ", which is not held"));
  }
  arena->words[Value(slot)] =
      control_page::SlotWord(Value(round), control_page::SlotState::kReadable);
  if (AttachedTrainer* trainer = Trainer(attach)) trainer->OnDoorbell();
}

// --- actions ---

void SimNode::Run(const AdmitReplica& action) {
  auto arena =
      std::make_shared<SimArena>(action.replica, world_->options.slots, world_->options.segments);
  arenas_[action.attach] = arena;
  Trainer(action.attach)->OnAdmitted(std::move(arena));
}

void SimNode::Run(const RefuseAttach& action) {
  if (AttachedTrainer* trainer = Trainer(action.attach)) {
    trainer->OnRefused(action.code, action.message);
  }
  trainers_.erase(action.attach);
  arenas_.erase(action.attach);
}

void SimNode::Run(const ReportProgress& action) {
  if (AttachedTrainer* trainer = Trainer(action.attach)) trainer->OnProgress(action.message);
}

void SimNode::Run(const StartReplica& action) {
  if (AttachedTrainer* trainer = Trainer(action.attach)) trainer->OnStarted();
}

void SimNode::Run(const UpdatePage& action) {
  const auto arena = FindArena(action.attach);
  if (arena == nullptr) return world_->ledger.Violate("a page of an arena that is not there");
  arena->next_round = action.next_round;
  arena->newest_round = action.newest_round;
  arena->active_from = action.active_from;
  arena->publish_wait = action.publish_wait;
  arena->collect_wait = action.collect_wait;
  arena->leaves_at = action.leaves_at;
  arena->agreed_at = action.agreed_at;
  arena->agreed_distance = action.agreed_distance;
}

void SimNode::Run(const Deliver& action) {
  const auto arena = FindArena(action.attach);
  if (arena == nullptr) return world_->ledger.Violate("a delivery without an arena");
  CheckDeliver(action);
  arena->collected.assign(action.segments.begin(), action.segments.end());
  arena->collected_round = action.round;
  if (AttachedTrainer* trainer = Trainer(action.attach)) trainer->OnDoorbell();
}

void SimNode::CheckDeliver(const Deliver& action) const {
  const bool sized = action.segments.size() == world_->options.segments;
  const bool sound =
      std::all_of(action.segments.begin(), action.segments.end(), [](const FrozenSegment& segment) {
        return segment.delivered ? segment.outcome == Outcome::kNone && segment.buffer < 2
                                 : segment.outcome != Outcome::kArrived;
      });
  if (!sized || !sound) {
    world_->ledger.Violate(
        absl::StrCat("node ", index_, " delivers an unsound table of round ", Value(action.round)));
  }
}

void SimNode::Run(const FinishLeave& action) {
  if (AttachedTrainer* trainer = Trainer(action.attach)) trainer->OnLeaveFinished();
}

void SimNode::Run(const FreeArena& action) {
  const auto arena = FindArena(action.attach);
  if (arena == nullptr) return world_->ledger.Violate("an arena was freed twice");
  if (data_->Touches(index_, action.attach)) {
    world_->ledger.Violate("an arena was freed while a transfer touches it");
  }
  arena->freed = true;
  arenas_.erase(action.attach);
  trainers_.erase(action.attach);
}

void SimNode::Run(const Drained&) {
  drained_ = true;
  if (ends_when_drained_) world_->queue.After(absl::ZeroDuration(), [this] { Kill(); });
}

void SimNode::Run(const EndDaemon& action) {
  end_reason_ = action.reason;
  world_->queue.After(absl::ZeroDuration(), [this] { Kill(); });
}

// WEIGHTMESH_SIM_LOG=1 prints what the daemons say.
void SimNode::Run(const Log& action) {
  log_.push_back(action.text);
  if (log_.size() > kLogKept) log_.pop_front();
  static const bool wanted = std::getenv("WEIGHTMESH_SIM_LOG") != nullptr;
  if (!wanted) return;
  std::printf("%12.6f node%u %s\n", absl::ToDoubleSeconds(world_->queue.now() - absl::UnixEpoch()),
              index_, action.text.c_str());
}

}  // namespace weightmesh::sim
