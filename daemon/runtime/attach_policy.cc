// Groups by name, and SO_PEERCRED with SO_PEERGROUPS.
#include "daemon/runtime/attach_policy.h"

#include <grp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace weightmesh {
namespace {

constexpr size_t kGroupEntryBytesMax = size_t{1} << 20;  // a group lists its members
constexpr size_t kGroupsMax = 65536;                     // the kernel's NGROUPS_MAX
// Groups of a peer that a refusal lists.
constexpr size_t kGroupsShown = 16;

std::string DescribePeer(const AttachPeer& peer) {
  std::vector<gid_t> groups = {peer.group};
  for (gid_t group : peer.groups) {
    if (group != peer.group) groups.push_back(group);
  }
  const bool more = groups.size() > kGroupsShown;
  if (more) groups.resize(kGroupsShown);
  return absl::StrCat("user ", peer.user, " (groups ", absl::StrJoin(groups, ", "),
                      more ? ", …)" : ")");
}

}  // namespace

absl::StatusOr<AttachGroup> FindAttachGroup(const std::string& name) {
  std::vector<char> buffer(1024);
  group entry{};
  group* found = nullptr;
  int error = ::getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  while (error == ERANGE && buffer.size() < kGroupEntryBytesMax) {
    buffer.resize(buffer.size() * 4);
    error = ::getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  }
  if (found != nullptr) return AttachGroup{found->gr_gid, name};
  uint32_t number = 0;
  if (absl::SimpleAtoi(name, &number)) return AttachGroup{number, name};
  return absl::NotFoundError(
      absl::StrCat("attach_group: there is no group named '", name,
                   "' on this machine; create it (groupadd), or name another, or its number"));
}

absl::StatusOr<AttachPeer> PeerOf(int socket) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot tell whose connection it is: ", std::strerror(errno)));
  }
  AttachPeer peer{credentials.uid, credentials.gid, {}};
  // The kernel says how long the list is when it does not fit. A kernel that knows no such option
  // leaves the peer its first group.
  size = 0;
  while (::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, peer.groups.data(), &size) != 0) {
    const size_t count = size / sizeof(gid_t);
    if (errno != ERANGE || count <= peer.groups.size() || count > kGroupsMax) {
      size = 0;
      break;
    }
    peer.groups.resize(count);
  }
  peer.groups.resize(size / sizeof(gid_t));
  return peer;
}

absl::Status CheckPeer(const AttachPeer& peer, uid_t self,
                       const std::optional<AttachGroup>& group) {
  if (peer.user == self || peer.user == 0) return absl::OkStatus();
  if (!group.has_value()) {
    return absl::PermissionDeniedError(
        absl::StrCat(DescribePeer(peer), " may not attach to this daemon of user ", self,
                     "; run trainer and daemon as the same user, or set attach_group of the daemon "
                     "to a group of the trainer's user"));
  }
  const bool member = peer.group == group->id || std::find(peer.groups.begin(), peer.groups.end(),
                                                           group->id) != peer.groups.end();
  if (member) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat(
      DescribePeer(peer), " may not attach to this daemon of user ", self, ": its attach_group is ",
      group->name, " (", group->id,
      "); add the user to that group and start the trainer anew, or run it as the daemon's user"));
}

}  // namespace weightmesh
