// Reads a DaemonConfig from a file, textproto or JSON, and says where it is wrong. Any thread.
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proto/weightmesh/v1/daemon_config.pb.h"

namespace weightmesh {

// Largest configuration file that is read, in bytes.
constexpr size_t kConfigFileBytesMax = size_t{1} << 20;

// Reads and parses `path`: JSON if it ends in .json, textproto if in .textproto or .txtpb;
// otherwise JSON if its first character is "{". Neither defaults nor ranges are applied. NotFound,
// PermissionDenied or InvalidArgument names the file, the place (textproto: line:column; JSON: the
// field's path) and the cure.
absl::StatusOr<v1::DaemonConfig> LoadConfig(const std::string& path);

// The same for text in memory; `name` stands for the file in errors and chooses the format.
absl::StatusOr<v1::DaemonConfig> ParseConfig(absl::string_view name, const std::string& text);

// Where `field` ("limits.runs_max", "seeds[1]") stands in the file: "FILE:LINE:COLUMN" for
// textproto, "FILE" for JSON; empty if it is not there or the file cannot be read.
std::string PlaceOfField(const std::string& path, absl::string_view field);

}  // namespace weightmesh
