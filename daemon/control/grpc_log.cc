// Redirects the libraries' own logs.
#include "daemon/control/grpc_log.h"

#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>

#include <atomic>
#include <string>

namespace weightmesh {
namespace {

std::atomic<GrpcLogSink> log_sink = nullptr;  // their log functions take no argument of ours

void Write(gpr_log_func_args* line) {
  if (const GrpcLogSink sink = log_sink.load(); sink != nullptr) sink(line->message);
}

void WriteProtobuf(google::protobuf::LogLevel, const char*, int, const std::string& line) {
  if (const GrpcLogSink sink = log_sink.load(); sink != nullptr) sink(line.c_str());
}

}  // namespace

void SetGrpcLogSink(GrpcLogSink sink) {
  log_sink = sink;
  gpr_set_log_function(Write);
  google::protobuf::SetLogHandler(WriteProtobuf);
}

}  // namespace weightmesh
