// The transport that the configuration names; called once, on the main thread.
#pragma once

#include "absl/status/statusor.h"
#include "daemon/runtime/data_plane.h"
#include "proto/weightmesh/v1/daemon_config.pb.h"

namespace weightmesh {

// `config` went through ValidateConfig. Errors name the setting and the cure.
absl::StatusOr<RemoteTransport> MakeRemoteTransport(const v1::DaemonConfig& config);

}  // namespace weightmesh
