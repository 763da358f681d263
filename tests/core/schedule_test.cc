// The laws of every schedule, and vectors that hold on every machine.
#include "daemon/core/schedule.h"

#include <gtest/gtest.h>

#include <bit>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/core/hash.h"

namespace weightmesh {
namespace {

std::vector<ReplicaId> Replicas(uint32_t count) {
  std::vector<ReplicaId> ids;
  for (uint32_t k = 0; k < count; ++k)
    ids.push_back(MakeReplicaId("run", absl::StrCat("host/", k)));
  return ids;
}

std::vector<uint32_t> Sources(Schedule& schedule, const View& view, uint64_t round,
                              uint32_t segment) {
  std::vector<uint32_t> sources;
  for (uint32_t rank = 0; rank < view.size(); ++rank) {
    sources.push_back(schedule.PartnersOf(view, Round{round}, SegmentId{segment}, rank).source);
  }
  return sources;
}

// --- laws of all schedules ---

class EverySchedule : public testing::TestWithParam<ScheduleKind> {};

TEST_P(EverySchedule, GivesEachReplicaOneReaderAndItsSinkAgrees) {
  for (const uint32_t n : {2u, 3u, 4u, 7u, 8u, 33u}) {
    const View view(Replicas(n));
    const auto schedule = MakeSchedule(GetParam(), 42);
    for (uint64_t round = 1; round <= 40; ++round) {
      for (uint32_t segment = 0; segment < 3; ++segment) {
        const std::vector<uint32_t> sources = Sources(*schedule, view, round, segment);
        EXPECT_EQ(std::set<uint32_t>(sources.begin(), sources.end()).size(), n);
        for (uint32_t rank = 0; rank < n; ++rank) {
          ASSERT_NE(sources[rank], rank);
          const Partners of_source =
              schedule->PartnersOf(view, Round{round}, SegmentId{segment}, sources[rank]);
          ASSERT_EQ(of_source.sink, rank);
        }
      }
    }
  }
}

TEST_P(EverySchedule, AloneOneIsItsOwnPartner) {
  const View view(Replicas(1));
  const Partners partners =
      MakeSchedule(GetParam(), 42)->PartnersOf(view, Round{1}, SegmentId{0}, 0);
  EXPECT_EQ(partners.source, 0u);
  EXPECT_EQ(partners.sink, 0u);
}

TEST_P(EverySchedule, TwoReadEachOther) {
  const View view(Replicas(2));
  const auto schedule = MakeSchedule(GetParam(), 42);
  EXPECT_EQ(Sources(*schedule, view, 9, 4), (std::vector<uint32_t>{1, 0}));
}

TEST_P(EverySchedule, DoesNotDependOnWhatWasAskedBefore) {
  const View view(Replicas(9));
  const auto fresh = MakeSchedule(GetParam(), 42);
  const auto used = MakeSchedule(GetParam(), 42);
  for (uint64_t round = 50; round > 0; --round) Sources(*used, view, round, 1);
  Sources(*used, View(Replicas(5)), 7, 1);
  EXPECT_EQ(Sources(*used, view, 7, 1), Sources(*fresh, view, 7, 1));
}

INSTANTIATE_TEST_SUITE_P(All, EverySchedule,
                         testing::Values(ScheduleKind::kHashCycle, ScheduleKind::kDerangement,
                                         ScheduleKind::kExponential),
                         [](const auto& info) { return std::string(ScheduleName(info.param)); });

// --- vectors: seed 42, replicas host/0 to host/7 of the run "run" ---

struct Vector {
  ScheduleKind kind;
  uint64_t round;
  uint32_t segment;
  std::vector<uint32_t> sources;
};

TEST(Schedule, Vectors) {
  const std::vector<Vector> vectors = {
      {ScheduleKind::kHashCycle, 1, 0, {4, 5, 0, 2, 1, 6, 7, 3}},
      {ScheduleKind::kHashCycle, 1, 1, {2, 3, 4, 0, 6, 1, 7, 5}},
      {ScheduleKind::kHashCycle, 2, 0, {4, 0, 6, 5, 3, 7, 1, 2}},
      {ScheduleKind::kHashCycle, 3, 1, {1, 6, 4, 7, 3, 2, 5, 0}},
      {ScheduleKind::kDerangement, 1, 0, {7, 4, 5, 6, 2, 1, 3, 0}},
      {ScheduleKind::kDerangement, 1, 1, {2, 4, 5, 6, 0, 7, 3, 1}},
      {ScheduleKind::kDerangement, 2, 0, {3, 4, 1, 5, 6, 2, 7, 0}},
      {ScheduleKind::kDerangement, 3, 1, {1, 7, 6, 4, 5, 0, 3, 2}},
      {ScheduleKind::kExponential, 1, 0, {2, 3, 4, 5, 6, 7, 0, 1}},
      {ScheduleKind::kExponential, 2, 1, {4, 5, 6, 7, 0, 1, 2, 3}},
      {ScheduleKind::kExponential, 3, 0, {1, 2, 3, 4, 5, 6, 7, 0}},
  };
  const View view(Replicas(8));
  for (const Vector& vector : vectors) {
    const auto schedule = MakeSchedule(vector.kind, 42);
    EXPECT_EQ(Sources(*schedule, view, vector.round, vector.segment), vector.sources)
        << ScheduleName(vector.kind) << " round " << vector.round << " segment " << vector.segment;
  }
}

// --- hash_cycle ---

TEST(HashCycle, IsOneCycleThroughAll) {
  for (const uint32_t n : {3u, 5u, 16u, 50u}) {
    const View view(Replicas(n));
    const auto schedule = MakeSchedule(ScheduleKind::kHashCycle, 1);
    for (uint64_t round = 1; round <= 50; ++round) {
      const std::vector<uint32_t> sources = Sources(*schedule, view, round, 0);
      uint32_t length = 1;  // so there are no 2-cycles for n >= 3 either
      for (uint32_t at = sources[0]; at != 0; at = sources[at]) ++length;
      ASSERT_EQ(length, n);
    }
  }
}

// Who leaves is skipped by its one reader; all others keep their source.
TEST(HashCycle, OneMemberLessChangesOneAssignment) {
  std::vector<ReplicaId> ids = Replicas(12);
  const View all(ids);
  const ReplicaId gone = ids[5];
  ids.erase(ids.begin() + 5);
  const View rest(ids);
  const auto schedule = MakeSchedule(ScheduleKind::kHashCycle, 3);
  for (uint64_t round = 1; round <= 200; ++round) {
    const std::vector<uint32_t> before = Sources(*schedule, all, round, 0);
    const std::vector<uint32_t> after = Sources(*schedule, rest, round, 0);
    int changed = 0;
    for (uint32_t rank = 0; rank < rest.size(); ++rank) {
      const uint32_t former = *all.RankOf(rest.replica(rank));
      const ReplicaId source = all.replica(before[former]);
      if (source == rest.replica(after[rank])) continue;
      ++changed;
      EXPECT_EQ(source, gone);
      // Redirect: the next successor, found without a message.
      EXPECT_EQ(rest.replica(after[rank]), all.replica(before[*all.RankOf(gone)]));
    }
    ASSERT_EQ(changed, 1) << "round " << round;
  }
}

// Rounds x of replica 0's sources against a uniform draw; 99.9 % of chi-square.
void ExpectUniformSource(ScheduleKind kind) {
  constexpr uint32_t kReplicas = 7;
  constexpr int kRounds = 12000;
  const View view(Replicas(kReplicas));
  const auto schedule = MakeSchedule(kind, 5);
  std::map<uint32_t, int> counts;
  for (uint64_t round = 1; round <= kRounds; ++round) {
    ++counts[schedule->PartnersOf(view, Round{round}, SegmentId{0}, 0).source];
  }
  EXPECT_EQ(counts.count(0), 0u);
  const double expected = kRounds / (kReplicas - 1.0);
  double chi_square = 0;
  for (uint32_t rank = 1; rank < kReplicas; ++rank) {
    chi_square += (counts[rank] - expected) * (counts[rank] - expected) / expected;
  }
  EXPECT_LT(chi_square, 20.5);  // 5 degrees of freedom
}

TEST(HashCycle, SourceIsUniformAmongTheOthers) { ExpectUniformSource(ScheduleKind::kHashCycle); }
TEST(Derangement, SourceIsUniformAmongTheOthers) {
  ExpectUniformSource(ScheduleKind::kDerangement);
}

TEST(HashCycle, SegmentsAndSeedsDiffer) {
  const View view(Replicas(16));
  const auto schedule = MakeSchedule(ScheduleKind::kHashCycle, 1);
  const auto other = MakeSchedule(ScheduleKind::kHashCycle, 2);
  EXPECT_NE(Sources(*schedule, view, 1, 0), Sources(*schedule, view, 1, 1));
  EXPECT_NE(Sources(*schedule, view, 1, 0), Sources(*schedule, view, 2, 0));
  EXPECT_NE(Sources(*schedule, view, 1, 0), Sources(*other, view, 1, 0));
}

// --- derangement ---

TEST(Derangement, IsUniformOverAllNineOfFour) {
  constexpr int kRounds = 18000;
  const View view(Replicas(4));
  const auto schedule = MakeSchedule(ScheduleKind::kDerangement, 9);
  std::map<std::vector<uint32_t>, int> counts;
  for (uint64_t round = 1; round <= kRounds; ++round) ++counts[Sources(*schedule, view, round, 0)];
  ASSERT_EQ(counts.size(), 9u);
  const double expected = kRounds / 9.0;
  double chi_square = 0;
  for (const auto& [sources, count] : counts) {
    chi_square += (count - expected) * (count - expected) / expected;
  }
  EXPECT_LT(chi_square, 26.1);  // 8 degrees of freedom, 99.9 %
}

// --- exponential ---

TEST(Exponential, AveragesExactlyAfterLog2Rounds) {
  for (const uint32_t n : {2u, 4u, 8u, 32u}) {
    const View view(Replicas(n));
    const auto schedule = MakeSchedule(ScheduleKind::kExponential, 0);
    for (uint64_t first = 1; first <= 4; ++first) {
      std::vector<double> values(n, 0.0);
      values[n / 3] = n;  // the mean is 1
      for (uint64_t round = first; round < first + std::bit_width(n - 1); ++round) {
        const std::vector<double> before = values;
        const std::vector<uint32_t> sources = Sources(*schedule, view, round, 0);
        for (uint32_t k = 0; k < n; ++k) values[k] = (before[k] + before[sources[k]]) / 2;
      }
      for (double value : values) EXPECT_EQ(value, 1.0);
    }
  }
}

TEST(Schedule, OnlyTheRandomOnesEstimateTheConsensusDistance) {
  EXPECT_TRUE(MakeSchedule(ScheduleKind::kHashCycle, 0)->source_is_uniform());
  EXPECT_TRUE(MakeSchedule(ScheduleKind::kDerangement, 0)->source_is_uniform());
  EXPECT_FALSE(MakeSchedule(ScheduleKind::kExponential, 0)->source_is_uniform());
}

}  // namespace
}  // namespace weightmesh
