// From statistics to rows.
#include "deploy/demo/mesh_view.h"

#include <gtest/gtest.h>

namespace weightmesh::demo {
namespace {

v1::ReplicaStats Replica(uint64_t round, uint64_t bytes = 0) {
  v1::ReplicaStats stats;
  stats.set_state(v1::REPLICA_STATE_ACTIVE);
  stats.set_round(round);
  stats.set_rounds_published(round);
  stats.set_bytes_received(bytes);
  return stats;
}

std::optional<v1::Stats> Answer(const v1::ReplicaStats& replica) {
  v1::Stats stats;
  *stats.add_replicas() = replica;
  return stats;
}

TEST(MedianOfHistogram, LiesInTheBucketOfTheMiddleValue) {
  v1::Histogram histogram;
  EXPECT_EQ(Median(histogram), 0);
  for (uint64_t count : {0, 0, 1, 2, 1}) histogram.add_buckets(count);
  histogram.set_count(4);
  EXPECT_DOUBLE_EQ(Median(histogram), 12);  // the middle of 8 … 16
  v1::Histogram zeros;
  zeros.add_buckets(10);
  zeros.set_count(10);
  EXPECT_LE(Median(zeros), 2);
}

TEST(ReplicaTrack, TakesTheRowFromTheStatistics) {
  v1::ReplicaStats stats = Replica(7);
  stats.set_publishes_skipped(2);
  stats.set_consensus_distance(0.25);
  for (auto [outcome, count] : {std::pair(v1::OUTCOME_ARRIVED, 100),
                                {v1::OUTCOME_LATE, 3},
                                {v1::OUTCOME_GONE, 4},
                                {v1::OUTCOME_DEAD, 5}}) {
    v1::OutcomeCount* pulls = stats.add_pulls();
    pulls->set_outcome(outcome);
    pulls->set_count(static_cast<uint64_t>(count));
  }
  for (auto [name, value] : {std::pair("accuracy", 0.5), {"loss", 1.5}}) {
    v1::Scalar* scalar = stats.add_scalars();
    scalar->set_name(name);
    scalar->set_value(value);
  }
  ReplicaTrack track(3);
  track.Update(0, Answer(stats));
  const ReplicaRow& row = track.row();
  EXPECT_EQ(row.replica, 3);
  EXPECT_EQ(row.state, "training");
  EXPECT_TRUE(row.counts);
  EXPECT_EQ(row.round, 7u);
  EXPECT_EQ(row.steps, 9u);
  EXPECT_EQ(row.arrived, 100u);
  EXPECT_EQ(row.late, 3u);
  EXPECT_EQ(row.other, 9u);
  EXPECT_EQ(row.loss, 1.5);
  EXPECT_EQ(row.consensus_distance, 0.25);
}

TEST(ReplicaTrack, RateIsThatOfTheLastSecond) {
  ReplicaTrack track(0);
  track.Update(0, Answer(Replica(1, 0)));
  EXPECT_EQ(track.row().megabytes_per_second, 0);
  track.Update(0.5, Answer(Replica(1, 1'000'000)));
  EXPECT_DOUBLE_EQ(track.row().megabytes_per_second, 2);
  track.Update(1.5, Answer(Replica(1, 4'000'000)));
  EXPECT_DOUBLE_EQ(track.row().megabytes_per_second, 3);
  track.Update(2.5, Answer(Replica(1, 4'000'000)));
  EXPECT_DOUBLE_EQ(track.row().megabytes_per_second, 0);
}

TEST(ReplicaTrack, SaysWhyThereIsNothingNew) {
  ReplicaTrack track(0);
  track.Update(0, v1::Stats());
  EXPECT_EQ(track.row().state, "starting");
  track.Update(1, Answer(Replica(9)));
  track.Update(2, std::nullopt);
  EXPECT_EQ(track.row().state, "no answer");
  EXPECT_FALSE(track.row().counts);
  EXPECT_EQ(track.row().round, 9u);
  track.MarkKilled();
  track.Update(3, std::nullopt);
  EXPECT_EQ(track.row().state, "daemon killed");
  ASSERT_TRUE(track.last().has_value());
  EXPECT_EQ(track.last()->round(), 9u);
}

TEST(MeshTrack, ProgressIsThatOfTheSlowestThatCounts) {
  MeshTrack track({100, 100, 100});
  EXPECT_EQ(track.View(0).round, 0u);
  track.Update(10, {Answer(Replica(1)), Answer(Replica(1)), Answer(Replica(1))});
  EXPECT_FALSE(track.View(10).seconds_left.has_value());  // too early to tell
  EXPECT_FALSE(track.View(11).seconds_left.has_value());  // nothing moves
  track.Update(20, {Answer(Replica(25)), Answer(Replica(40)), Answer(Replica(10))});
  EXPECT_EQ(track.View(20).round, 10u);
  track.MarkKilled(2);
  const MeshView view = track.View(20);
  EXPECT_EQ(view.round, 25u);
  ASSERT_TRUE(view.seconds_left.has_value());
  EXPECT_DOUBLE_EQ(*view.seconds_left, 75 / 2.4);  // 24 rounds took 10 s
  EXPECT_EQ(view.rows.size(), 3u);
}

TEST(MeshTrack, OneWithFewerRoundsCountsAsFarAsItIs) {
  MeshTrack track({90, 30});
  track.Update(10, {Answer(Replica(60)), Answer(Replica(15))});
  EXPECT_EQ(track.View(10).round, 45u);
  EXPECT_EQ(track.View(10).rounds_total, 90u);
  track.Update(20, {Answer(Replica(90)), Answer(Replica(30))});
  EXPECT_EQ(track.View(20).round, 90u);
}

}  // namespace
}  // namespace weightmesh::demo
