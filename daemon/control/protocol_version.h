// The version of PeerService; pure, any thread.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace weightmesh {

// SyncMessage.protocol_version and its like in proto/weightmesh/v1/peer.proto.
constexpr uint32_t kPeerProtocolVersion = 3;

// FailedPrecondition, naming both versions and the cure, when `theirs` is not ours. `sender` names
// the other daemon and its release for people.
absl::Status CheckPeerProtocolVersion(uint32_t theirs, absl::string_view sender);

}  // namespace weightmesh
