// CommandRing: the trainer's end of the commands in the control page. Used by the handle's thread.
#pragma once

#include <bit>
#include <cstdint>

#include "proto/control_page.h"

namespace weightmesh::client {

// The most commands that one round posts: agree, publish or skip, collect, mixed.
constexpr uint64_t kCommandsPerRound = 4;

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
    Put({round, static_cast<uint32_t>(kind), slot, elapsed_ns, 0});
  }
  // kAgree, likewise; `distance` >= 0.
  void PostAgree(uint64_t round, double distance, bool first) {
    Put({round, static_cast<uint32_t>(control_page::CommandKind::kAgree), first ? 1u : 0u, 0,
         std::bit_cast<uint64_t>(distance)});
  }

 private:
  void Put(const control_page::Command& command) {
    page_->commands[posted_ % control_page::kCommandsMax] = command;
    ++posted_;
    page_->commands_posted.store(posted_, std::memory_order_release);
  }

  control_page::ControlPage* page_;
  uint64_t posted_;  // our own count: the page's is never read back
};

}  // namespace weightmesh::client
