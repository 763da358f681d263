// HostDevice: host memory on sealed memfds. Any thread.
#pragma once

#include <memory>

#include "cuda/device.h"

namespace weightmesh {

// Memory is sealed against shrinking, growing and further seals, because a trainer that truncated
// it would kill the daemon by SIGBUS. Pages are taken when they are first touched.
class HostDevice : public Device {
 public:
  absl::string_view name() const override { return "host memory"; }
  MemoryKind kind() const override { return MemoryKind::kHost; }
  absl::StatusOr<std::unique_ptr<DeviceMemory>> Allocate(uint64_t bytes) override;
};

}  // namespace weightmesh
