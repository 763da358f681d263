// The files node_id and lock of the state directory.
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
#include "daemon/runtime/durable_file.h"
#include "daemon/runtime/random.h"

namespace weightmesh {
namespace {

constexpr size_t kNodeIdFileBytesMax = 256;

// Takes the lock file. Its content is for people only; flock decides.
absl::StatusOr<FileDescriptor> Lock(const std::string& folder) {
  const std::string path = folder + "/lock";
  FileDescriptor file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!file.valid()) return FileError("cannot create", path);
  if (flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return FileError("cannot lock", path);
    char owner[32] = {};
    const ssize_t size = pread(file.get(), owner, sizeof(owner) - 1, 0);
    const absl::string_view text(owner, size > 0 ? static_cast<size_t>(size) : 0);
    return absl::FailedPreconditionError(absl::StrCat(
        "the state directory ", folder, " belongs to a running daemon (process ",
        absl::StripAsciiWhitespace(text), "); give this one its own with --state-directory"));
  }
  const std::string pid = absl::StrCat(getpid(), "\n");
  if (ftruncate(file.get(), 0) != 0 || pwrite(file.get(), pid.data(), pid.size(), 0) < 0) {
    return FileError("cannot write", path);
  }
  return file;
}

absl::StatusOr<NodeId> ReadNodeId(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadSmallFile(path, kNodeIdFileBytesMax);
  if (!text.ok() && !absl::IsOutOfRange(text.status())) return text.status();
  const absl::StatusOr<NodeId> id =
      text.ok() ? ParseNodeId(absl::StripAsciiWhitespace(*text)) : text.status();
  if (id.ok() && !id->IsZero()) return *id;
  return absl::FailedPreconditionError(
      absl::StrCat(path,
                   " is damaged: it must hold 32 hexadecimal digits, not all zero; restore "
                   "it, or delete it to give this daemon a new identity"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<StateDirectory>> StateDirectory::Open(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return FileError("cannot create the state directory", path);
  }
  absl::StatusOr<FileDescriptor> lock = Lock(path);
  if (!lock.ok()) return lock.status();
  absl::StatusOr<NodeId> id = ReadNodeId(path + "/node_id");
  const bool is_new = absl::IsNotFound(id.status());
  if (is_new) {
    id = NodeId{RandomBits(), RandomBits()};
    if (absl::Status status = ReplaceFile(path, "node_id", id->ToString() + "\n"); !status.ok())
      return status;
  }
  if (!id.ok()) return id.status();
  return std::unique_ptr<StateDirectory>(new StateDirectory(path, *std::move(lock), *id, is_new));
}

}  // namespace weightmesh
