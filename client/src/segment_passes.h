// The two passes over a segment: publish it into a slot, and mix a delivered one. Any thread;
// different segments may run at once.
//
// Both work block by block, so that a block is checksummed while it is in cache.
#pragma once

#include <cstddef>
#include <cstdint>

#include "client/src/kernels.h"
#include "client/src/piece_map.h"
#include "proto/arena_layout.h"
#include "proto/outcome.h"
#include "proto/segment_seal.h"

namespace weightmesh::client {

// The model as the passes see it. Immutable after attach.
struct ModelLayout {
  ArenaLayout arena;
  PieceMap pieces;
  WireFormat wire = WireFormat::kFp32;
};

// Writes segment `key.segment` of the weights into the slot at `slot`: wire data, checksums, seal
// word. `weights[i]` is tensor i. Every byte of the place but its padding is written.
void PublishSegment(const ModelLayout& model, const Kernels& kernels, const SealKey& key,
                    const float* const* weights, std::byte* slot);

// What a mix came to: a MixedSegment of the control page.
struct SegmentMix {
  Outcome outcome = Outcome::kArrived;  // kArrived, kCorrupt or kRefused
  uint32_t blocks_bad = 0;
  double difference_squared = 0;  // over the blocks that were mixed
};

// What the mix of a delivered segment would come to, without a weight touched: kArrived where every
// block is good.
SegmentMix VerifySegment(const ModelLayout& model, const Kernels& kernels, const SealKey& key,
                         const std::byte* inbox);

// Mixes segment `peer_key.segment` from the inbox buffer at `inbox` into `weights`, with the own
// term from the slot at `own_slot`. A bad block keeps its own value and makes the outcome kCorrupt;
// a bad seal word (kCorrupt, all blocks bad) or a non-finite snapshot (kRefused) mixes nothing.
SegmentMix MixSegment(const ModelLayout& model, const Kernels& kernels, const SealKey& peer_key,
                      float alpha, const std::byte* inbox, const std::byte* own_slot,
                      float* const* weights);

// Writes zero to every weight of the segment.
void ClearSegment(const ModelLayout& model, size_t segment, float* const* weights);

}  // namespace weightmesh::client
