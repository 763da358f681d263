// AttachListener: a listening Unix stream socket at a path of which one live daemon is the owner.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/mem/file_descriptor.h"

namespace weightmesh {

class AttachListener {
 public:
  // The longest path that a socket can have.
  static constexpr size_t kPathBytesMax = 107;

  // Creates the socket, mode 0600, and the folder it lies in. A socket that a dead daemon left
  // behind is replaced. AlreadyExists when a live one answers there; InvalidArgument for a path
  // that is empty or too long; FailedPrecondition when something else is in the way;
  // PermissionDenied.
  static absl::StatusOr<std::unique_ptr<AttachListener>> Listen(const std::string& path);

  // Removes the socket, if it is still this one.
  ~AttachListener();
  AttachListener(const AttachListener&) = delete;
  AttachListener& operator=(const AttachListener&) = delete;

  // Readable when someone connects. Not blocking.
  int descriptor() const { return socket_.get(); }

  // Takes one connection, not blocking, closed on exec. Unavailable: nobody waits;
  // ResourceExhausted: descriptors ran out.
  absl::StatusOr<FileDescriptor> Accept();

 private:
  AttachListener(std::string path, FileDescriptor lock, FileDescriptor socket, struct stat own);

  const std::string path_;
  const FileDescriptor
      lock_;  // held by the owner of the path, so that two cannot replace one socket
  const FileDescriptor socket_;
  const struct stat own_;
};

// Whether `peer` may attach to a daemon of user `self`: the same user, or root. PermissionDenied
// names both, and the cure.
absl::Status CheckPeerUser(uid_t peer, uid_t self);

// The user at the other end of a connected Unix socket.
absl::StatusOr<uid_t> PeerUser(int socket);

}  // namespace weightmesh
