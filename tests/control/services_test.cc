// MeshService and PeerService over a real server on loopback, in front of fakes.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "daemon/control/channel.h"
#include "daemon/control/convert_peer.h"
#include "daemon/control/mesh_service.h"
#include "daemon/control/protocol_version.h"
#include "daemon/control/server.h"
#include "proto/weightmesh/v1/mesh.grpc.pb.h"
#include "proto/weightmesh/v1/peer.grpc.pb.h"
#include "tests/control/fake_mesh.h"
#include "tests/control/samples.h"

namespace weightmesh {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

void SetDeadline(grpc::ClientContext* context) {
  context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
}

class Services : public ::testing::Test {
 protected:
  void SetUp() override {
    auto server = ControlServer::Start("127.0.0.1:0", &source_, &handler_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    auto channel = OpenChannel(server_->address(), 1 << 20);
    mesh_ = v1::MeshService::NewStub(channel);
    peer_ = v1::PeerService::NewStub(channel);
  }

  // call(context) -> grpc::Status.
  static grpc::Status Call(const std::function<grpc::Status(grpc::ClientContext*)>& call) {
    grpc::ClientContext context;
    SetDeadline(&context);
    return call(&context);
  }

  testing::FakeMeshSource source_;
  testing::FakePeerHandler handler_;
  std::unique_ptr<ControlServer> server_;
  std::unique_ptr<v1::MeshService::Stub> mesh_;
  std::unique_ptr<v1::PeerService::Stub> peer_;
};

TEST_F(Services, EveryMeshMethodAnswers) {
  v1::GetTopologyRequest topology_request;
  v1::Topology topology;
  EXPECT_TRUE(
      Call([&](auto* c) { return mesh_->GetTopology(c, topology_request, &topology); }).ok());
  EXPECT_EQ(topology.nodes_size(), 2);

  v1::GetStatsRequest stats_request;
  v1::Stats stats;
  stats_request.set_run_id("letters");
  EXPECT_TRUE(Call([&](auto* c) { return mesh_->GetStats(c, stats_request, &stats); }).ok());
  ASSERT_EQ(stats.replicas_size(), 1);
  EXPECT_EQ(stats.replicas(0).segments_size(), 0);
  stats_request.set_with_segments(true);
  EXPECT_TRUE(Call([&](auto* c) { return mesh_->GetStats(c, stats_request, &stats); }).ok());
  EXPECT_EQ(stats.replicas(0).segments_size(), 2);

  v1::GetScheduleRequest schedule_request;
  v1::ScheduleTable table;
  schedule_request.set_run_id("letters");
  schedule_request.set_round(5);
  schedule_request.set_segment(1);
  EXPECT_TRUE(Call([&](auto* c) { return mesh_->GetSchedule(c, schedule_request, &table); }).ok());
  EXPECT_EQ(table.round(), 5u);
  EXPECT_EQ(table.segment(), 1u);
  EXPECT_EQ(table.assignments_size(), 3);

  v1::EffectiveConfig config;
  EXPECT_TRUE(Call([&](auto* c) { return mesh_->GetConfig(c, {}, &config); }).ok());
  EXPECT_EQ(config.version(), "0.1.0");

  v1::RunList runs;
  EXPECT_TRUE(Call([&](auto* c) { return mesh_->ListRuns(c, {}, &runs); }).ok());
  EXPECT_EQ(runs.runs_size(), 1);

  v1::ListEventsRequest events_request;
  v1::EventList events;
  events_request.set_after(4);
  EXPECT_TRUE(Call([&](auto* c) { return mesh_->ListEvents(c, events_request, &events); }).ok());
  ASSERT_EQ(events.events_size(), 1);
  EXPECT_EQ(events.events(0).sequence(), 5u);
  EXPECT_EQ(events.events(0).time_ms(), 1'795'867'201'500u);
  EXPECT_TRUE(events.events(0).warning());
  EXPECT_EQ(events.events_lost(), 3u);
  EXPECT_EQ(events.last_sequence(), 5u);

  v1::DrainRequest drain_request;
  v1::DrainReply drained;
  drain_request.set_deadline_ms(12'000);
  EXPECT_TRUE(Call([&](auto* c) { return mesh_->Drain(c, drain_request, &drained); }).ok());
  ASSERT_EQ(drained.replicas_size(), 1);
  EXPECT_EQ(drained.replicas(0).info().left_at(), 12u) << "the fake's way to show the deadline";
  drain_request.set_deadline_ms(3'600'001);
  const grpc::Status too_long =
      Call([&](auto* c) { return mesh_->Drain(c, drain_request, &drained); });
  EXPECT_EQ(too_long.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(too_long.error_message(), HasSubstr("DrainRequest.deadline_ms is 3600001"));

  v1::LinkList links;
  EXPECT_TRUE(Call([&](auto* c) { return mesh_->ListLinks(c, {}, &links); }).ok());
  EXPECT_EQ(links.links_size(), 2);
}

TEST_F(Services, UnknownRunNamesTheKnownOnes) {
  v1::GetStatsRequest stats_request;
  stats_request.set_run_id("leters");
  v1::Stats stats;
  v1::GetTopologyRequest topology_request;
  topology_request.set_run_id("leters");
  v1::Topology topology;
  v1::GetScheduleRequest schedule_request;
  schedule_request.set_run_id("leters");
  v1::ScheduleTable table;
  for (const grpc::Status& status :
       {Call([&](auto* c) { return mesh_->GetStats(c, stats_request, &stats); }),
        Call([&](auto* c) { return mesh_->GetTopology(c, topology_request, &topology); }),
        Call([&](auto* c) { return mesh_->GetSchedule(c, schedule_request, &table); })}) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
    EXPECT_EQ(status.error_message(),
              "run \"leters\" is not known to this daemon; it knows \"letters\"");
  }
}

TEST(UnknownRun, NamesAtMostSixteen) {
  EXPECT_THAT(std::string(UnknownRun("x", {}).message()), HasSubstr("it knows no run yet"));
  std::vector<RunSnapshot> known(18, testing::SampleRun());
  EXPECT_THAT(std::string(UnknownRun("x", known).message()), HasSubstr("\"letters\" and 2 more"));
}

TEST_F(Services, TheSourcesRefusalReachesTheCaller) {
  v1::GetScheduleRequest request;
  request.set_run_id("letters");
  request.set_segment(2);
  v1::ScheduleTable table;
  grpc::Status status = Call([&](auto* c) { return mesh_->GetSchedule(c, request, &table); });
  EXPECT_EQ(status.error_code(), grpc::StatusCode::OUT_OF_RANGE);

  source_.FailWith(absl::ResourceExhaustedError("the core's queue is full"));
  v1::RunList runs;
  status = Call([&](auto* c) { return mesh_->ListRuns(c, {}, &runs); });
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(status.error_message(), "the core's queue is full");
}

TEST_F(Services, EveryPeerMethodAnswers) {
  v1::SyncMessage sync;
  grpc::Status status =
      Call([&](auto* c) { return peer_->Sync(c, ToProto(testing::SampleSync()), &sync); });
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(sync.protocol_version(), kPeerProtocolVersion);
  EXPECT_EQ(sync.self().node_id().low(), 4u);
  EXPECT_EQ(sync.runs_size(), 2);

  v1::GossipMessage gossip;
  status =
      Call([&](auto* c) { return peer_->Gossip(c, ToProto(testing::SampleGossip()), &gossip); });
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(gossip.self().node_id().low(), 4u);
  EXPECT_EQ(gossip.updates_size(), 2);
  for (const uint64_t target : {1, 2}) {
    const IndirectProbeQuery query{testing::SampleGossip(), testing::SampleNode(target),
                                   absl::Seconds(1)};
    v1::IndirectProbeReply told;
    status = Call([&](auto* c) { return peer_->IndirectProbe(c, ToProto(query), &told); });
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(told.ack(), target == 1);
  }

  v1::ProbeRequest probe;
  probe.set_protocol_version(kPeerProtocolVersion);
  *probe.mutable_self() = ToProto(testing::SampleNode(0));
  v1::ProbeReply alive;
  status = Call([&](auto* c) { return peer_->Probe(c, probe, &alive); });
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(alive.self().node_id().low(), 4u);

  v1::ConnectReply offer;
  status = Call(
      [&](auto* c) { return peer_->Connect(c, ToConnectRequest(testing::SampleOffer()), &offer); });
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(offer.token(), 1234u);
  EXPECT_EQ(offer.transport_kind(), "ucx");
}

TEST_F(Services, AnotherProtocolVersionIsRefusedBeforeAnythingElse) {
  v1::SyncMessage sync;
  sync.set_protocol_version(9);  // and nothing else that this version would take
  sync.mutable_self()->set_version("9.9");
  v1::ProbeRequest probe;
  probe.mutable_self()->set_version("9.9");
  v1::ConnectRequest connect;
  connect.set_protocol_version(7);
  v1::GossipMessage gossip;
  gossip.set_protocol_version(1);
  v1::IndirectProbeRequest indirect;
  v1::GossipMessage gossip_reply;
  v1::IndirectProbeReply indirect_reply;
  v1::SyncMessage sync_reply;
  v1::ProbeReply probe_reply;
  v1::ConnectReply connect_reply;
  const struct {
    grpc::Status status;
    const char* theirs;
  } cases[] = {
      {Call([&](auto* c) { return peer_->Sync(c, sync, &sync_reply); }), "version 9"},
      {Call([&](auto* c) { return peer_->Probe(c, probe, &probe_reply); }), "version 0"},
      {Call([&](auto* c) { return peer_->Connect(c, connect, &connect_reply); }), "version 7"},
      {Call([&](auto* c) { return peer_->Gossip(c, gossip, &gossip_reply); }), "version 1"},
      {Call([&](auto* c) { return peer_->IndirectProbe(c, indirect, &indirect_reply); }),
       "version 0"}};
  const std::string ours = absl::StrCat("this daemon version ", kPeerProtocolVersion);
  for (const auto& c : cases) {
    EXPECT_EQ(c.status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
    EXPECT_THAT(c.status.error_message(), AllOf(HasSubstr(c.theirs), HasSubstr(ours),
                                                HasSubstr("run the same weightmeshd release")));
  }
  EXPECT_THAT(cases[0].status.error_message(), HasSubstr("weightmeshd 9.9"));
}

TEST_F(Services, MalformedMessagesAreRefused) {
  v1::SyncMessage sync = ToProto(testing::SampleSync());
  sync.mutable_runs(0)->mutable_founding()->mutable_config()->set_replicas_min(0);
  v1::SyncMessage sync_reply;
  grpc::Status status = Call([&](auto* c) { return peer_->Sync(c, sync, &sync_reply); });
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("SyncMessage.runs[0]: founding: "
                                                "RunConfig.replicas_min is 0"));
  v1::ProbeRequest probe;
  probe.set_protocol_version(kPeerProtocolVersion);
  v1::ProbeReply probe_reply;
  status = Call([&](auto* c) { return peer_->Probe(c, probe, &probe_reply); });
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("ProbeRequest.self: node_id"));
  v1::ConnectRequest connect = ToConnectRequest(testing::SampleOffer());
  connect.clear_token();
  v1::ConnectReply connect_reply;
  status = Call([&](auto* c) { return peer_->Connect(c, connect, &connect_reply); });
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(Services, TheHandlersRefusalReachesTheCaller) {
  LinkOffer offer = testing::SampleOffer();
  offer.transport_kind = "loopback";
  v1::ConnectReply reply;
  const grpc::Status status =
      Call([&](auto* c) { return peer_->Connect(c, ToConnectRequest(offer), &reply); });
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(status.error_message(), "this daemon's transport is ucx");
}

}  // namespace
}  // namespace weightmesh
