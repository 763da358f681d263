// PieceMap: which pieces of which tensors make up each block of each segment. Pure; immutable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "proto/arena_layout.h"

namespace weightmesh::client {

// A run of parameters of one tensor inside one block.
struct Piece {
  uint32_t tensor = 0;
  uint32_t parameters = 0;  // >= 1; a block has at most 32,768
  uint64_t offset = 0;      // of the first, in parameters from the tensor's start
};

// Built once at attach: looking up a block allocates nothing.
class PieceMap {
 public:
  PieceMap() = default;
  // `tensor_parameters[i]` >= 1 is the size of tensor i; their sum is that of `layout`'s segments.
  PieceMap(const std::vector<uint64_t>& tensor_parameters, const ArenaLayout& layout,
           WireFormat wire);

  // The pieces of block `block` of segment `segment`, in the order of the flattened model.
  std::span<const Piece> Block(size_t segment, uint64_t block) const {
    const size_t index = first_block_[segment] + block;
    return {pieces_.data() + first_piece_[index], first_piece_[index + 1] - first_piece_[index]};
  }

 private:
  std::vector<Piece> pieces_;
  std::vector<size_t> first_block_;  // of each segment
  std::vector<size_t> first_piece_;  // of each block, and the end
};

}  // namespace weightmesh::client
