// What the libraries log about a stranger's bytes goes where we say, and not to standard error.
#include "daemon/control/grpc_log.h"

#include <gtest/gtest.h>

#include <string>

#include "proto/weightmesh/v1/peer.pb.h"

namespace weightmesh {
namespace {

int lines = 0;

TEST(GrpcLog, TakesWhatProtobufSaysOfABadMessage) {
  const std::string not_utf8("\x1a\x01\xff", 3);  // NodeInfo.control_address is one byte of 255
  v1::NodeInfo message;
  testing::internal::CaptureStderr();
  SetGrpcLogSink([](const char*) { ++lines; });
  const bool parsed = message.ParseFromString(not_utf8);
  SetGrpcLogSink(nullptr);
  EXPECT_FALSE(parsed);
  EXPECT_FALSE(message.ParseFromString(not_utf8));
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(lines, 1);
}

}  // namespace
}  // namespace weightmesh
