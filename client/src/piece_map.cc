// Builds the PieceMap: one walk over tensors and blocks together.
#include "client/src/piece_map.h"

#include <algorithm>
#include <cassert>

namespace weightmesh::client {

PieceMap::PieceMap(const std::vector<uint64_t>& tensor_parameters, const ArenaLayout& layout,
                   WireFormat wire) {
  const uint64_t block_parameters = kBlockBytes / WireBytesPerParameter(wire);
  uint32_t tensor = 0;
  uint64_t offset = 0;
  for (const SegmentPlace& place : layout.segments) {
    first_block_.push_back(first_piece_.size());
    uint64_t segment_left = place.parameters;
    for (uint64_t block = 0; block < place.blocks; ++block) {
      first_piece_.push_back(pieces_.size());
      uint64_t block_left = std::min(block_parameters, segment_left);
      segment_left -= block_left;
      while (block_left > 0) {
        assert(tensor < tensor_parameters.size());
        const uint64_t taken = std::min(block_left, tensor_parameters[tensor] - offset);
        pieces_.push_back({tensor, static_cast<uint32_t>(taken), offset});
        offset += taken;
        block_left -= taken;
        if (offset == tensor_parameters[tensor]) {
          ++tensor;
          offset = 0;
        }
      }
    }
  }
  first_piece_.push_back(pieces_.size());
  assert(tensor == tensor_parameters.size());
}

}  // namespace weightmesh::client
