// Xxh3: XXH3-64 compiled for one CPU target; each of its files is one build of it.
//
// A block's checksum is half of what its verification costs; the wider builds are up to twice as
// fast in cache, with equal results.
#pragma once

#include <cstddef>
#include <cstdint>

namespace weightmesh::client {

// XXH3-64 of `bytes` bytes at `data`, seeded.
uint64_t Xxh3Avx2(const void* data, size_t bytes, uint64_t seed);
uint64_t Xxh3Avx512(const void* data, size_t bytes, uint64_t seed);

}  // namespace weightmesh::client
