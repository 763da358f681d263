// The loops, compiled for several CPU targets like the client's.
#include "tests/bench/stream_kernels.h"

#include <cstring>

#if defined(__x86_64__)
#define WEIGHTMESH_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define WEIGHTMESH_CLONES
#endif

namespace weightmesh::bench {
namespace {

inline float Widened(uint16_t value) {
  const uint32_t bits = static_cast<uint32_t>(value) << 16;
  float wide;
  std::memcpy(&wide, &bits, sizeof wide);
  return wide;
}

inline uint16_t Narrowed(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return static_cast<uint16_t>(bits >> 16);
}

}  // namespace

WEIGHTMESH_CLONES void StreamCopy(const float* __restrict from, size_t count,
                                  float* __restrict to) {
  // A product, so that no compiler takes memcpy, whose stores may go past the caches.
  for (size_t i = 0; i < count; ++i) to[i] = from[i] * 0.5f;
}

WEIGHTMESH_CLONES void StreamNarrow(const float* __restrict from, size_t count,
                                    uint16_t* __restrict to) {
  for (size_t i = 0; i < count; ++i) to[i] = Narrowed(from[i]);
}

WEIGHTMESH_CLONES void StreamMix(const float* __restrict a, const float* __restrict b, size_t count,
                                 float* __restrict to) {
  for (size_t i = 0; i < count; ++i) to[i] += 0.5f * (a[i] - b[i]);
}

WEIGHTMESH_CLONES void StreamMix16(const uint16_t* __restrict a, const uint16_t* __restrict b,
                                   size_t count, float* __restrict to) {
  for (size_t i = 0; i < count; ++i) to[i] += 0.5f * (Widened(a[i]) - Widened(b[i]));
}

}  // namespace weightmesh::bench
