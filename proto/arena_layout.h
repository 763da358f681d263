// The layout of a replica's arena, computed alike by the daemon and the client.
//
// arena   = control page | slot 0 | slot 1 | … | inbox buffer 0 | inbox buffer 1, each 4096-aligned
// slot, inbox buffer = one SegmentPlace after another, 64-byte aligned:
//           wire data | padding to 8 | SegmentSeal word | one checksum for every block
// so that one transfer moves data and checksums together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace weightmesh {

// How weights are written into a slot. Values are part of the contract.
enum class WireFormat : uint32_t { kFp32 = 1, kBf16 = 2 };

constexpr uint64_t WireBytesPerParameter(WireFormat wire) {
  return wire == WireFormat::kBf16 ? 2 : 4;
}

// The unit of checksums, in wire bytes.
constexpr uint64_t kBlockBytes = 64 * 1024;
constexpr uint64_t kSegmentAlignment = 64;
constexpr uint64_t kRegionAlignment = 4096;

constexpr uint64_t AlignUp(uint64_t value, uint64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

// Where one segment lies inside a slot or an inbox buffer. Offsets and sizes in bytes from its
// start.
struct SegmentPlace {
  uint64_t first_parameter = 0;  // of the flattened model
  uint64_t parameters = 0;
  uint64_t offset = 0;       // of the wire data
  uint64_t data_bytes = 0;   // parameters × bytes per parameter
  uint64_t seal_offset = 0;  // of the seal word; blocks × u64 checksums follow it
  uint64_t blocks = 0;       // ceil(data_bytes / kBlockBytes)
  uint64_t total_bytes =
      0;  // of data, padding, seal and checksums: what a pull moves, from `offset`
};

// The whole arena. Offsets and sizes in bytes from its start.
struct ArenaLayout {
  uint64_t control_bytes = 0;
  uint64_t snapshot_bytes = 0;  // of one slot, and of one inbox buffer
  uint32_t slots = 0;
  uint64_t arena_bytes = 0;
  std::vector<SegmentPlace> segments;

  uint64_t SlotOffset(uint32_t slot) const { return control_bytes + slot * snapshot_bytes; }
  uint64_t InboxOffset(uint32_t buffer) const {
    return control_bytes + (slots + uint64_t{buffer}) * snapshot_bytes;
  }
};

// Bounds of `segments` slices of about equal size: bound k = floor(parameters × k / segments).
// REQUIRES: 1 <= segments <= parameters. Returns segments + 1 ascending numbers, 0 first.
inline std::vector<uint64_t> EqualSegmentBounds(uint64_t parameters, uint64_t segments) {
  std::vector<uint64_t> bounds(segments + 1);
  for (uint64_t k = 0; k <= segments; ++k) {
    bounds[k] = static_cast<uint64_t>(static_cast<unsigned __int128>(parameters) * k / segments);
  }
  return bounds;
}

// REQUIRES: `bounds` ascends strictly from 0 to the number of parameters; control_bytes is what
// control_page::ControlPageBytes says for bounds.size() - 1 segments.
inline ArenaLayout MakeArenaLayout(const std::vector<uint64_t>& bounds, WireFormat wire,
                                   uint32_t slots, uint64_t control_bytes) {
  ArenaLayout layout;
  layout.control_bytes = AlignUp(control_bytes, kRegionAlignment);
  layout.slots = slots;
  uint64_t offset = 0;
  for (size_t k = 0; k + 1 < bounds.size(); ++k) {
    SegmentPlace place;
    place.first_parameter = bounds[k];
    place.parameters = bounds[k + 1] - bounds[k];
    place.offset = offset;
    place.data_bytes = place.parameters * WireBytesPerParameter(wire);
    place.seal_offset = offset + AlignUp(place.data_bytes, 8);
    place.blocks = (place.data_bytes + kBlockBytes - 1) / kBlockBytes;
    place.total_bytes = place.seal_offset + 8 * (1 + place.blocks) - offset;
    offset = AlignUp(offset + place.total_bytes, kSegmentAlignment);
    layout.segments.push_back(place);
  }
  layout.snapshot_bytes = AlignUp(offset, kRegionAlignment);
  layout.arena_bytes = layout.control_bytes + (slots + 2) * layout.snapshot_bytes;
  return layout;
}

}  // namespace weightmesh
