// Footprint: what a process holds of the system: descriptors, threads, mappings, resident memory.
#pragma once

#include <sys/types.h>

#include <string>

#include "absl/time/time.h"

namespace weightmesh {

// Whether what a process of ours holds resident is its own: AddressSanitizer keeps freed memory.
#ifdef __SANITIZE_ADDRESS__
inline constexpr bool kResidentMemoryIsOwn = false;
#else
inline constexpr bool kResidentMemoryIsOwn = true;
#endif

struct Footprint {
  int descriptors = 0;
  int threads = 0;
  int mappings = 0;
  long resident_kb = 0;

  std::string ToString() const;
};

// Of a live process; zeros when there is none.
Footprint FootprintOf(pid_t pid);

// By how much a process may have grown. Allocators map memory in pieces and give little of it back,
// so mappings and resident memory have slack; descriptors and threads have none, but for the moment
// at which one looks (a call of gRPC under way).
struct GrowthLimit {
  int descriptors = 0;
  int threads = 0;
  int mappings = 8;
  long resident_kb = 4096;
};

// Waits until `pid` holds no more than `before` and `limit`, at most `patience`. Empty, or what is
// too much.
std::string AwaitReturnTo(const Footprint& before, pid_t pid, const GrowthLimit& limit,
                          absl::Duration patience);

}  // namespace weightmesh
