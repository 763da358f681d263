// What gRPC itself logs, which would otherwise go to standard error; any thread.
#pragma once

namespace weightmesh {

// Takes one line of gRPC's log; called on any thread.
using GrpcLogSink = void (*)(const char* line);

// Sends gRPC's errors to `sink` from now on, or nowhere when it is null. What matters of them
// reaches people anyway, in the status of a call; so a daemon shows them as debug lines.
void SetGrpcLogSink(GrpcLogSink sink);

}  // namespace weightmesh
