// CoreLoop: feeds the core its events and hands its actions on. Lives on the executor's thread.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/core/node_core.h"
#include "daemon/runtime/executor.h"
#include "daemon/runtime/timer.h"

namespace weightmesh {

class ActionHandler {
 public:
  virtual ~ActionHandler() = default;
  // May call CoreLoop::Feed; that event is taken in after the present one's actions.
  virtual void Handle(const Action& action) = 0;
};

class CoreLoop {
 public:
  // All pointers must outlive the loop. ResourceExhausted when descriptors run out.
  static absl::StatusOr<std::unique_ptr<CoreLoop>> Create(NodeCoreOptions options,
                                                          SlotKeeper* keeper, Executor* executor,
                                                          ActionHandler* handler);

  // Takes in an event at the present time and runs all that follows from it.
  void Feed(const Event& event);

  NodeCore& core() { return core_; }

 private:
  CoreLoop(NodeCoreOptions options, SlotKeeper* keeper, ActionHandler* handler);
  void StepOnce(const Event& event);

  NodeCore core_;
  ActionHandler* const handler_;
  std::unique_ptr<Timer> timer_;
  Actions actions_;
  bool stepping_ = false;
  std::vector<Event> later_;  // fed from within Handle
};

}  // namespace weightmesh
