// Conversion of what operators see.
#include "daemon/control/convert_mesh.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/control/convert_peer.h"
#include "tests/control/samples.h"

namespace weightmesh {
namespace {

using ::testing::ElementsAre;

TEST(ConvertMesh, Topology) {
  const v1::Topology proto = ToProto(testing::SampleTopology());
  EXPECT_EQ(proto.self().low(), 1u);
  ASSERT_EQ(proto.nodes_size(), 2);
  EXPECT_TRUE(proto.nodes(0).reachable());
  EXPECT_FALSE(proto.nodes(1).reachable());
  EXPECT_EQ(proto.nodes(1).unreachable_reason(), "connection refused");
  EXPECT_EQ(proto.nodes(1).silent_ms(), 2500u);
  EXPECT_EQ(proto.nodes(1).info().control_address(), "10.0.0.2:7473");
  ASSERT_EQ(proto.replicas_size(), 2);
  EXPECT_EQ(proto.replicas(1).run_id(), "letters");
  EXPECT_EQ(proto.replicas(1).info().name(), "node1/0");
  EXPECT_EQ(proto.replicas(1).node_id().low(), 2u);
  EXPECT_EQ(proto.replicas(1).rank(), 1);
  EXPECT_FALSE(proto.replicas(1).reachable());
}

TEST(ConvertMesh, WordsOfPeersAreMadeSafe) {
  TopologySnapshot topology = testing::SampleTopology();
  topology.nodes[1].unreachable_reason = "\xff\x1b[2J";
  EXPECT_EQ(ToProto(topology).nodes(1).unreachable_reason(), "??[2J");
}

TEST(ConvertMesh, HistogramWithoutTrailingZeros) {
  Histogram histogram;
  EXPECT_EQ(ToProto(histogram).buckets_size(), 0);
  histogram.Add(0);
  histogram.Add(1);
  histogram.Add(5);
  const v1::Histogram proto = ToProto(histogram);
  EXPECT_THAT(proto.buckets(), ElementsAre(2, 0, 1));
  EXPECT_EQ(proto.count(), 3u);
  EXPECT_EQ(proto.sum(), 6u);
}

TEST(ConvertMesh, StatsOfAReplica) {
  const v1::Stats proto = ToProto(testing::SampleStats(), false);
  EXPECT_EQ(proto.node_id().low(), 1u);
  EXPECT_EQ(proto.uptime_ms(), 3723000u);
  EXPECT_EQ(proto.frames_refused(), 3u);
  EXPECT_EQ(proto.answers_unasked(), 5u);
  ASSERT_EQ(proto.frame_refusals_size(), 2);
  EXPECT_EQ(proto.frame_refusals(0).reason(), v1::FRAME_REFUSAL_MALFORMED);
  EXPECT_EQ(proto.frame_refusals(0).count(), 1u);
  EXPECT_EQ(proto.frame_refusals(1).reason(), v1::FRAME_REFUSAL_TOO_MANY);
  EXPECT_EQ(proto.frame_refusals(1).count(), 2u);
  ASSERT_EQ(proto.replicas_size(), 1);
  const v1::ReplicaStats& replica = proto.replicas(0);
  EXPECT_EQ(replica.run_id(), "letters");
  EXPECT_EQ(replica.name(), "node0/0");
  EXPECT_EQ(replica.state(), v1::REPLICA_STATE_ACTIVE);
  EXPECT_EQ(replica.round(), 100u);
  EXPECT_EQ(replica.rounds_published(), 50u);
  EXPECT_EQ(replica.publishes_skipped(), 1u);
  EXPECT_EQ(replica.rounds_collected(), 49u);
  EXPECT_EQ(replica.redirects(), 5u);
  EXPECT_EQ(replica.bytes_received(), 3u << 20);
  EXPECT_EQ(replica.bytes_sent(), 1536u);
  EXPECT_EQ(replica.segments_read(), 95u);
  EXPECT_EQ(replica.requests_late(), 3u);
  EXPECT_EQ(replica.segments_published(), 100u);
  EXPECT_EQ(replica.pull_time_us().count(), 90u);
  EXPECT_EQ(replica.round_time_us().count(), 50u);
  EXPECT_EQ(replica.staleness().sum(), 45u);
  EXPECT_EQ(replica.consensus_distance(), 0.0125);
  EXPECT_FALSE(replica.consensus_distance_is_bound());
  EXPECT_EQ(replica.view_agreement(), 0.75);
  ASSERT_EQ(replica.scalars_size(), 2);
  EXPECT_EQ(replica.scalars(1).name(), "accuracy");
  EXPECT_EQ(replica.scalars(1).value(), 0.9625);
  EXPECT_EQ(replica.segments_size(), 0);
}

TEST(ConvertMesh, AllOutcomesAreListedInOrder) {
  const v1::ReplicaStats replica = ToProto(testing::SampleStats(), false).replicas(0);
  ASSERT_EQ(replica.pulls_size(), 9);
  for (int k = 0; k < 9; ++k) EXPECT_EQ(replica.pulls(k).outcome(), k + 1);
  EXPECT_EQ(replica.pulls(0).count(), 90u);
  EXPECT_EQ(replica.pulls(1).count(), 6u);
  EXPECT_EQ(replica.pulls(2).count(), 0u);
  EXPECT_EQ(replica.pulls(5).count(), 4u);
}

TEST(ConvertMesh, OnlySourcesThatWerePulledFrom) {
  const v1::ReplicaStats replica = ToProto(testing::SampleStats(), false).replicas(0);
  ASSERT_EQ(replica.sources_size(), 2);
  EXPECT_EQ(replica.sources(0).name(), "node1/0");
  EXPECT_EQ(replica.sources(0).arrived(), 60u);
  EXPECT_EQ(replica.sources(0).failed(), 2u);
  EXPECT_EQ(replica.sources(0).bytes(), 2u << 20);
}

TEST(ConvertMesh, MoreStatisticsThanNamesIsNoCrash) {
  StatsReport report = testing::SampleStats();
  report.replicas[0].snapshot.source_names.clear();
  EXPECT_EQ(ToProto(report, false).replicas(0).sources_size(), 0);
}

TEST(ConvertMesh, SegmentsOnRequest) {
  const v1::ReplicaStats replica = ToProto(testing::SampleStats(), true).replicas(0);
  ASSERT_EQ(replica.segments_size(), 2);
  EXPECT_EQ(replica.segments(1).segment(), 1u);
  EXPECT_EQ(replica.segments(1).pulls(0).count(), 45u);
  EXPECT_EQ(replica.segments(1).bytes_received(), 4096u);
}

TEST(ConvertMesh, Schedule) {
  const v1::ScheduleTable proto =
      ToProto(testing::SampleSchedule(Round{7}), "letters", SegmentId{1});
  EXPECT_EQ(proto.run_id(), "letters");
  EXPECT_EQ(proto.round(), 7u);
  EXPECT_EQ(proto.segment(), 1u);
  EXPECT_EQ(proto.schedule(), v1::SCHEDULE_DERANGEMENT);
  ASSERT_EQ(proto.assignments_size(), 3);
  EXPECT_EQ(proto.assignments(2).reader_name(), "node2/0");
  EXPECT_EQ(proto.assignments(2).source_name(), "node0/0");
  EXPECT_EQ(proto.assignments(2).source().low(), testing::SampleReplica(0).replica_id.low);
}

TEST(ConvertMesh, Runs) {
  const v1::RunList proto = ToProto(std::vector<RunSnapshot>{testing::SampleRun()});
  ASSERT_EQ(proto.runs_size(), 1);
  EXPECT_EQ(proto.runs(0).run_id(), "letters");
  EXPECT_TRUE(proto.runs(0).started());
  EXPECT_EQ(proto.runs(0).newest_round(), 101u);
  EXPECT_EQ(proto.runs(0).replicas(), 4u);
  EXPECT_EQ(proto.runs(0).local_replicas(), 1u);
  EXPECT_EQ(proto.runs(0).live_replicas(), 3u);
  EXPECT_EQ(proto.runs(0).founding().parameters(), 12000u);
}

TEST(ConvertMesh, LinksAreJoinedWithTheirPaths) {
  const v1::LinkList proto = ToProto(testing::SampleLinks());
  ASSERT_EQ(proto.links_size(), 2);
  EXPECT_EQ(proto.links(0).control_address(), "10.0.0.2:7473");
  EXPECT_EQ(proto.links(0).transport(), "tcp");
  EXPECT_EQ(proto.links(0).device(), "eth0");
  EXPECT_EQ(proto.links(0).reason(), "no RDMA device");
  EXPECT_EQ(proto.links(0).pulls_landed(), 90u);
  EXPECT_EQ(proto.links(0).sends_ended(), 80u);
  EXPECT_EQ(proto.links(0).failures(), 1u);
  EXPECT_EQ(proto.links(0).frames_refused(), 4u);
  EXPECT_EQ(proto.links(0).requests_refused(), 3u);
  EXPECT_EQ(proto.links(1).frames_refused(), 0u);
  EXPECT_EQ(proto.links(0).cuts(), 2u);
  EXPECT_EQ(proto.links(0).goodput_bytes_per_second(), (5 << 20) / 2.0);
  EXPECT_EQ(proto.links(1).transport(), "");
  EXPECT_EQ(proto.links(1).goodput_bytes_per_second(), 0);
}

TEST(ConvertMesh, Config) {
  const v1::EffectiveConfig proto = ToProto(testing::SampleConfig());
  EXPECT_EQ(proto.config().seeds(0), "10.0.0.2:7473");
  EXPECT_EQ(proto.version(), "0.1.0");
  EXPECT_EQ(proto.transport_settings().at("TCP_TX_SEG_SIZE"), "256k");
  EXPECT_EQ(proto.detection_ms(), 2570);
  ASSERT_EQ(proto.derived_times_size(), 1);
  EXPECT_EQ(proto.derived_times(0).run_id(), "letters");
  EXPECT_EQ(proto.derived_times(0).round_deadline_ms(), 1500);
  EXPECT_EQ(proto.derived_times(0).probe_timeout_ms(), 300);
  EXPECT_EQ(proto.derived_times(0).overlap_grace_ms(), 150);
  EXPECT_EQ(proto.derived_times(0).publish_wait_ms(), 150);
}

}  // namespace
}  // namespace weightmesh
