// Watchers that do not read, that vanish, and that are too many: bounded, and nobody else notices.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/control/server.h"
#include "tests/control/asked_mesh.h"
#include "tests/control/event_stream.h"
#include "tests/control/samples.h"
#include "tests/control/stalling_proxy.h"

namespace weightmesh {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::StatsStream;
using testing::TopologyStream;

constexpr int kNodes = 100;
constexpr size_t kReasonBytes = 1000;
constexpr size_t kEventBytes = kNodes * kReasonBytes;

// A hundred nodes, each with a long reason that differs from step to step.
TopologySnapshot BigTopology(int step) {
  TopologySnapshot topology;
  topology.self = testing::SampleNode(0).node_id;
  for (int k = 0; k < kNodes; ++k) {
    topology.nodes.push_back(NodeSnapshot{testing::SampleNode(k), false,
                                          absl::StrCat(step, " ", std::string(kReasonBytes, 'x')),
                                          absl::ZeroDuration()});
  }
  return topology;
}

// Of the last node; -1 when it is not in the event.
int StepOf(const v1::TopologyEvent& event) {
  const auto& nodes = event.has_full() ? event.full().nodes() : event.change().nodes();
  return nodes.empty() ? -1 : std::atoi(nodes[nodes.size() - 1].unreachable_reason().c_str());
}

size_t ResidentBytes() {
  size_t total = 0;
  size_t resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

class WatchLimits : public ::testing::Test {
 protected:
  void Start(const ServerOptions& options) {
    auto server = ControlServer::Start("127.0.0.1:0", &source_, &handler_, options);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    stub_ = NewStub(server_->address());
  }

  // With a connection of its own.
  static std::unique_ptr<v1::MeshService::Stub> NewStub(const std::string& address) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return v1::MeshService::NewStub(
        grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
  }

  // Watches until it is let in; false after 20 s.
  bool AwaitPlace() {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (std::chrono::steady_clock::now() < end) {
      TopologyStream stream(stub_.get());
      if (stream.Read()) return true;
      EXPECT_EQ(stream.Finish().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
      poll(nullptr, 0, 5);
    }
    return false;
  }

  testing::AskedMesh source_;
  testing::FakePeerHandler handler_;
  std::unique_ptr<ControlServer> server_;
  std::unique_ptr<v1::MeshService::Stub> stub_;
};

TEST_F(WatchLimits, WhoDoesNotReadLosesEventsAndIsToldHowMany) {
  constexpr int kSteps = 600;
  constexpr int kSlow = 20;
  ServerOptions options;
  options.watches.tick_ms = 1;
  options.watches.events_waiting_max = 8;
  Start(options);
  v1::WatchTopologyRequest request;
  request.set_interval_ms(1);

  TopologyStream quick(stub_.get(), request);
  const auto slow_stub = NewStub(server_->address());
  std::vector<std::unique_ptr<TopologyStream>> slow;
  for (int k = 0; k < kSlow; ++k) {
    slow.push_back(std::make_unique<TopologyStream>(slow_stub.get(), request));
  }
  ASSERT_TRUE(source_.AnswerTopology(BigTopology(0)));
  ASSERT_TRUE(quick.Read());
  for (const auto& stream : slow) {
    ASSERT_TRUE(stream->Read());
    ASSERT_EQ(StepOf(stream->event()), 0);
  }

  // The quick one gets all, one by one; the slow ones cost no memory.
  size_t resident = 0;
  for (int step = 1; step <= kSteps; ++step) {
    ASSERT_TRUE(source_.AnswerTopology(BigTopology(step)));
    ASSERT_TRUE(quick.Read());
    ASSERT_EQ(StepOf(quick.event()), step);
    ASSERT_EQ(quick.event().events_lost(), 0u);
    if (step == kSteps / 2) resident = ResidentBytes();
  }
  // Buffers of connections had grown as far as they do by then; what waits must not be among them.
  EXPECT_LT(ResidentBytes(), resident + kSteps / 2 * kEventBytes / 2);

  for (const auto& stream : slow) {
    uint64_t lost = 0;
    uint64_t sequence = 1;
    uint64_t full = 0;
    for (int step = 0; step < kSteps;) {
      ASSERT_TRUE(stream->Read());
      const v1::TopologyEvent& event = stream->event();
      ASSERT_EQ(event.sequence(), sequence + event.events_lost() + 1);
      ASSERT_EQ(event.has_full(), event.events_lost() > 0);
      if (event.has_change()) {
        ASSERT_EQ(StepOf(event), step + 1);
      }
      sequence = event.sequence();
      lost += event.events_lost();
      full += event.has_full();
      step = StepOf(event);
    }
    EXPECT_GT(lost, 0u);
    EXPECT_EQ(sequence, 1 + kSteps + full);
  }
}

TEST_F(WatchLimits, TooManyAreRefusedWithTheLimitAndTheCure) {
  ServerOptions options;
  options.watches.watchers_max = 3;
  Start(options);
  source_.AnswerAlways(testing::SampleTopology());
  source_.AnswerAlways(testing::SampleStats());
  TopologyStream first(stub_.get());
  TopologyStream second(stub_.get());
  auto third = std::make_unique<StatsStream>(stub_.get());  // of another kind: counted together
  ASSERT_TRUE(first.Read() && second.Read() && third->Read());
  for (int k = 0; k < 5; ++k) {
    TopologyStream topology(stub_.get());
    StatsStream stats(stub_.get());
    for (const grpc::Status& status : {topology.Finish(), stats.Finish()}) {
      EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
      EXPECT_THAT(status.error_message(),
                  AllOf(HasSubstr("3 watchers"), HasSubstr("limits.watchers_max"),
                        HasSubstr("raise the limit")));
    }
  }
  third.reset();
  EXPECT_TRUE(AwaitPlace());
  TopologySnapshot topology = testing::SampleTopology();
  topology.nodes[1].reachable = true;
  source_.AnswerAlways(topology);
  EXPECT_TRUE(first.Read());  // the others go on
  EXPECT_EQ(first.event().sequence(), 2u);
}

// Its place is free again, also when it has not read what was written to it.
TEST_F(WatchLimits, WhoVanishesIsForgotten) {
  ServerOptions options;
  options.watches.watchers_max = 2;
  options.watches.tick_ms = 1;
  Start(options);
  source_.AnswerAlways(BigTopology(0));
  for (int k = 0; k < 20; ++k) {
    ASSERT_TRUE(AwaitPlace()) << "after " << k << " that had one and went";
    const auto gone = NewStub(server_->address());
    TopologyStream unread(gone.get());
    TopologyStream read(gone.get());
    read.Read();
  }
}

// A machine or a network that goes without a word: nothing is closed, nothing answers.
TEST_F(WatchLimits, WhoFallsSilentIsForgotten) {
  ServerOptions options;
  options.watches.watchers_max = 1;
  options.ping_interval = absl::Milliseconds(100);
  options.ping_timeout = absl::Milliseconds(200);
  Start(options);
  source_.AnswerAlways(testing::SampleTopology());
  testing::StallingProxy proxy(server_->address());
  const auto far = NewStub(proxy.address());
  TopologyStream stream(far.get());
  ASSERT_TRUE(stream.Read());
  EXPECT_EQ(TopologyStream(stub_.get()).Finish().error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  proxy.Stall();
  EXPECT_TRUE(AwaitPlace());
}

}  // namespace
}  // namespace weightmesh
