// The state directory: files node_id and lock.
#include "daemon/runtime/state.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "daemon/runtime/random.h"

namespace weightmesh {
namespace {

constexpr size_t kNodeIdFileBytesMax = 256;

absl::Status Failed(absl::string_view what, const std::string& path) {
  const bool full = errno == ENOSPC || errno == EDQUOT;
  const absl::Status status = absl::ErrnoToStatus(errno, absl::StrCat(what, " ", path));
  return absl::Status(status.code(),
                      absl::StrCat(status.message(), full ? "; free some space there, or" : ";",
                                   " give another state directory with --state-directory"));
}

// Takes the lock file. Its content is for people only; flock decides.
absl::StatusOr<FileDescriptor> Lock(const std::string& folder) {
  const std::string path = folder + "/lock";
  FileDescriptor file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!file.valid()) return Failed("cannot create", path);
  if (flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return Failed("cannot lock", path);
    char owner[32] = {};
    const ssize_t size = pread(file.get(), owner, sizeof(owner) - 1, 0);
    const absl::string_view text(owner, size > 0 ? static_cast<size_t>(size) : 0);
    return absl::FailedPreconditionError(absl::StrCat(
        "the state directory ", folder, " belongs to a running daemon (process ",
        absl::StripAsciiWhitespace(text), "); give this one its own with --state-directory"));
  }
  const std::string pid = absl::StrCat(getpid(), "\n");
  if (ftruncate(file.get(), 0) != 0 || pwrite(file.get(), pid.data(), pid.size(), 0) < 0) {
    return Failed("cannot write", path);
  }
  return file;
}

absl::StatusOr<NodeId> ReadNodeId(const std::string& path) {
  const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return Failed("cannot read", path);
  char bytes[kNodeIdFileBytesMax];
  const ssize_t size = read(file.get(), bytes, sizeof(bytes));
  if (size < 0) return Failed("cannot read", path);
  const absl::StatusOr<NodeId> id =
      ParseNodeId(absl::StripAsciiWhitespace(absl::string_view(bytes, static_cast<size_t>(size))));
  if (id.ok() && !id->IsZero()) return *id;
  return absl::FailedPreconditionError(
      absl::StrCat(path,
                   " is damaged: it must hold 32 hexadecimal digits, not all zero; restore "
                   "it, or delete it to give this daemon a new identity"));
}

// All or nothing, also when the machine loses power: a new file is renamed into place once its
// content is on the disk.
absl::Status WriteNodeId(const std::string& folder, NodeId id) {
  const std::string path = folder + "/node_id";
  const std::string draft = path + ".new";
  const std::string text = id.ToString() + "\n";
  {
    const FileDescriptor file(open(draft.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!file.valid()) return Failed("cannot create", draft);
    const ssize_t written = write(file.get(), text.data(), text.size());
    if (written >= 0 && static_cast<size_t>(written) != text.size()) errno = ENOSPC;
    if (written != static_cast<ssize_t>(text.size()) || fsync(file.get()) != 0) {
      return Failed("cannot write", draft);
    }
  }
  if (rename(draft.c_str(), path.c_str()) != 0) return Failed("cannot write", path);
  const FileDescriptor directory(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid() || fsync(directory.get()) != 0) return Failed("cannot sync", folder);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<StateDirectory>> StateDirectory::Open(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return Failed("cannot create the state directory", path);
  }
  absl::StatusOr<FileDescriptor> lock = Lock(path);
  if (!lock.ok()) return lock.status();
  absl::StatusOr<NodeId> id = ReadNodeId(path + "/node_id");
  const bool is_new = absl::IsNotFound(id.status());
  if (is_new) {
    id = NodeId{RandomBits(), RandomBits()};
    if (absl::Status status = WriteNodeId(path, *id); !status.ok()) return status;
  }
  if (!id.ok()) return id.status();
  return std::unique_ptr<StateDirectory>(new StateDirectory(*std::move(lock), *id, is_new));
}

}  // namespace weightmesh
