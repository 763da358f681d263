// CommandRing: the trainer's end of the commands in the control page. Used by the handle's thread.
#pragma once

#include <cstdint>

#include "proto/control_page.h"

namespace weightmesh::client {

// The most commands that one round posts: publish or skip, collect, mixed.
constexpr uint64_t kCommandsPerRound = 3;

class CommandRing {
 public:
  // `page` must outlive the ring.
  explicit CommandRing(control_page::ControlPage* page)
      : page_(page), posted_(page->commands_posted.load(std::memory_order_relaxed)) {}

  // Room for a whole round: false when the daemon has stopped taking commands.
  bool HasRoomForRound() const {
    // A count of the daemon's beyond our own wraps, and reads as full.
    const uint64_t waiting = posted_ - page_->commands_taken.load(std::memory_order_acquire);
    return waiting <= control_page::kCommandsMax - kCommandsPerRound;
  }

  // Posts one command; the daemon sees it when it is rung. REQUIRES: HasRoomForRound() was true
  // when the round began.
  void Post(control_page::CommandKind kind, uint64_t round, uint32_t slot = 0,
            uint64_t elapsed_ns = 0) {
    page_->commands[posted_ % control_page::kCommandsMax] = {round, static_cast<uint32_t>(kind),
                                                             slot, elapsed_ns, 0};
    ++posted_;
    page_->commands_posted.store(posted_, std::memory_order_release);
  }

 private:
  control_page::ControlPage* page_;
  uint64_t posted_;  // our own count: the page's is never read back
};

}  // namespace weightmesh::client
