// The guard against unencrypted control traffic beyond this machine; pure, any thread.
#pragma once

#include "absl/status/status.h"
#include "proto/weightmesh/v1/daemon_config.pb.h"

namespace weightmesh {

// InvalidArgument, naming the field and the cure, when config.listen_address is not loopback and
// config.insecure_plaintext is false, or when listen_address is not an address.
absl::Status CheckPlaintext(const v1::DaemonConfig& config);

}  // namespace weightmesh
