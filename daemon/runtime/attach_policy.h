// Attach policy: who may attach to this daemon: its own user, root, and the members of one group.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace weightmesh {

// A group whose members may attach.
struct AttachGroup {
  gid_t id = 0;
  std::string name;  // as it was configured
};

// Who is at the other end of a Unix socket, as the kernel says.
struct AttachPeer {
  uid_t user = 0;
  gid_t group = 0;
  std::vector<gid_t> groups;  // supplementary ones
};

// The group of that name or number. NotFound names it and the cure. May ask the network (NSS).
absl::StatusOr<AttachGroup> FindAttachGroup(const std::string& name);

// Who connected: credentials at the time of connect().
absl::StatusOr<AttachPeer> PeerOf(int socket);

// Whether `peer` may attach to a daemon of user `self`. PermissionDenied names its user and groups,
// the group that may, and the cure.
absl::Status CheckPeer(const AttachPeer& peer, uid_t self, const std::optional<AttachGroup>& group);

}  // namespace weightmesh
