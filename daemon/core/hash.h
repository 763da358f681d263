// Keyed hashes and the counter-based random numbers of every decision; pure, any thread.
//
// Values are part of the mesh's contract: all nodes compute schedules alone and must agree. The
// test vectors in tests/core/hash_test.cc hold on every compiler and build type.
#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "daemon/core/ids.h"

namespace weightmesh {

// XXH3-64 of `bytes`, and of a list of words in little-endian order.
uint64_t Hash64(absl::string_view bytes);
uint64_t Hash64(absl::Span<const uint64_t> words);

// XXH3-128 of `bytes`.
Digest Hash128(absl::string_view bytes);

// A bijection of 64 bits that changes about half of them for any changed bit: the finalizer of
// SplitMix64 (D. Stafford's "variant 13" constants).
constexpr uint64_t Mix64(uint64_t value) {
  value ^= value >> 30;
  value *= 0xbf58476d1ce4e5b9u;
  value ^= value >> 27;
  value *= 0x94d049bb133111ebu;
  value ^= value >> 31;
  return value;
}

// Random numbers as a pure function of (key, counter): SplitMix64 with the key as its origin.
class CounterRng {
 public:
  explicit CounterRng(uint64_t key) : key_(key) {}

  // Uniform 64 bits.
  uint64_t Next() { return Mix64(key_ + ++counter_ * 0x9e3779b97f4a7c15u); }

  // Uniform in [0, bound), without bias (rejection on the top of the 128-bit product).
  // REQUIRES: bound >= 1.
  uint64_t Below(uint64_t bound);

  // Uniform in [0, 1), 53 bits.
  double Unit() { return static_cast<double>(Next() >> 11) * 0x1p-53; }

 private:
  const uint64_t key_;
  uint64_t counter_ = 0;
};

}  // namespace weightmesh
