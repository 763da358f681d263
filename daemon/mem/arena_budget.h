// ArenaBudget: how many bytes all arenas of the daemon may take, counted before any is allocated.
// Confined to the core thread; the limits' parsing is pure.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace weightmesh {

// A limit in bytes and where it comes from, for people.
struct ArenaLimit {
  uint64_t bytes = 0;
  std::string origin;  // "limits.arena_bytes_max", "half of /sys/fs/cgroup/memory.max", …
};

// Half of the memory that this process may use: the least memory limit among its cgroup (v2 or v1)
// and that one's parents, or the machine's MemTotal if that is less. `root` stands before /proc and
// /sys, for tests. When nothing can be read: 1 GiB.
ArenaLimit DefaultArenaLimit(absl::string_view root = "");

class ArenaBudget {
 public:
  explicit ArenaBudget(ArenaLimit limit) : limit_(std::move(limit)) {}

  // Counts `bytes` in. ResourceExhausted, and nothing counted, when they exceed what is left; the
  // message names the limit, its origin and the cure.
  absl::Status Take(uint64_t bytes);

  // Counts them out. REQUIRES: they were taken.
  void Return(uint64_t bytes);

  uint64_t taken() const { return taken_; }
  const ArenaLimit& limit() const { return limit_; }

 private:
  const ArenaLimit limit_;
  uint64_t taken_ = 0;
};

}  // namespace weightmesh
