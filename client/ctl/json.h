// Messages as JSON for programs; pure.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "google/protobuf/message.h"

namespace weightmesh::ctl {

// With the contract's field names, zeros too; ends in a newline.
absl::StatusOr<std::string> ToJson(const google::protobuf::Message& message, bool one_line);

}  // namespace weightmesh::ctl
