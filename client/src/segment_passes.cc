// The publish pass and the mix pass of segment_passes.h.
#include "client/src/segment_passes.h"

#include <algorithm>
#include <cstring>

namespace weightmesh::client {
namespace {

uint64_t LoadWord(const std::byte* from) {
  uint64_t word;
  std::memcpy(&word, from, sizeof word);
  return word;
}

void StoreWord(std::byte* to, uint64_t word) { std::memcpy(to, &word, sizeof word); }

uint64_t BlockDataBytes(const SegmentPlace& place, uint64_t block) {
  return std::min(kBlockBytes, place.data_bytes - block * kBlockBytes);
}

// A delivered segment: kArrived as far as its seal says, before any block was looked at.
SegmentMix CheckSeal(const SegmentPlace& place, const SealKey& key, const std::byte* inbox) {
  const uint64_t seal_word = LoadWord(inbox + place.seal_offset);
  SegmentMix result;
  if (!SealWordIsValid(key, seal_word)) {
    result.outcome = Outcome::kCorrupt;
    result.blocks_bad = static_cast<uint32_t>(place.blocks);
  } else if ((seal_word & kSealNonFinite) != 0) {
    result.outcome = Outcome::kRefused;
  }
  return result;
}

bool BlockIsGood(const SegmentPlace& place, const Kernels& kernels, const SealKey& key,
                 const std::byte* inbox, uint64_t block) {
  const std::byte* const data = inbox + place.offset + block * kBlockBytes;
  return kernels.checksum(data, BlockDataBytes(place, block), BlockSeed(key, block)) ==
         LoadWord(inbox + place.seal_offset + 8 * (1 + block));
}

}  // namespace

void PublishSegment(const ModelLayout& model, const Kernels& kernels, const SealKey& key,
                    const float* const* weights, std::byte* slot) {
  const SegmentPlace& place = model.arena.segments[key.segment];
  const uint64_t parameter_bytes = WireBytesPerParameter(model.wire);
  std::byte* const seal = slot + place.seal_offset;
  bool finite = true;
  for (uint64_t block = 0; block < place.blocks; ++block) {
    std::byte* const data = slot + place.offset + block * kBlockBytes;
    std::byte* next = data;
    for (const Piece& piece : model.pieces.Block(key.segment, block)) {
      const float* from = weights[piece.tensor] + piece.offset;
      finite &= kernels.encode(model.wire, from, piece.parameters, next);
      next += piece.parameters * parameter_bytes;
    }
    StoreWord(seal + 8 * (1 + block),
              kernels.checksum(data, BlockDataBytes(place, block), BlockSeed(key, block)));
  }
  StoreWord(seal, MakeSealWord(key, finite ? 0 : kSealNonFinite));
}

void ClearSegment(const ModelLayout& model, size_t segment, float* const* weights) {
  for (uint64_t block = 0; block < model.arena.segments[segment].blocks; ++block) {
    for (const Piece& piece : model.pieces.Block(segment, block)) {
      std::fill_n(weights[piece.tensor] + piece.offset, piece.parameters, 0.0f);
    }
  }
}

SegmentMix VerifySegment(const ModelLayout& model, const Kernels& kernels, const SealKey& key,
                         const std::byte* inbox) {
  const SegmentPlace& place = model.arena.segments[key.segment];
  SegmentMix result = CheckSeal(place, key, inbox);
  for (uint64_t block = 0; result.outcome == Outcome::kArrived && block < place.blocks; ++block) {
    result.blocks_bad += !BlockIsGood(place, kernels, key, inbox, block);
  }
  if (result.blocks_bad > 0) result.outcome = Outcome::kCorrupt;
  return result;
}

SegmentMix MixSegment(const ModelLayout& model, const Kernels& kernels, const SealKey& peer_key,
                      float alpha, const std::byte* inbox, const std::byte* own_slot,
                      float* const* weights) {
  const SegmentPlace& place = model.arena.segments[peer_key.segment];
  const uint64_t parameter_bytes = WireBytesPerParameter(model.wire);
  SegmentMix result = CheckSeal(place, peer_key, inbox);
  if (result.outcome != Outcome::kArrived) return result;
  DifferenceLanes lanes;
  for (uint64_t block = 0; block < place.blocks; ++block) {
    const uint64_t block_offset = place.offset + block * kBlockBytes;
    const std::byte* const peer = inbox + block_offset;
    if (!BlockIsGood(place, kernels, peer_key, inbox, block)) {
      result.outcome = Outcome::kCorrupt;
      ++result.blocks_bad;
      continue;
    }
    uint64_t done = 0;
    for (const Piece& piece : model.pieces.Block(peer_key.segment, block)) {
      const MixRun run = {weights[piece.tensor] + piece.offset,
                          own_slot + block_offset + done * parameter_bytes,
                          peer + done * parameter_bytes, piece.parameters,
                          block * (kBlockBytes / parameter_bytes) + done};
      kernels.mix(model.wire, run, alpha, &lanes);
      done += piece.parameters;
    }
  }
  result.difference_squared = lanes.Total();
  return result;
}

}  // namespace weightmesh::client
