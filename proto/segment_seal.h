// The seal of a segment: the word and checksums that let a reader prove what it was given.
//
// Each checksum is keyed with replica, round, segment and block number, so that a torn or misplaced
// snapshot is never self-consistent. Written by the publishing trainer, verified by the mixing one.
#pragma once

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstdint>

namespace weightmesh {

// Says whose snapshot a segment belongs to.
struct SealKey {
  uint64_t replica_high = 0;
  uint64_t replica_low = 0;
  uint64_t round = 0;
  uint64_t segment = 0;
};

// Flags in the low half of the seal word.
constexpr uint32_t kSealNonFinite = 1;  // the segment holds NaN or infinity

// Block number that keys the seal word itself.
constexpr uint64_t kSealWordBlock = ~uint64_t{0};

// Seed of the XXH3-64 of block `block` (0-based) of the segment.
inline uint64_t BlockSeed(const SealKey& key, uint64_t block) {
  const uint64_t words[5] = {key.replica_high, key.replica_low, key.round, key.segment, block};
  return XXH3_64bits(words, sizeof words);
}

// The checksum of `bytes` bytes of wire data at `data`: XXH3-64 with BlockSeed.
inline uint64_t BlockChecksum(const SealKey& key, uint64_t block, const void* data, size_t bytes) {
  return XXH3_64bits_withSeed(data, bytes, BlockSeed(key, block));
}

// The seal word: flags in the low 32 bits, their keyed hash in the high 32.
inline uint64_t MakeSealWord(const SealKey& key, uint32_t flags) {
  const uint64_t check = XXH3_64bits_withSeed(&flags, sizeof flags, BlockSeed(key, kSealWordBlock));
  return (check & 0xffffffff00000000u) | flags;
}
inline bool SealWordIsValid(const SealKey& key, uint64_t word) {
  return word == MakeSealWord(key, static_cast<uint32_t>(word));
}

}  // namespace weightmesh
