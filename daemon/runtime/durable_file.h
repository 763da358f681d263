// Small files that are replaced as a whole: what a daemon keeps on disk. Any thread; blocks on the
// disk.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace weightmesh {

// `text` becomes the content of `folder`/`name` (mode 0600), or, also when the machine loses power,
// that stays what it was: a new file takes its place once its content is on the disk. Errors name
// the file and the cure, with the code of the operating system's error.
absl::Status ReplaceFile(const std::string& folder, const std::string& name,
                         absl::string_view text);

// The content of a regular file. OutOfRange: more than `bytes_max`; otherwise as the operating
// system says.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path, size_t bytes_max);

// The operating system's last error at a file of a state directory, and the cure.
absl::Status FileError(absl::string_view what, const std::string& path);

}  // namespace weightmesh
