// From an attach request to what the core takes in. Pure, any thread.
#pragma once

#include "absl/status/statusor.h"
#include "daemon/core/events.h"
#include "daemon/core/ids.h"
#include "daemon/core/run_config.h"
#include "daemon/mem/arena.h"
#include "daemon/mem/schema.h"
#include "proto/attach.h"

namespace weightmesh {

constexpr size_t kRunIdBytesMax = 255;
constexpr size_t kReplicaNameBytesMax = 255;
constexpr absl::Duration kStartTimeoutMax = absl::Hours(24 * 7);

// The founding record of `request`; the digest of the weights is zero if they may differ.
// REQUIRES: `schema` was made from `request`.
FoundingRecord ToFoundingRecord(const attach::AttachRequest& request, const Schema& schema);

// What Arena::Create takes for this request.
ArenaSpec ToArenaSpec(const attach::AttachRequest& request, const Schema& schema);

// The core's event for `request`. InvalidArgument when names, RunConfig, start round, slots or
// timeout are out of range; the message names the field and the cure.
absl::StatusOr<AttachRequested> ToAttachRequested(AttachId attach,
                                                  const attach::AttachRequest& request,
                                                  const Schema& schema);

}  // namespace weightmesh
