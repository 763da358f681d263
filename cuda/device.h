// Device: where arenas are allocated; the seam between host and GPU memory. Includes no CUDA
// header.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "daemon/transport/transport.h"

namespace weightmesh {

// One allocation that another process can map by its descriptor. Freed with the object; what others
// have mapped stays theirs.
class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;

  // All of it, mapped here, page-aligned, zero at first. Valid while the object lives.
  virtual absl::Span<std::byte> bytes() const = 0;

  // To be sent over a Unix socket. Owned by the object; whoever receives it cannot resize the
  // memory.
  virtual int descriptor() const = 0;

  virtual MemoryKind kind() const = 0;
};

class Device {
 public:
  virtual ~Device() = default;

  // For people: "host memory", a GPU's UUID.
  virtual absl::string_view name() const = 0;

  virtual MemoryKind kind() const = 0;

  // Exactly `bytes` bytes. ResourceExhausted when memory or descriptors run out, InvalidArgument
  // for no bytes, FailedPrecondition when the system lacks what it takes; the message says what to
  // do.
  virtual absl::StatusOr<std::unique_ptr<DeviceMemory>> Allocate(uint64_t bytes) = 0;
};

}  // namespace weightmesh
