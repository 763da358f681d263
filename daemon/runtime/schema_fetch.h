// SchemaFetch: a run's schema from another daemon, part by part, so that a refused trainer can be
// told how its model differs. Executor's thread.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "daemon/control/schema_part.h"
#include "daemon/core/ids.h"
#include "daemon/mem/schema.h"

namespace weightmesh {

// Bytes of tensors that one part tells, by a count that is never less than protobuf's.
constexpr size_t kSchemaPartBytesMax = size_t{1} << 20;

// The part of `schema` that begins with `first_tensor`: as many tensors as fit, and after the last
// of them the bounds from `first_bound`. Never empty unless both are beyond the end.
SchemaPart SchemaPartOf(const Schema& schema, uint64_t first_tensor, uint64_t first_bound);

// Asks the daemon at `address`; `done` is called once, later, on the executor's thread.
using AskSchema =
    std::function<void(const std::string& address, SchemaQuery query, absl::Duration timeout,
                       std::function<void(absl::StatusOr<SchemaPart>)> done)>;

struct SchemaFetchOptions {
  AskSchema ask;
  std::function<absl::Time()> now;
  std::vector<std::string> addresses;  // tried in this order
  std::string run_id;
  Digest digest;
  SchemaLimits limits;
  absl::Duration timeout;  // for all of it
};

// Calls `done` once: with a schema of that digest, or the last failure (DeadlineExceeded: not all
// of it came in time).
void FetchSchema(SchemaFetchOptions options, std::function<void(absl::StatusOr<Schema>)> done);

}  // namespace weightmesh
