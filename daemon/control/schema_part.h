// SchemaPart: what one daemon tells another of a run's schema, a part at a time; plain data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/core/ids.h"
#include "daemon/core/sync_message.h"
#include "proto/attach.h"

namespace weightmesh {

// Fields as SchemaRequest of proto/weightmesh/v1/peer.proto.
struct SchemaQuery {
  NodeInfo self;
  std::string run_id;
  Digest digest;
  uint64_t first_tensor = 0;
  uint64_t first_bound = 0;
};

// Fields as SchemaPart of peer.proto.
struct SchemaPart {
  std::vector<attach::Tensor> tensors;
  std::vector<uint64_t> bounds;
  uint64_t tensors_count = 0;
  uint64_t bounds_count = 0;
};

}  // namespace weightmesh
