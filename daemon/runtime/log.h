// The daemon's log: a spdlog logger that writes text or JSON lines. Made on the main thread; the
// logger takes lines from any thread.
#pragma once

#include <spdlog/fwd.h>

#include <memory>

#include "absl/status/statusor.h"
#include "daemon/core/actions.h"
#include "proto/weightmesh/v1/daemon_config.pb.h"

namespace weightmesh {

// A logger as `config` (after ApplyDefaults) says: one line a message, in both formats, with
// control characters escaped, so that no message can pass for two. Info and above is flushed at
// once. An error names a file that cannot be written, and the cure.
//   text  2026-01-31T12:00:00.123Z warning what happened
//   json  {"time":"2026-01-31T12:00:00.123Z","level":"warning","message":"what happened"}
absl::StatusOr<std::shared_ptr<spdlog::logger>> MakeLogger(const v1::Log& config);

// Writes what the core wants people to know.
void WriteLog(const Log& entry, spdlog::logger* logger);

}  // namespace weightmesh
