// Watch: answers that follow each other: streams of events, or questions asked again; one thread.
#pragma once

#include "client/ctl/command_line.h"
#include "client/ctl/interrupt.h"
#include "client/ctl/mesh_client.h"

namespace weightmesh::ctl {

// Prints what `line` asks for again and again, until line.looks_max or Ctrl-C; the process's exit
// code. Redraws on a terminal; elsewhere answers follow each other, tables with an empty line
// between, JSON one line each. Once the daemon has answered, its absence is said once and waited
// out; every try counts as a look.
int Watch(const CommandLine& line, MeshClient* client, Interrupt* interrupt);

}  // namespace weightmesh::ctl
