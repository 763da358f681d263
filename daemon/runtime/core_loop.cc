// One event at a time, each with all its actions.
#include "daemon/runtime/core_loop.h"

#include <utility>

namespace weightmesh {

CoreLoop::CoreLoop(NodeCoreOptions options, SlotKeeper* keeper, ActionHandler* handler)
    : core_(std::move(options), keeper, Executor::Now()), handler_(handler) {}

absl::StatusOr<std::unique_ptr<CoreLoop>> CoreLoop::Create(NodeCoreOptions options,
                                                           SlotKeeper* keeper, Executor* executor,
                                                           ActionHandler* handler) {
  std::unique_ptr<CoreLoop> loop(new CoreLoop(std::move(options), keeper, handler));
  auto timer = Timer::Create(executor, [raw = loop.get()] { raw->Feed(TimerFired{}); });
  if (!timer.ok()) return timer.status();
  loop->timer_ = *std::move(timer);
  loop->timer_->Set(loop->core_.next_deadline());
  return loop;
}

void CoreLoop::Feed(const Event& event) {
  if (stepping_) {
    later_.push_back(event);
    return;
  }
  stepping_ = true;
  StepOnce(event);
  for (size_t k = 0; k < later_.size(); ++k) {
    const Event next = std::move(later_[k]);  // which may grow meanwhile
    StepOnce(next);
  }
  later_.clear();
  stepping_ = false;
  timer_->Set(core_.next_deadline());
}

void CoreLoop::StepOnce(const Event& event) {
  actions_.clear();
  core_.Step(Executor::Now(), event, &actions_);
  for (const Action& action : actions_) handler_->Handle(action);
}

}  // namespace weightmesh
