// Keyed hashes over XXH3.
#include "daemon/core/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace weightmesh {

uint64_t Hash64(absl::string_view bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

uint64_t Hash64(absl::Span<const uint64_t> words) {
  return XXH3_64bits(words.data(), words.size() * sizeof(uint64_t));
}

Digest Hash128(absl::string_view bytes) {
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return Digest{hash.high64, hash.low64};
}

uint64_t CounterRng::Below(uint64_t bound) {
  // D. Lemire, "Fast random integer generation in an interval", ACM TOMACS 29(1), 2019.
  const uint64_t threshold = (0 - bound) % bound;
  while (true) {
    const auto product = static_cast<unsigned __int128>(Next()) * bound;
    if (static_cast<uint64_t>(product) >= threshold) return static_cast<uint64_t>(product >> 64);
  }
}

}  // namespace weightmesh
