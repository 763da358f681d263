// Schema: what the replicas of a run must have in common about their model. Pure, any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/core/ids.h"
#include "proto/attach.h"

namespace weightmesh {

// What a schema may hold at most. Beyond it: ResourceExhausted.
struct SchemaLimits {
  uint32_t segments_max = 4096;
  uint64_t tensors_max = 1'000'000;
  uint64_t parameters_max = uint64_t{1} << 40;
  uint32_t name_bytes_max = 1024;
  uint32_t rank_max = 64;
};

// A checked schema. Tensors are row-major, in the order in which they are flattened.
struct Schema {
  std::vector<attach::Tensor> tensors;
  std::vector<uint64_t> bounds;  // of the segments, in parameters: 0 < … < parameters
  uint64_t parameters = 0;
  Digest digest;  // XXH3-128 over tensors and bounds: equal schemas, equal digests, on any machine

  uint32_t segments() const { return static_cast<uint32_t>(bounds.size() - 1); }
};

// Checks the request's tensors and segment bounds. InvalidArgument or ResourceExhausted name the
// tensor or bound that is wrong, and the cure.
absl::StatusOr<Schema> MakeSchema(const attach::AttachRequest& request, const SchemaLimits& limits);

// Empty when equal; otherwise the first tensor or bound that differs, and how, for people:
// "tensor 3 is 'fc1.weight' [64, 128] here and 'fc1.weight' [128, 64] in the run".
std::string DescribeSchemaDifference(const Schema& here, const Schema& in_the_run);

}  // namespace weightmesh
