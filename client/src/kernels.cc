// The loops of kernels.h, written once and inlined into one function for each CPU target.
//
// Compiled with -ffp-contract=off: a fused multiply-add rounds once instead of twice, and only some
// targets have it.
#include "client/src/kernels.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <bit>
#include <cstdint>
#include <cstring>

#include "client/src/checksum.h"

namespace weightmesh::client {
namespace {

#define WEIGHTMESH_INLINE [[gnu::always_inline]] inline

constexpr uint32_t kFp32Exponent = 0x7f800000;
constexpr uint32_t kFp32Magnitude = 0x7fffffff;
constexpr uint32_t kBf16Exponent = 0x7f80;
constexpr uint32_t kBf16Quiet = 0x0040;

WEIGHTMESH_INLINE uint32_t BitsOf(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

WEIGHTMESH_INLINE bool EncodeFp32(const float* __restrict weights, size_t count,
                                  float* __restrict wire_data) {
  uint32_t non_finite = 0;
  for (size_t i = 0; i < count; ++i) {
    const uint32_t bits = BitsOf(weights[i]);
    non_finite |= (bits & kFp32Exponent) == kFp32Exponent ? 1u : 0u;
    wire_data[i] = weights[i];
  }
  return non_finite == 0;
}

WEIGHTMESH_INLINE bool EncodeBf16(const float* __restrict weights, size_t count,
                                  uint16_t* __restrict wire_data) {
  uint32_t non_finite = 0;
  for (size_t i = 0; i < count; ++i) {
    const uint32_t bits = BitsOf(weights[i]);
    const uint32_t nearest_even = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    const uint32_t quiet_nan = bits >> 16 | kBf16Quiet;
    const uint32_t half = (bits & kFp32Magnitude) > kFp32Exponent ? quiet_nan : nearest_even;
    non_finite |= (half & kBf16Exponent) == kBf16Exponent ? 1u : 0u;
    wire_data[i] = static_cast<uint16_t>(half);
  }
  return non_finite == 0;
}

WEIGHTMESH_INLINE bool EncodeBody(WireFormat wire, const float* weights, size_t count,
                                  void* wire_data) {
  return wire == WireFormat::kBf16 ? EncodeBf16(weights, count, static_cast<uint16_t*>(wire_data))
                                   : EncodeFp32(weights, count, static_cast<float*>(wire_data));
}

WEIGHTMESH_INLINE float Widen(float value) { return value; }
WEIGHTMESH_INLINE float Widen(uint16_t bf16) {
  const uint32_t bits = static_cast<uint32_t>(bf16) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// Half of the lanes as a vector, which the widest registers hold in double: left to itself the
// compiler keeps the sums in memory, and each row of parameters waits for the one before.
constexpr size_t kHalf = kDifferenceLanes / 2;
using FloatHalf [[gnu::vector_size(kHalf * sizeof(float))]] = float;
using WordHalf [[gnu::vector_size(kHalf * sizeof(uint32_t))]] = uint32_t;
using ShortHalf [[gnu::vector_size(kHalf * sizeof(uint16_t))]] = uint16_t;
using SumHalf [[gnu::vector_size(kHalf * sizeof(double))]] = double;

WEIGHTMESH_INLINE void WidenHalf(const float* from, FloatHalf* half) {
  std::memcpy(half, from, sizeof *half);
}
WEIGHTMESH_INLINE void WidenHalf(const uint16_t* from, FloatHalf* half) {
  ShortHalf shorts;
  std::memcpy(&shorts, from, sizeof shorts);
  const WordHalf bits = __builtin_convertvector(shorts, WordHalf) << 16;
  std::memcpy(half, &bits, sizeof bits);
}

template <typename WireValue>
WEIGHTMESH_INLINE void MixHalf(const WireValue* peer, const WireValue* own, float alpha,
                               float* weights, SumHalf* sums) {
  FloatHalf peer_half, own_half, weight_half;
  WidenHalf(peer, &peer_half);
  WidenHalf(own, &own_half);
  std::memcpy(&weight_half, weights, sizeof weight_half);
  const FloatHalf difference = peer_half - own_half;
  weight_half += alpha * difference;
  std::memcpy(weights, &weight_half, sizeof weight_half);
  const SumHalf wide = __builtin_convertvector(difference, SumHalf);
  *sums += wide * wide;
}

template <typename WireValue>
WEIGHTMESH_INLINE void MixValues(const MixRun& run, float alpha, DifferenceLanes* lanes) {
  float* __restrict weights = run.weights;
  const WireValue* __restrict own = static_cast<const WireValue*>(run.own);
  const WireValue* __restrict peer = static_cast<const WireValue*>(run.peer);
  const size_t count = run.count;
  const auto mix_one = [&](size_t i) __attribute__((always_inline)) {
    const float difference = Widen(peer[i]) - Widen(own[i]);
    weights[i] += alpha * difference;
    const double wide = difference;
    return wide * wide;
  };

  // Up to lane 0, then whole rows of lanes, then the rest: every lane's sum is built in the order
  // of the parameters however the run lies.
  size_t i = 0;
  size_t lane = run.segment_index % kDifferenceLanes;
  for (; i < count && lane != 0; ++i, lane = (lane + 1) % kDifferenceLanes) {
    lanes->sums[lane] += mix_one(i);
  }
  SumHalf low, high;
  std::memcpy(&low, lanes->sums, sizeof low);
  std::memcpy(&high, lanes->sums + kHalf, sizeof high);
  for (; i + kDifferenceLanes <= count; i += kDifferenceLanes) {
    MixHalf(peer + i, own + i, alpha, weights + i, &low);
    MixHalf(peer + i + kHalf, own + i + kHalf, alpha, weights + i + kHalf, &high);
  }
  std::memcpy(lanes->sums, &low, sizeof low);
  std::memcpy(lanes->sums + kHalf, &high, sizeof high);
  for (size_t k = 0; i < count; ++i, ++k) lanes->sums[k] += mix_one(i);
}

WEIGHTMESH_INLINE void MixBody(WireFormat wire, const MixRun& run, float alpha,
                               DifferenceLanes* lanes) {
  if (wire == WireFormat::kBf16) {
    MixValues<uint16_t>(run, alpha, lanes);
  } else {
    MixValues<float>(run, alpha, lanes);
  }
}

bool EncodeBaseline(WireFormat wire, const float* weights, size_t count, void* wire_data) {
  return EncodeBody(wire, weights, count, wire_data);
}
void MixBaseline(WireFormat wire, const MixRun& run, float alpha, DifferenceLanes* lanes) {
  MixBody(wire, run, alpha, lanes);
}
uint64_t ChecksumBaseline(const void* data, size_t bytes, uint64_t seed) {
  return XXH3_64bits_withSeed(data, bytes, seed);
}
constexpr Kernels kBaseline = {"baseline", EncodeBaseline, MixBaseline, ChecksumBaseline};

#if defined(__x86_64__)
#define WEIGHTMESH_AVX2 __attribute__((target("avx2")))
#define WEIGHTMESH_AVX512 __attribute__((target("avx2,avx512f,avx512bw,avx512vl,avx512dq")))

WEIGHTMESH_AVX2 bool EncodeAvx2(WireFormat wire, const float* weights, size_t count,
                                void* wire_data) {
  return EncodeBody(wire, weights, count, wire_data);
}
WEIGHTMESH_AVX2 void MixAvx2(WireFormat wire, const MixRun& run, float alpha,
                             DifferenceLanes* lanes) {
  MixBody(wire, run, alpha, lanes);
}
constexpr Kernels kAvx2 = {"avx2", EncodeAvx2, MixAvx2, Xxh3Avx2};

WEIGHTMESH_AVX512 bool EncodeAvx512(WireFormat wire, const float* weights, size_t count,
                                    void* wire_data) {
  return EncodeBody(wire, weights, count, wire_data);
}
WEIGHTMESH_AVX512 void MixAvx512(WireFormat wire, const MixRun& run, float alpha,
                                 DifferenceLanes* lanes) {
  MixBody(wire, run, alpha, lanes);
}
constexpr Kernels kAvx512 = {"avx512", EncodeAvx512, MixAvx512, Xxh3Avx512};
#endif

}  // namespace

std::vector<const Kernels*> RunnableKernels() {
  std::vector<const Kernels*> runnable = {&kBaseline};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) runnable.push_back(&kAvx2);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
    runnable.push_back(&kAvx512);
  }
#endif
  return runnable;
}

const Kernels& BestKernels() {
  static const Kernels& best = *RunnableKernels().back();
  return best;
}

}  // namespace weightmesh::client
