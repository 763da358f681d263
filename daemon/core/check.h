// WEIGHTMESH_CHECK: ends the process on a broken invariant of our own; never used on input.
#pragma once

#include "absl/base/internal/raw_logging.h"

// Aborts with `message` when `condition` is false. For our own bugs only: what a peer, a trainer or
// an operator sends gets an absl::Status instead.
#define WEIGHTMESH_CHECK(condition, message) ABSL_RAW_CHECK(condition, message)
