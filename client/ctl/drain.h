// Drain: empties a daemon and waits until that is done; one thread.
#pragma once

#include "absl/status/status.h"
#include "client/ctl/command_line.h"
#include "client/ctl/mesh_client.h"

namespace weightmesh::ctl {

// Has the daemon's replicas leave, and returns when none is on its way any more. Says on standard
// output who leaves from which round, and who has left; with line.json the DrainReply alone.
absl::Status Drain(const CommandLine& line, MeshClient* client);

}  // namespace weightmesh::ctl
