// Loops that do nothing but read and write, in the manner of STREAM: what memory gives.
#pragma once

#include <cstddef>
#include <cstdint>

namespace weightmesh::bench {

// One read, one write.
void StreamCopy(const float* from, size_t count, float* to);
void StreamNarrow(const float* from, size_t count, uint16_t* to);

// Three reads, one write: to[i] += a[i] - b[i], halved.
void StreamMix(const float* a, const float* b, size_t count, float* to);
void StreamMix16(const uint16_t* a, const uint16_t* b, size_t count, float* to);

}  // namespace weightmesh::bench
