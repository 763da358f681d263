// Text from outside made safe for protobuf strings, logs and terminals; pure, any thread.
#pragma once

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace weightmesh {

// `text` as UTF-8 without control characters: each wrong byte becomes '?'. Beyond `bytes_max` it is
// cut, at a whole character, and ends in "…".
std::string CleanText(absl::string_view text, size_t bytes_max);

// Whether CleanText would leave it as it is, its length apart.
bool IsCleanText(absl::string_view text);

}  // namespace weightmesh
