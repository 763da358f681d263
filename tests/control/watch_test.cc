// What watchers are told over real gRPC, and how often the core is asked for it.
#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>
#include <vector>

#include "daemon/control/convert_mesh.h"
#include "daemon/control/server.h"
#include "tests/control/asked_mesh.h"
#include "tests/control/event_stream.h"
#include "tests/control/samples.h"

namespace weightmesh {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::StatsStream;
using testing::TopologyStream;

class Watch : public ::testing::Test {
 protected:
  Watch() { options_.watches.tick_ms = 1; }

  void SetUp() override {
    auto server = ControlServer::Start("127.0.0.1:0", &source_, &handler_, options_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    channel_ = OpenChannel(server_->address(), 1 << 24);
    stub_ = v1::MeshService::NewStub(channel_);
  }

  static v1::WatchTopologyRequest Topology(const std::string& run_id, bool with_rounds = false) {
    v1::WatchTopologyRequest request;
    request.set_run_id(run_id);
    request.set_interval_ms(5);
    request.set_with_rounds(with_rounds);
    return request;
  }
  static v1::WatchStatsRequest Stats(const std::string& run_id, bool with_segments = false) {
    v1::WatchStatsRequest request;
    request.set_run_id(run_id);
    request.set_interval_ms(5);
    request.set_with_segments(with_segments);
    return request;
  }

  ServerOptions options_;
  testing::AskedMesh source_;
  testing::FakePeerHandler handler_;
  std::unique_ptr<ControlServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::MeshService::Stub> stub_;
};

TEST_F(Watch, TheFullTopologyThenItsChanges) {
  TopologySnapshot topology = testing::SampleTopology();
  TopologyStream stream(stub_.get(), Topology(""));
  ASSERT_TRUE(source_.AnswerTopology(topology));
  ASSERT_TRUE(stream.Read());
  EXPECT_EQ(stream.event().sequence(), 1u);
  EXPECT_EQ(stream.event().full().SerializeAsString(), ToProto(topology).SerializeAsString());

  topology.nodes[1].silent += absl::Seconds(1);  // nothing new
  ASSERT_TRUE(source_.AnswerTopology(topology));
  topology.nodes[1].reachable = true;
  ASSERT_TRUE(source_.AnswerTopology(topology));
  ASSERT_TRUE(stream.Read());
  EXPECT_EQ(stream.event().sequence(), 2u);
  EXPECT_EQ(stream.event().events_lost(), 0u);
  ASSERT_EQ(stream.event().change().nodes_size(), 1);
  EXPECT_TRUE(stream.event().change().nodes(0).reachable());
  EXPECT_EQ(stream.event().change().replicas_size(), 0);

  topology.replicas.pop_back();
  ASSERT_TRUE(source_.AnswerTopology(topology));
  ASSERT_TRUE(stream.Read());
  EXPECT_EQ(stream.event().sequence(), 3u);
  EXPECT_EQ(stream.event().change().replicas_removed_size(), 1);
}

TEST_F(Watch, StatisticsComeAtEveryInterval) {
  StatsReport report = testing::SampleStats();
  StatsStream stream(stub_.get(), Stats(""));
  ASSERT_TRUE(source_.AnswerStats(report));
  EXPECT_FALSE(source_.asked_for_segments());
  ASSERT_TRUE(stream.Read());
  EXPECT_EQ(stream.event().full().SerializeAsString(), ToProto(report, false).SerializeAsString());
  ASSERT_TRUE(source_.AnswerStats(report));
  ASSERT_TRUE(stream.Read());
  EXPECT_EQ(stream.event().sequence(), 2u);
  EXPECT_TRUE(stream.event().has_change());
  EXPECT_EQ(stream.event().change().stats().replicas_size(), 0);
  ++report.replicas[0].snapshot.statistics.rounds_published;
  ASSERT_TRUE(source_.AnswerStats(report));
  ASSERT_TRUE(stream.Read());
  EXPECT_EQ(stream.event().change().stats().replicas(0).rounds_published(), 51u);
}

TEST_F(Watch, SegmentsAreAskedForWhileSomebodyWantsThem) {
  StatsStream plain(stub_.get(), Stats(""));
  ASSERT_TRUE(source_.AnswerStats(testing::SampleStats()));
  ASSERT_TRUE(plain.Read());
  StatsStream detailed(stub_.get(), Stats("", true));
  source_.AnswerAlways(testing::SampleStats());
  ASSERT_TRUE(detailed.Read());
  EXPECT_TRUE(source_.asked_for_segments());
  EXPECT_EQ(detailed.event().full().replicas(0).segments_size(), 2);
  ASSERT_TRUE(plain.Read());
  EXPECT_EQ(plain.event().change().stats().replicas_size(), 0);
}

TEST_F(Watch, OneRunOnly) {
  TopologySnapshot topology = testing::SampleTopology();
  topology.replicas[1].run_id = "faces";
  TopologyStream letters(stub_.get(), Topology("letters"));
  TopologyStream rounds(stub_.get(), Topology("letters", true));
  source_.AnswerAlways(topology);
  ASSERT_TRUE(letters.Read() && rounds.Read());
  EXPECT_EQ(letters.event().full().nodes_size(), 2);
  ASSERT_EQ(letters.event().full().replicas_size(), 1);
  EXPECT_EQ(letters.event().full().replicas(0).run_id(), "letters");

  topology.replicas[1].reachable = true;                    // of faces: not for these
  topology.replicas[0].info.published_round = Round{5000};  // for who asked for rounds
  source_.AnswerAlways(topology);
  ASSERT_TRUE(rounds.Read());
  ASSERT_EQ(rounds.event().change().replicas_size(), 1);
  EXPECT_EQ(rounds.event().change().replicas(0).info().published_round(), 5000u);
  topology.replicas[0].info.state = ReplicaState::kDead;
  source_.AnswerAlways(topology);
  ASSERT_TRUE(letters.Read());
  EXPECT_EQ(letters.event().sequence(), 2u);
  EXPECT_EQ(letters.event().change().replicas(0).info().state(), v1::REPLICA_STATE_DEAD);
}

TEST_F(Watch, AnUnknownRunNamesTheKnownOnes) {
  TopologyStream topology(stub_.get(), Topology("leters"));
  StatsStream stats(stub_.get(), Stats("leters"));
  for (const grpc::Status& status : {topology.Finish(), stats.Finish()}) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
    EXPECT_EQ(status.error_message(),
              "run \"leters\" is not known to this daemon; it knows \"letters\"");
  }
  EXPECT_EQ(source_.asked(), 0u);
}

// All that watch the same cost the core one answer, those that come while it is open, too.
TEST_F(Watch, AHundredAreOneQuestion) {
  TopologySnapshot topology = testing::SampleTopology();
  std::vector<std::unique_ptr<TopologyStream>> streams;
  for (int k = 0; k < 100; ++k) {
    streams.push_back(std::make_unique<TopologyStream>(stub_.get(), Topology("")));
  }
  // What came later than theirs on their connection has been answered, so they are there.
  EXPECT_EQ(StatsStream(stub_.get(), Stats("leters")).Finish().error_code(),
            grpc::StatusCode::NOT_FOUND);
  ASSERT_TRUE(source_.AnswerTopology(topology));
  for (const auto& stream : streams) {
    ASSERT_TRUE(stream->Read());
    EXPECT_EQ(stream->event().sequence(), 1u);
    EXPECT_EQ(stream->event().full().nodes_size(), 2);
  }
  topology.nodes[1].reachable = true;
  ASSERT_TRUE(source_.AnswerTopology(topology));
  for (const auto& stream : streams) {
    ASSERT_TRUE(stream->Read());
    EXPECT_EQ(stream->event().sequence(), 2u);
    EXPECT_TRUE(stream->event().change().nodes(0).reachable());
  }
  EXPECT_LE(source_.asked(), 3u);  // two answers, and one that is open
}

TEST_F(Watch, WithoutWatchersTheCoreIsLeftInPeace) {
  source_.AnswerAlways(testing::SampleTopology());
  {
    TopologyStream stream(stub_.get(), Topology(""));
    ASSERT_TRUE(stream.Read());
    stream.Cancel();
    stream.Finish();
  }
  // It is left in peace when nothing is asked for as long as a thousand other calls take: many
  // intervals.
  uint64_t before = 0;
  int calls_in_peace = 0;
  for (int call = 0; call < 100'000 && calls_in_peace < 1000; ++call) {
    const uint64_t asked = source_.asked();
    calls_in_peace = asked == before ? calls_in_peace + 1 : 0;
    before = asked;
    grpc::ClientContext context;
    v1::RunList runs;
    ASSERT_TRUE(stub_->ListRuns(&context, {}, &runs).ok());
  }
  EXPECT_EQ(calls_in_peace, 1000);
}

TEST_F(Watch, TheCoresRefusalEndsANewWatchAndNoOldOne) {
  TopologyStream stream(stub_.get(), Topology(""));
  ASSERT_TRUE(source_.AnswerTopology(testing::SampleTopology()));
  ASSERT_TRUE(stream.Read());
  v1::WatchTopologyRequest other = Topology("", true);
  other.set_interval_ms(6);
  TopologyStream refused(stub_.get(), other);
  const absl::Status full = absl::ResourceExhaustedError("the core's queue is full");
  std::future<grpc::Status> ended =
      std::async(std::launch::async, [&] { return refused.Finish(); });
  while (ended.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
    ASSERT_TRUE(source_.AnswerTopology(full));
  }
  EXPECT_EQ(ended.get().error_message(), "the core's queue is full");
  TopologySnapshot topology = testing::SampleTopology();
  topology.nodes[1].reachable = true;
  source_.AnswerAlways(topology);
  ASSERT_TRUE(stream.Read());
  EXPECT_EQ(stream.event().sequence(), 2u);
}

TEST_F(Watch, AQuestionThatIsThrownAwayIsUnavailable) {
  TopologyStream stream(stub_.get());
  ASSERT_TRUE(source_.DropTopology());
  const grpc::Status status = stream.Finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
}

// At once, although watches never end by themselves: the grace is longer than the test may last.
TEST_F(Watch, TheServersEndIsToldInOrder) {
  TopologyStream topology(stub_.get(), Topology(""));
  StatsStream stats(stub_.get(), Stats(""));
  TopologyStream waiting(stub_.get(), Topology("letters"));  // its question is never answered
  source_.AnswerAlways(testing::SampleStats());
  ASSERT_TRUE(source_.AnswerTopology(testing::SampleTopology()));
  ASSERT_TRUE(topology.Read() && stats.Read());
  server_->Shutdown(absl::Hours(1));
  for (const grpc::Status& status : {topology.Finish(), stats.Finish(), waiting.Finish()}) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE);
    EXPECT_THAT(status.error_message(), HasSubstr("the daemon is stopping"));
  }
  const uint64_t asked = source_.asked();
  source_.AnswerAlways(testing::SampleTopology());  // an answer that comes too late
  EXPECT_EQ(source_.asked(), asked);
}

TEST_F(Watch, IntervalsHaveARange) {
  for (const uint64_t interval_ms : {uint64_t{3'600'001}, ~uint64_t{0}}) {
    v1::WatchStatsRequest stats;
    stats.set_interval_ms(interval_ms);
    v1::WatchTopologyRequest topology;
    topology.set_interval_ms(interval_ms);
    StatsStream stats_stream(stub_.get(), stats);
    TopologyStream topology_stream(stub_.get(), topology);
    const grpc::Status status = stats_stream.Finish();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_THAT(status.error_message(), AllOf(HasSubstr(std::to_string(interval_ms)),
                                              HasSubstr("1 to 3600000"), HasSubstr("0 for 1000")));
    EXPECT_THAT(topology_stream.Finish().error_message(), HasSubstr("0 for 200"));
  }
}

TEST(WatchInterval, TheDefaultsRangeBeginsAtAHundred) {
  testing::AskedMesh source;
  testing::FakePeerHandler handler;
  auto server = ControlServer::Start("127.0.0.1:0", &source, &handler);
  ASSERT_TRUE(server.ok()) << server.status();
  const auto stub = v1::MeshService::NewStub(OpenChannel((*server)->address(), 1 << 20));
  v1::WatchStatsRequest request;
  request.set_interval_ms(99);
  StatsStream stream(stub.get(), request);
  EXPECT_THAT(stream.Finish().error_message(),
              HasSubstr("interval_ms is 99; allowed: 100 to 3600000, or 0 for 1000"));
}

// The watches take bytes: they must see themselves that these are a request.
TEST_F(Watch, RubbishIsNoRequest) {
  for (const char* method : {"WatchTopology", "WatchStats"}) {
    grpc::GenericStub stub(channel_);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + testing::kStreamLimit);
    grpc::CompletionQueue queue;
    grpc::Slice slice(std::string("\x0a\xff\xff\xff"));  // a string of more bytes than there are
    grpc::ByteBuffer answer;
    grpc::Status status;
    auto call = stub.PrepareUnaryCall(&context, std::string("/weightmesh.v1.MeshService/") + method,
                                      grpc::ByteBuffer(&slice, 1), &queue);
    call->StartCall();
    call->Finish(&answer, &status, nullptr);
    void* tag;
    bool ok;
    queue.Next(&tag, &ok);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << status.error_message();
    EXPECT_THAT(status.error_message(), HasSubstr(std::string("weightmesh.v1.") + method));
  }
}

}  // namespace
}  // namespace weightmesh
