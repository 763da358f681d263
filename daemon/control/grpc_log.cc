// Redirects gRPC's own log.
#include "daemon/control/grpc_log.h"

#include <grpc/support/log.h>

#include <atomic>

namespace weightmesh {
namespace {

std::atomic<GrpcLogSink> log_sink = nullptr;  // gRPC's log function takes no argument of ours

void Write(gpr_log_func_args* line) {
  if (const GrpcLogSink sink = log_sink.load(); sink != nullptr) sink(line->message);
}

}  // namespace

void SetGrpcLogSink(GrpcLogSink sink) {
  log_sink = sink;
  gpr_set_log_function(Write);
}

}  // namespace weightmesh
