// Write, sync, rename, sync the folder.
#include "daemon/runtime/durable_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "daemon/mem/file_descriptor.h"

namespace weightmesh {

absl::Status FileError(absl::string_view what, const std::string& path) {
  const bool full = errno == ENOSPC || errno == EDQUOT;
  const absl::Status status = absl::ErrnoToStatus(errno, absl::StrCat(what, " ", path));
  return absl::Status(status.code(),
                      absl::StrCat(status.message(), full ? "; free some space there, or" : ";",
                                   " give another state directory with --state-directory"));
}

absl::Status ReplaceFile(const std::string& folder, const std::string& name,
                         absl::string_view text) {
  const std::string path = folder + "/" + name;
  const std::string draft = path + ".new";
  {
    const FileDescriptor file(open(draft.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!file.valid()) return FileError("cannot create", draft);
    const ssize_t written = write(file.get(), text.data(), text.size());
    if (written >= 0 && static_cast<size_t>(written) != text.size()) errno = ENOSPC;
    if (written != static_cast<ssize_t>(text.size()) || fsync(file.get()) != 0) {
      return FileError("cannot write", draft);
    }
  }
  if (rename(draft.c_str(), path.c_str()) != 0) return FileError("cannot write", path);
  const FileDescriptor directory(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid() || fsync(directory.get()) != 0) return FileError("cannot sync", folder);
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadSmallFile(const std::string& path, size_t bytes_max) {
  // Not to wait for the other end of a pipe that somebody has put there.
  const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.valid()) return FileError("cannot read", path);
  std::string text(bytes_max + 1, '\0');
  size_t size = 0;
  while (size < text.size()) {
    const ssize_t more = read(file.get(), text.data() + size, text.size() - size);
    if (more < 0) return FileError("cannot read", path);
    if (more == 0) break;
    size += static_cast<size_t>(more);
  }
  if (size > bytes_max) {
    return absl::OutOfRangeError(absl::StrCat(path, " has more than ", bytes_max, " bytes"));
  }
  text.resize(size);
  return text;
}

}  // namespace weightmesh
