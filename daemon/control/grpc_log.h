// What gRPC and Protocol Buffers themselves log, which would otherwise go to standard error (a line
// for every message of a peer that is none); any thread.
#pragma once

namespace weightmesh {

// Takes one line of their logs; called on any thread.
using GrpcLogSink = void (*)(const char* line);

// Sends their errors to `sink` from now on, or nowhere when it is null. What matters of them
// reaches people anyway, in the status of a call; so a daemon shows them as debug lines.
void SetGrpcLogSink(GrpcLogSink sink);

}  // namespace weightmesh
