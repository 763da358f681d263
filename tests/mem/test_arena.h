// TestArena: a small real arena, for tests that play the trainer on its page.
#pragma once

#include <memory>
#include <vector>

#include "cuda/host_device.h"
#include "daemon/core/check.h"
#include "daemon/mem/arena.h"

namespace weightmesh {

class TestArena {
 public:
  explicit TestArena(std::vector<uint64_t> bounds = {0, 10, 20, 30}, uint32_t slots = 3) {
    auto made = Arena::Create({std::move(bounds), WireFormat::kFp32, slots}, &device_, &budget_);
    WEIGHTMESH_CHECK(made.ok(), "the test's arena cannot be made");
    arena_ = *std::move(made);
  }

  const Arena* operator->() const { return arena_.get(); }
  const Arena* get() const { return arena_.get(); }
  control_page::ControlPage& page() { return *arena_->page(); }

  // The trainer's table.
  control_page::MixedSegment& mixed(size_t segment) {
    return const_cast<control_page::MixedSegment&>(arena_->mixed()[segment]);
  }

  // Posts as a trainer does.
  void Post(control_page::CommandKind kind, uint64_t round, uint32_t slot = 0) {
    const uint64_t posted = page().commands_posted.load();
    page().commands[posted % control_page::kCommandsMax] = {.round = round,
                                                            .kind = static_cast<uint32_t>(kind),
                                                            .slot = slot,
                                                            .elapsed_ns = 0,
                                                            .distance_bits = 0};
    page().commands_posted.store(posted + 1, std::memory_order_release);
  }

 private:
  HostDevice device_;
  ArenaBudget budget_{{uint64_t{1} << 30, "the test"}};
  std::unique_ptr<Arena> arena_;
};

}  // namespace weightmesh
