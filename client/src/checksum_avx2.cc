// Compiled for AVX2 as a whole: nothing but XXH3, all of it internal, may be included here.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "client/src/checksum.h"

namespace weightmesh::client {

uint64_t Xxh3Avx2(const void* data, size_t bytes, uint64_t seed) {
  return XXH3_64bits_withSeed(data, bytes, seed);
}

}  // namespace weightmesh::client
