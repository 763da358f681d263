// Ownership of a socket path: lock, takeover of what a dead daemon left, bind.
#include "daemon/runtime/attach_listener.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"

namespace weightmesh {
namespace {

constexpr int kBacklog = 128;

// `what` failed at `path` with `error`.
absl::Status Failure(absl::string_view what, const std::string& path, int error) {
  const std::string text = absl::StrCat(what, " ", path, ": ", std::strerror(error));
  switch (error) {
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::PermissionDeniedError(absl::StrCat(
          text,
          "; give attach_socket a folder that this user may write, or set RuntimeDirectory="));
    case EMFILE:
    case ENFILE:
      return absl::ResourceExhaustedError(
          absl::StrCat(text, "; raise the limit of open files (ulimit -n, LimitNOFILE=)"));
    default:
      return absl::FailedPreconditionError(absl::StrCat(text, "; give attach_socket another path"));
  }
}

absl::Status InUse(const std::string& path) {
  return absl::AlreadyExistsError(
      absl::StrCat("another daemon listens at ", path,
                   "; stop it, or give attach_socket of this one another path"));
}

sockaddr_un AddressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());  // of checked length; NUL follows
  return address;
}

FileDescriptor NewSocket() {
  return FileDescriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

absl::Status CreateFolder(const std::string& path) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (folder.empty()) return absl::OkStatus();
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return Failure("cannot create the folder", folder.string(), error.value());
  return absl::OkStatus();
}

absl::StatusOr<FileDescriptor> LockPath(const std::string& path) {
  const std::string lock_path = path + ".lock";
  FileDescriptor lock(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock.valid()) return Failure("cannot open", lock_path, errno);
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return errno == EWOULDBLOCK ? InUse(path) : Failure("cannot lock", lock_path, errno);
  }
  return lock;
}

// Removes a socket at which nobody listens. REQUIRES: the path is locked.
absl::Status RemoveStale(const std::string& path) {
  struct stat found {};
  if (::lstat(path.c_str(), &found) != 0) {
    return errno == ENOENT ? absl::OkStatus() : Failure("cannot look at", path, errno);
  }
  if (!S_ISSOCK(found.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, " exists and is no socket; remove it, or give attach_socket another path"));
  }
  const FileDescriptor probe = NewSocket();
  if (!probe.valid()) return Failure("cannot create a socket for", path, errno);
  const sockaddr_un address = AddressOf(path);
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ||
      errno == EAGAIN) {  // EAGAIN: someone listens, and others wait in line
    return InUse(path);
  }
  if (errno != ECONNREFUSED) return Failure("cannot connect to", path, errno);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return Failure("cannot remove", path, errno);
  return absl::OkStatus();
}

// The group first, so that no other group ever has the wider mode.
absl::Status GiveToGroup(const std::string& path, const AttachGroup& group) {
  if (::lchown(path.c_str(), static_cast<uid_t>(-1), group.id) != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat("cannot give ", path, " to attach_group ", group.name, " (", group.id,
                     "): ", std::strerror(errno),
                     "; add the daemon's user to that group, or name a group that it is in"));
  }
  if (::chmod(path.c_str(), 0660) != 0) return Failure("cannot set the mode of", path, errno);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<AttachListener>> AttachListener::Listen(
    const std::string& path, const std::optional<AttachGroup>& group) {
  if (path.empty() || path.size() > kPathBytesMax || path.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("attach_socket has ", path.size(), " bytes: '", path,
                     "'; a Unix socket's path has between 1 and ", kPathBytesMax));
  }
  if (absl::Status folder = CreateFolder(path); !folder.ok()) return folder;
  absl::StatusOr<FileDescriptor> lock = LockPath(path);
  if (!lock.ok()) return lock.status();
  if (absl::Status stale = RemoveStale(path); !stale.ok()) return stale;

  FileDescriptor socket = NewSocket();
  if (!socket.valid()) return Failure("cannot create a socket for", path, errno);
  // Before bind, so that the file never has a wider mode.
  if (::fchmod(socket.get(), 0600) != 0) return Failure("cannot set the mode of", path, errno);
  const sockaddr_un address = AddressOf(path);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return Failure("cannot bind", path, errno);
  }
  if (group.has_value()) {
    if (absl::Status given = GiveToGroup(path, *group); !given.ok()) {
      ::unlink(path.c_str());
      return given;
    }
  }
  struct stat own {};
  if (::lstat(path.c_str(), &own) != 0) return Failure("cannot look at", path, errno);
  if (::listen(socket.get(), kBacklog) != 0) return Failure("cannot listen at", path, errno);
  return std::unique_ptr<AttachListener>(
      new AttachListener(path, *std::move(lock), std::move(socket), own));
}

AttachListener::AttachListener(std::string path, FileDescriptor lock, FileDescriptor socket,
                               struct stat own)
    : path_(std::move(path)), lock_(std::move(lock)), socket_(std::move(socket)), own_(own) {}

AttachListener::~AttachListener() {
  struct stat found {};
  if (::lstat(path_.c_str(), &found) == 0 && found.st_dev == own_.st_dev &&
      found.st_ino == own_.st_ino) {
    ::unlink(path_.c_str());
  }
}

absl::StatusOr<FileDescriptor> AttachListener::Accept() {
  while (true) {
    FileDescriptor accepted(
        ::accept4(socket_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (accepted.valid()) return accepted;
    switch (errno) {
      case EINTR:
      case ECONNABORTED:
        continue;
      case EAGAIN:
        return absl::UnavailableError("nobody waits");
      default:
        return absl::ResourceExhaustedError(
            absl::StrCat("cannot accept a trainer: ", std::strerror(errno),
                         "; raise the limit of open files (ulimit -n, LimitNOFILE=)"));
    }
  }
}

}  // namespace weightmesh
