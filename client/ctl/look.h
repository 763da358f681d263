// Look: one question to the daemon and its answer as text; one thread.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "client/ctl/command_line.h"
#include "client/ctl/mesh_client.h"

namespace weightmesh::ctl {

// What `line` asks for, as a table or as JSON, ending in a newline.
absl::StatusOr<std::string> Look(const CommandLine& line, MeshClient* client);

}  // namespace weightmesh::ctl
