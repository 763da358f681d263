// PieceMap: every parameter is in exactly one piece, in order, however tensors lie to blocks.
#include "client/src/piece_map.h"

#include <gtest/gtest.h>

#include "tests/client/test_model.h"

namespace weightmesh::client {
namespace {

// Walks all pieces and checks that they are the flattened model, cut at blocks and tensors only.
void ExpectTiles(const std::vector<uint64_t>& tensor_parameters, const ArenaLayout& layout,
                 WireFormat wire) {
  const PieceMap pieces(tensor_parameters, layout, wire);
  const uint64_t block_parameters = kBlockBytes / WireBytesPerParameter(wire);
  uint32_t tensor = 0;
  uint64_t offset = 0;
  for (size_t segment = 0; segment < layout.segments.size(); ++segment) {
    const SegmentPlace& place = layout.segments[segment];
    for (uint64_t block = 0; block < place.blocks; ++block) {
      uint64_t in_block = 0;
      for (const Piece& piece : pieces.Block(segment, block)) {
        ASSERT_EQ(piece.tensor, tensor);
        ASSERT_EQ(piece.offset, offset);
        ASSERT_GE(piece.parameters, 1u);
        in_block += piece.parameters;
        offset += piece.parameters;
        ASSERT_LE(offset, tensor_parameters[tensor]);
        if (offset == tensor_parameters[tensor]) {
          ++tensor;
          offset = 0;
        }
      }
      ASSERT_EQ(in_block, std::min(block_parameters, place.parameters - block * block_parameters));
    }
  }
  EXPECT_EQ(tensor, tensor_parameters.size());
}

TEST(PieceMap, TilesTheModel) {
  for (const WireFormat wire : {WireFormat::kFp32, WireFormat::kBf16}) {
    const uint64_t block = kBlockBytes / WireBytesPerParameter(wire);
    const std::vector<std::vector<uint64_t>> models = {
        {1}, {1, 1, 1}, {block}, {block - 1, 2, block - 1}, {3 * block + 1, 5}, {1, block, block}};
    for (const std::vector<uint64_t>& sizes : models) {
      uint64_t parameters = 0;
      for (const uint64_t size : sizes) parameters += size;
      for (const uint64_t segments : {1, 2, 3, 7}) {
        if (segments > parameters) continue;
        const ArenaLayout layout =
            MakeArenaLayout(EqualSegmentBounds(parameters, segments), wire, 3, 4096);
        ExpectTiles(sizes, layout, wire);
      }
    }
  }
}

TEST(PieceMap, ManyTensorsInOneBlock) {
  const std::vector<uint64_t> sizes(1000, 3);
  const ArenaLayout layout = MakeArenaLayout({0, 1, 2999, 3000}, WireFormat::kBf16, 3, 4096);
  ExpectTiles(sizes, layout, WireFormat::kBf16);
}

TEST(PieceMap, OneParameterASegment) {
  const ArenaLayout layout =
      MakeArenaLayout(EqualSegmentBounds(40, 40), WireFormat::kFp32, 3, 4096);
  ExpectTiles({13, 27}, layout, WireFormat::kFp32);
}

}  // namespace
}  // namespace weightmesh::client
