// Counts over several lives.
#include "deploy/demo/replica_lives.h"

#include <gtest/gtest.h>

namespace weightmesh::demo {
namespace {

v1::ReplicaStats Stats(uint64_t rounds, v1::Outcome outcome, uint64_t pulls,
                       const std::string& source) {
  v1::ReplicaStats stats;
  stats.set_round(100 + rounds);
  stats.set_rounds_published(rounds);
  stats.set_publishes_skipped(1);
  stats.set_redirects(rounds);
  stats.set_bytes_received(10 * rounds);
  v1::OutcomeCount* count = stats.add_pulls();
  count->set_outcome(outcome);
  count->set_count(pulls);
  v1::SourceStats* from = stats.add_sources();
  from->set_name(source);
  from->set_arrived(pulls);
  return stats;
}

TEST(ReplicaLives, OneLifeIsAsItsDaemonSays) {
  ReplicaLives lives;
  EXPECT_FALSE(lives.total().has_value());
  lives.Update(Stats(5, v1::OUTCOME_ARRIVED, 50, "replica-1"));
  lives.Update(Stats(7, v1::OUTCOME_ARRIVED, 70, "replica-1"));
  EXPECT_EQ(lives.total()->rounds_published(), 7u);
  EXPECT_EQ(lives.total()->redirects(), 7u);
  EXPECT_EQ(lives.total()->pulls(0).count(), 70u);
  EXPECT_EQ(lives.total()->sources(0).arrived(), 70u);
}

TEST(ReplicaLives, AnotherLifeIsAdded) {
  ReplicaLives lives;
  lives.Update(Stats(5, v1::OUTCOME_ARRIVED, 50, "replica-1"));
  lives.Update(Stats(0, v1::OUTCOME_LATE, 1, "replica-2"));
  lives.Update(Stats(2, v1::OUTCOME_LATE, 3, "replica-2"));
  lives.Update(Stats(1, v1::OUTCOME_ARRIVED, 10, "replica-1"));
  const v1::ReplicaStats& total = lives.total().value();
  EXPECT_EQ(total.round(), 101u) << "the newest";
  EXPECT_EQ(total.rounds_published(), 5u + 2 + 1);
  EXPECT_EQ(total.publishes_skipped(), 3u);
  EXPECT_EQ(total.redirects(), 5u + 2 + 1);
  EXPECT_EQ(total.bytes_received(), 10u * (5 + 2 + 1));
  ASSERT_EQ(total.pulls_size(), 2);
  EXPECT_EQ(total.pulls(0).outcome(), v1::OUTCOME_ARRIVED);
  EXPECT_EQ(total.pulls(0).count(), 60u);
  EXPECT_EQ(total.pulls(1).count(), 3u);
  ASSERT_EQ(total.sources_size(), 2);
  EXPECT_EQ(total.sources(0).arrived(), 60u);
  EXPECT_EQ(total.sources(1).arrived(), 3u);
}

}  // namespace
}  // namespace weightmesh::demo
