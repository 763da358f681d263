// AttachListener: a listening Unix stream socket at a path of which one live daemon is the owner.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/mem/file_descriptor.h"
#include "daemon/runtime/attach_policy.h"

namespace weightmesh {

class AttachListener {
 public:
  // The longest path that a socket can have.
  static constexpr size_t kPathBytesMax = 107;

  // Creates the socket and the folder it lies in. The socket's mode is 0600; with a `group`, 0660,
  // and it belongs to that group. A socket that a dead daemon left behind is replaced.
  // AlreadyExists when a live one answers there; InvalidArgument for a path that is empty or too
  // long; FailedPrecondition when something else is in the way; PermissionDenied.
  static absl::StatusOr<std::unique_ptr<AttachListener>> Listen(
      const std::string& path, const std::optional<AttachGroup>& group = std::nullopt);

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

}  // namespace weightmesh
