// The server: its port, health, reflection, and an end that comes in every case.
#include "daemon/control/server.h"

#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/control/address.h"
#include "daemon/control/channel.h"
#include "daemon/control/grpc_log.h"
#include "google/protobuf/io/coded_stream.h"
#include "proto/weightmesh/v1/mesh.grpc.pb.h"
#include "tests/control/fake_mesh.h"

namespace weightmesh {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int kAnswerBytesMax = 1 << 20;

std::chrono::system_clock::time_point Deadline() {
  return std::chrono::system_clock::now() + std::chrono::seconds(20);
}

grpc::ByteBuffer Bytes(const std::string& bytes) {
  grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

std::string Text(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(buffer.Dump(&slices).ok());
  std::string text;
  for (const grpc::Slice& slice : slices) {
    text.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return text;
}

// A field of wire type 2: number << 3 | 2, length, bytes. REQUIRES: fewer than 128 bytes.
std::string BytesField(int number, const std::string& bytes) {
  return std::string{static_cast<char>(number << 3 | 2), static_cast<char>(bytes.size())} + bytes;
}

// grpc.health.v1.Health/Check of `service`: "SERVING", "NOT_SERVING", or the error. Debian has no
// generated code for it, so the two messages are written by hand.
std::string Health(const std::string& address, const std::string& service) {
  grpc::GenericStub stub(OpenChannel(address, kAnswerBytesMax));
  grpc::ClientContext context;
  context.set_deadline(Deadline());
  grpc::CompletionQueue queue;
  auto call = stub.PrepareUnaryCall(&context, "/grpc.health.v1.Health/Check",
                                    Bytes(service.empty() ? "" : BytesField(1, service)), &queue);
  grpc::ByteBuffer answer;
  grpc::Status status;
  call->StartCall();
  call->Finish(&answer, &status, nullptr);
  void* tag;
  bool ok;
  queue.Next(&tag, &ok);
  if (!status.ok()) return status.error_message();
  const std::string text = Text(answer);  // field 1, varint: 1 SERVING, 2 NOT_SERVING
  return text == "\x08\x01" ? "SERVING" : text == "\x08\x02" ? "NOT_SERVING" : "UNKNOWN";
}

// The raw answer of the reflection service to list_services (field 7 of the request).
std::string ReflectedServices(const std::string& address) {
  grpc::GenericStub stub(OpenChannel(address, kAnswerBytesMax));
  grpc::ClientContext context;
  context.set_deadline(Deadline());
  grpc::CompletionQueue queue;
  void* tag;
  bool ok;
  auto call = stub.PrepareCall(
      &context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &queue);
  call->StartCall(nullptr);
  queue.Next(&tag, &ok);
  call->WriteLast(Bytes(BytesField(7, "*")), grpc::WriteOptions(), nullptr);
  queue.Next(&tag, &ok);
  grpc::ByteBuffer answer;
  call->Read(&answer, nullptr);
  queue.Next(&tag, &ok);
  const std::string text = ok ? Text(answer) : "";
  grpc::Status status;
  call->Finish(&status, nullptr);
  queue.Next(&tag, &ok);
  return text;
}

class Server : public ::testing::Test {
 protected:
  void Start(MeshSource* source) {
    auto server = ControlServer::Start("127.0.0.1:0", source, &handler_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  testing::FakeMeshSource source_;
  testing::FakePeerHandler handler_;
  std::unique_ptr<ControlServer> server_;
};

TEST_F(Server, ReportsThePortThatItTook) {
  Start(&source_);
  const absl::StatusOr<HostPort> address = ParseHostPort(server_->address());
  ASSERT_TRUE(address.ok()) << address.status();
  EXPECT_EQ(address->host, "127.0.0.1");
  EXPECT_NE(address->port, 0);
}

std::string last_grpc_line;  // the failing server is started on this thread

TEST_F(Server, RefusesAPortInUseByName) {
  SetGrpcLogSink([](const char* line) { last_grpc_line = line; });
  Start(&source_);
  const auto second = ControlServer::Start(server_->address(), &source_, &handler_);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()),
              AllOf(HasSubstr(server_->address()), HasSubstr("the port is in use")));
  EXPECT_THAT(last_grpc_line, HasSubstr("Address already in use"));
  SetGrpcLogSink(nullptr);
}

TEST_F(Server, RefusesAddressesOfOthers) {
  const auto foreign = ControlServer::Start("192.0.2.1:0", &source_, &handler_);
  ASSERT_FALSE(foreign.ok());
  EXPECT_THAT(std::string(foreign.status().message()),
              AllOf(HasSubstr("192.0.2.1:0"), HasSubstr("not an address of this machine")));
  const auto wrong = ControlServer::Start("nowhere", &source_, &handler_);
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(Server, HealthFollowsReadiness) {
  Start(&source_);
  const std::vector<std::string> services = {"", "weightmesh.v1.MeshService",
                                             "weightmesh.v1.PeerService"};
  for (const std::string& service : services) {
    EXPECT_EQ(Health(server_->address(), service), "NOT_SERVING") << service;
  }
  server_->SetServing(true);
  for (const std::string& service : services) {
    EXPECT_EQ(Health(server_->address(), service), "SERVING") << service;
  }
}

TEST_F(Server, ReflectionListsTheServices) {
  Start(&source_);
  EXPECT_THAT(ReflectedServices(server_->address()),
              AllOf(HasSubstr("weightmesh.v1.MeshService"), HasSubstr("weightmesh.v1.PeerService"),
                    HasSubstr("grpc.health.v1.Health")));
}

// Keeps the question of ListRuns; answers nothing else.
class SilentSource : public testing::FakeMeshSource {
 public:
  void Runs(Done<std::vector<RunSnapshot>> done) override { asked.set_value(std::move(done)); }
  std::promise<Done<std::vector<RunSnapshot>>> asked;
};

class PendingCall : public Server {
 protected:
  void SetUp() override {
    Start(&silent_);
    stub_ = v1::MeshService::NewStub(OpenChannel(server_->address(), kAnswerBytesMax));
    context_.set_deadline(Deadline());
    stub_->async()->ListRuns(&context_, &request_, &runs_,
                             [this](grpc::Status status) { ended_.set_value(status); });
    auto asked = silent_.asked.get_future();
    ASSERT_EQ(asked.wait_for(std::chrono::seconds(20)), std::future_status::ready);
    done_ = asked.get();
  }

  grpc::Status Ended() { return ended_.get_future().get(); }  // bounded by Deadline()

  SilentSource silent_;
  std::unique_ptr<v1::MeshService::Stub> stub_;
  grpc::ClientContext context_;
  v1::ListRunsRequest request_;
  v1::RunList runs_;
  std::promise<grpc::Status> ended_;
  MeshSource::Done<std::vector<RunSnapshot>> done_;
};

TEST_F(PendingCall, ShutdownCancelsItAndALateAnswerIsDropped) {
  server_->Shutdown(absl::Milliseconds(1));
  EXPECT_FALSE(Ended().ok());
  done_(std::vector<RunSnapshot>(3));
  EXPECT_EQ(runs_.runs_size(), 0);
}

TEST_F(PendingCall, ADroppedQuestionIsUnavailable) {
  done_ = nullptr;
  const grpc::Status status = Ended();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(status.error_message(), HasSubstr("the daemon is stopping"));
}

TEST_F(PendingCall, TheCallersCancellationEndsIt) {
  context_.TryCancel();
  EXPECT_EQ(Ended().error_code(), grpc::StatusCode::CANCELLED);
  done_(std::vector<RunSnapshot>(3));
}

TEST_F(PendingCall, ShutdownWaitsForItsAnswer) {
  auto down = std::async(std::launch::async, [this] { server_->Shutdown(absl::Seconds(20)); });
  done_(std::vector<RunSnapshot>(3));
  EXPECT_TRUE(Ended().ok());
  EXPECT_EQ(runs_.runs_size(), 3);
  down.get();
}

}  // namespace
}  // namespace weightmesh
