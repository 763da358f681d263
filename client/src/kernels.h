// The inner loops of the client: weights to wire format, the mix, the checksum. Pure; any thread.
//
// The loops exist once and are compiled for several CPU targets, which give equal bits: fp32
// arithmetic without contraction, and sums whose order does not depend on the width of a vector.
//
// A reference of the whole mesh needs only the schedule, EncodeWeights and MixWeights.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "proto/arena_layout.h"

namespace weightmesh::client {

constexpr size_t kDifferenceLanes = 16;

// Sums of (Q(peer) - own)² over a segment: parameter i of the segment adds to lane i mod 16, in
// ascending order of i. Each difference is rounded to fp32, squared and added in double.
struct DifferenceLanes {
  double sums[kDifferenceLanes] = {};

  // Lanes 0 to 15 added in this order.
  double Total() const {
    double total = 0;
    for (const double sum : sums) total += sum;
    return total;
  }
};

// A run of parameters that are contiguous in one tensor and in the wire data.
struct MixRun {
  float* weights = nullptr;    // changed in place
  const void* own = nullptr;   // wire data of the replica's own snapshot
  const void* peer = nullptr;  // wire data of the peer's
  size_t count = 0;
  size_t segment_index = 0;  // of the run's first parameter: says its lane
};

// One CPU target's build of the loops.
struct Kernels {
  const char* target;  // "baseline", "avx2" or "avx512"

  // Writes Q(weights[0 … count)) to `wire_data`: fp32 as it is, bf16 rounded to nearest even (NaN
  // stays NaN). False when a value on the wire is NaN or infinite, which bf16 rounding may make of
  // a finite one.
  bool (*encode)(WireFormat wire, const float* weights, size_t count, void* wire_data);

  // weights += alpha · (Q(peer) - own), in fp32; adds the squared differences to `lanes`.
  void (*mix)(WireFormat wire, const MixRun& run, float alpha, DifferenceLanes* lanes);

  // XXH3-64 of `bytes` bytes at `data`, seeded: a block's checksum with its BlockSeed.
  uint64_t (*checksum)(const void* data, size_t bytes, uint64_t seed);
};

// The fastest that this CPU runs.
const Kernels& BestKernels();

// All that this CPU runs, the baseline first.
std::vector<const Kernels*> RunnableKernels();

// BestKernels().encode: Q(weights) of a parameter range as a snapshot holds it.
inline bool EncodeWeights(WireFormat wire, const float* weights, size_t count, void* wire_data) {
  return BestKernels().encode(wire, weights, count, wire_data);
}

// Mixes a whole segment, all of it good: `peer` and `own` are the wire data of its `count`
// parameters. Returns the sum of the squared differences.
inline double MixWeights(WireFormat wire, float alpha, const void* peer, const void* own,
                         size_t count, float* weights) {
  DifferenceLanes lanes;
  BestKernels().mix(wire, {weights, own, peer, count, 0}, alpha, &lanes);
  return lanes.Total();
}

}  // namespace weightmesh::client
