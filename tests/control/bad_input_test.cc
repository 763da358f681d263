// What strangers send to the gRPC port: refused with the reason, while another client gets its
// answers.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <functional>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "daemon/control/channel.h"
#include "daemon/control/convert_peer.h"
#include "daemon/control/message_limits.h"
#include "daemon/control/server.h"
#include "daemon/mem/file_descriptor.h"
#include "proto/weightmesh/v1/mesh.grpc.pb.h"
#include "proto/weightmesh/v1/peer.grpc.pb.h"
#include "tests/control/fake_mesh.h"
#include "tests/control/samples.h"

namespace weightmesh {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr uint64_t kHuge = std::numeric_limits<uint64_t>::max();
constexpr uint32_t kHugeSegment = std::numeric_limits<uint32_t>::max();

class BadInput : public ::testing::Test {
 protected:
  void SetUp() override {
    auto server = ControlServer::Start("127.0.0.1:0", &source_, &handler_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    channel_ = OpenChannel(server_->address(), 1 << 20);
    mesh_ = v1::MeshService::NewStub(channel_);
    peer_ = v1::PeerService::NewStub(channel_);
    grpc::ChannelArguments own_connection;
    own_connection.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    other_ = v1::MeshService::NewStub(grpc::CreateCustomChannel(
        server_->address(), grpc::InsecureChannelCredentials(), own_connection));
  }

  // Whatever happened, others are served.
  void TearDown() override { ExpectServed(); }

  void ExpectServed() {
    v1::Topology topology;
    const grpc::Status status =
        Call([&](auto* c) { return other_->GetTopology(c, {}, &topology); });
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(topology.nodes_size(), 2);
  }

  static grpc::Status Call(const std::function<grpc::Status(grpc::ClientContext*)>& call) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    return call(&context);
  }

  // A unary call with any bytes for a request.
  grpc::Status CallWithBytes(const std::string& method, const std::string& bytes) {
    grpc::GenericStub stub(channel_);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    grpc::CompletionQueue queue;
    grpc::Slice slice(bytes);
    grpc::ByteBuffer answer;
    grpc::Status status;
    auto call = stub.PrepareUnaryCall(&context, method, grpc::ByteBuffer(&slice, 1), &queue);
    call->StartCall();
    call->Finish(&answer, &status, nullptr);
    void* tag;
    bool ok;
    queue.Next(&tag, &ok);
    return status;
  }

  FileDescriptor Dial() {
    const std::string& address = server_->address();
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    name.sin_port =
        htons(static_cast<uint16_t>(std::atoi(address.substr(address.rfind(':') + 1).c_str())));
    FileDescriptor dialled(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(connect(dialled.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name), 0);
    return dialled;
  }

  testing::FakeMeshSource source_;
  testing::FakePeerHandler handler_;
  std::unique_ptr<ControlServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::MeshService::Stub> mesh_;
  std::unique_ptr<v1::PeerService::Stub> peer_;
  std::unique_ptr<v1::MeshService::Stub> other_;
};

TEST_F(BadInput, HugeNumbersInAQuestion) {
  v1::GetScheduleRequest request;
  request.set_run_id("letters");
  request.set_segment(kHugeSegment);
  v1::ScheduleTable table;
  EXPECT_EQ(Call([&](auto* c) { return mesh_->GetSchedule(c, request, &table); }).error_code(),
            grpc::StatusCode::OUT_OF_RANGE);
  request.set_segment(0);
  request.set_round(kHuge);
  EXPECT_TRUE(Call([&](auto* c) { return mesh_->GetSchedule(c, request, &table); }).ok());
  EXPECT_EQ(table.round(), kHuge);
}

TEST_F(BadInput, WrongEnumsFromAPeerAreNamed) {
  const struct {
    std::function<void(v1::RunState*)> spoil;
    const char* field;
  } cases[] = {
      {[](auto* run) {
         run->mutable_founding()->mutable_config()->set_schedule(static_cast<v1::Schedule>(99));
       },
       "schedule"},
      {[](auto* run) {
         run->mutable_founding()->mutable_config()->set_mode(static_cast<v1::Mode>(-1));
       },
       "mode"},
      {[](auto* run) {
         run->mutable_founding()->mutable_config()->set_wire(static_cast<v1::WireFormat>(1 << 30));
       },
       "wire"},
      {[](auto* run) { run->mutable_replicas(0)->set_state(static_cast<v1::ReplicaState>(77)); },
       "state"}};
  for (const auto& c : cases) {
    v1::SyncMessage sync = ToProto(testing::SampleSync());
    c.spoil(sync.mutable_runs(0));
    v1::SyncMessage reply;
    const grpc::Status status =
        Call([&](auto* context) { return peer_->Sync(context, sync, &reply); });
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << c.field;
    EXPECT_THAT(status.error_message(),
                AllOf(HasSubstr("SyncMessage.runs[0]"), HasSubstr(c.field)));
  }
}

TEST_F(BadInput, OversizedMessagesToEitherService) {
  const std::string huge(kControlMessageBytesMax + 1, 'x');
  v1::GetStatsRequest stats_request;
  stats_request.set_run_id(huge);
  v1::WatchStatsRequest watch_request;
  watch_request.set_run_id(huge);
  v1::SyncMessage sync = ToProto(testing::SampleSync());
  sync.mutable_self()->set_version(huge);
  v1::Stats stats;
  v1::SyncMessage reply;
  for (const grpc::Status& status :
       {Call([&](auto* c) { return mesh_->GetStats(c, stats_request, &stats); }),
        Call([&](auto* c) { return mesh_->WatchStats(c, watch_request)->Finish(); }),
        Call([&](auto* c) { return peer_->Sync(c, sync, &reply); })}) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
    EXPECT_THAT(status.error_message(), HasSubstr(std::to_string(kControlMessageBytesMax)));
  }
  // The largest that is taken is taken.
  sync.mutable_self()->set_version("1");
  EXPECT_TRUE(Call([&](auto* c) { return peer_->Sync(c, sync, &reply); }).ok());
}

TEST_F(BadInput, BytesThatAreNoMessage) {
  for (const char* method :
       {"/weightmesh.v1.MeshService/GetStats", "/weightmesh.v1.MeshService/WatchStats",
        "/weightmesh.v1.PeerService/Sync"}) {
    EXPECT_FALSE(CallWithBytes(method, "\x0a\xff\xff\xff").ok()) << method;
  }
  EXPECT_EQ(CallWithBytes("/weightmesh.v1.MeshService/Drop", "").error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
}

// Connections that speak something else are closed; those that say nothing harm nobody.
TEST_F(BadInput, RubbishOnThePort) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  std::string noise(1 << 16, '\0');
  for (char& byte : noise) byte = static_cast<char>(random());
  const std::string preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  const std::vector<std::string> speeches = {
      noise,
      "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
      "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  // the beginning of TLS
      preface + noise,
      preface + std::string("\xff\xff\xff\x04\x00\x00\x00\x00\x00", 9),  // a frame of 16 MiB
  };
  std::vector<FileDescriptor> spoken;
  std::vector<FileDescriptor> silent;
  for (int k = 0; k < 20; ++k) {
    for (const std::string& speech : speeches) {
      spoken.push_back(Dial());
      // It may be closed before all is said.
      [[maybe_unused]] const ssize_t sent =
          send(spoken.back().get(), speech.data(), speech.size(), MSG_NOSIGNAL);
    }
    silent.push_back(Dial());
    silent.push_back(Dial());
    EXPECT_EQ(send(silent.back().get(), preface.data(), 10, MSG_NOSIGNAL), 10);  // half of it
    ExpectServed();
  }
  for (size_t k = 0; k < spoken.size(); ++k) {
    pollfd closed{spoken[k].get(), POLLRDHUP, 0};
    EXPECT_EQ(poll(&closed, 1, 20'000), 1) << "speech " << k % speeches.size() << " is listened to";
  }
}

}  // namespace
}  // namespace weightmesh
