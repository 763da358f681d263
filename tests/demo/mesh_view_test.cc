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
  track.Mark("daemon killed");
  track.Update(3, std::nullopt);
  EXPECT_EQ(track.row().state, "daemon killed");
  EXPECT_TRUE(track.row().missing);
  ASSERT_TRUE(track.last().has_value());
  EXPECT_EQ(track.last()->round(), 9u);
}

TEST(ReplicaTrack, AMarkStandsForTheStateUntilItIsTakenAway) {
  ReplicaTrack track(0);
  track.Update(0, Answer(Replica(9)));
  EXPECT_TRUE(track.active());
  track.Mark("joining");
  EXPECT_FALSE(track.active()) << "that was before";
  EXPECT_FALSE(track.row().counts);
  track.Update(1, Answer(Replica(9)));
  EXPECT_TRUE(track.active());
  EXPECT_EQ(track.row().state, "joining");
  EXPECT_TRUE(track.row().missing);
  EXPECT_FALSE(track.row().counts);
  track.Mark("");
  EXPECT_EQ(track.row().state, "training");
  EXPECT_TRUE(track.row().counts);
  EXPECT_FALSE(track.row().missing);
}

TEST(ReplicaTrack, WhoJoinsOrLeavesIsMissing) {
  for (const auto& [state, text] : {std::pair(v1::REPLICA_STATE_JOINING, "joining"),
                                    {v1::REPLICA_STATE_DRAINING, "draining"},
                                    {v1::REPLICA_STATE_DEAD, "dead"}}) {
    v1::ReplicaStats stats = Replica(1);
    stats.set_state(state);
    ReplicaTrack track(0);
    track.Update(0, Answer(stats));
    EXPECT_EQ(track.row().state, text);
    EXPECT_TRUE(track.row().missing);
    EXPECT_FALSE(track.active());
  }
}

TEST(ReplicaTrack, CountsGoOnInTheNextLife) {
  v1::ReplicaStats stats = Replica(20);
  stats.set_redirects(7);
  ReplicaTrack track(0);
  track.Update(0, Answer(stats));
  stats = Replica(3);
  stats.set_redirects(2);
  track.Update(1, Answer(stats));
  EXPECT_EQ(track.row().redirects, 9u);
  EXPECT_EQ(track.row().steps, 23u);
  EXPECT_EQ(track.row().round, 3u);
}

TEST(MeshTrack, ProgressIsThatOfTheSlowestThatCounts) {
  MeshTrack track({100, 100, 100});
  EXPECT_EQ(track.View(0).round, 0u);
  track.Update(10, {Answer(Replica(1)), Answer(Replica(1)), Answer(Replica(1))});
  EXPECT_FALSE(track.View(10).seconds_left.has_value());  // too early to tell
  EXPECT_FALSE(track.View(11).seconds_left.has_value());  // nothing moves
  track.Update(20, {Answer(Replica(25)), Answer(Replica(40)), Answer(Replica(10))});
  EXPECT_EQ(track.View(20).round, 10u);
  track.Mark(2, "daemon killed");
  const MeshView view = track.View(20);
  EXPECT_EQ(view.round, 25u);
  ASSERT_TRUE(view.seconds_left.has_value());
  EXPECT_DOUBLE_EQ(*view.seconds_left, 75 / 2.4);  // 24 rounds took 10 s
  EXPECT_EQ(view.rows.size(), 3u);
}

TEST(MeshTrack, WhereReplicasJoinProgressIsTheRunsRound) {
  MeshTrack track({100, 100}, /*replicas_join=*/true);
  v1::ReplicaStats joined = Replica(1);
  joined.set_round(51);
  track.Update(10, {Answer(Replica(50)), Answer(joined)});
  EXPECT_EQ(track.View(10).round, 51u);
  EXPECT_EQ(track.newest_round(), 51u);
  track.Update(11, {std::nullopt, Answer(Replica(0))});
  EXPECT_EQ(track.View(11).round, 51u) << "another life begins at none, the run goes on";
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
