// It contracts as the law says: without training, a round of a random cycle or derangement shrinks
// a segment's spread around the mean by (n-2)/(2(n-1)) on average (paper.md of the method: E‖x -
// x̄‖²).
//
// A single ratio scatters widely, so that their mean over 64 segments and 12 rounds is itself a
// random number of the schedule's seed. The first test says of how wide a one, with the product's
// schedules and arithmetic in double; the second takes one seed on real daemons, and must come to
// what the first computes for that seed.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "daemon/core/run_config.h"
#include "daemon/core/schedule.h"
#include "daemon/core/view.h"
#include "tests/process/mesh.h"
#include "tests/process/trainers.h"

namespace weightmesh {
namespace {

constexpr int kReplicas = 8;
constexpr uint64_t kSegments = 64;
constexpr uint64_t kSegmentParameters = 16;
constexpr uint64_t kRounds = 12;
constexpr double kLaw = (kReplicas - 2) / (2.0 * (kReplicas - 1));
constexpr double kTolerance = 0.05;
constexpr int kSeeds = 200;

GossipOptions Options(attach::ScheduleKind schedule, uint64_t seed) {
  GossipOptions options;
  options.run_id = std::string("contraction-") + ScheduleName(schedule);
  options.schedule = schedule;
  options.seed = seed;
  options.replicas = kReplicas;
  options.segments = kSegments;
  options.parameters = kSegments * kSegmentParameters;
  options.steps = kRounds;
  options.own_start = true;
  options.learning = 0;
  options.trace = true;
  return options;
}

// Of one segment: the sum over replicas of ‖x - x̄‖².
template <typename Number>
double Spread(const std::vector<std::vector<Number>>& replicas, uint64_t segment) {
  double spread = 0;
  for (uint64_t p = segment * kSegmentParameters; p < (segment + 1) * kSegmentParameters; ++p) {
    double mean = 0;
    for (const auto& weights : replicas) mean += static_cast<double>(weights[p]) / kReplicas;
    for (const auto& weights : replicas) spread += (weights[p] - mean) * (weights[p] - mean);
  }
  return spread;
}

// The mean over segments and rounds of after/before; `rounds` begins with the start. A segment that
// agrees already, as it may exactly after three matchings, has no ratio but that of its rounding:
// it is left out. That is decided by what was before, so that it biases nothing.
template <typename Number>
double MeanRatio(const std::vector<std::vector<std::vector<Number>>>& rounds) {
  constexpr double kAgrees = 1e-9;  // of the spread at the start
  double sum = 0;
  uint64_t ratios = 0;
  for (uint64_t segment = 0; segment < kSegments; ++segment) {
    const double start = Spread(rounds[0], segment);
    double before = start;
    for (uint64_t round = 1; round < rounds.size() && before > kAgrees * start; ++round) {
      const double after = Spread(rounds[round], segment);
      sum += after / before;
      ++ratios;
      before = after;
    }
  }
  return sum / static_cast<double>(ratios);
}

// What the schedule of `options` does to the weights, in double.
double ComputedRatio(const GossipOptions& options) {
  std::vector<ReplicaId> ids;
  for (int k = 0; k < kReplicas; ++k) ids.push_back(MakeReplicaId(options.run_id, ReplicaName(k)));
  const View view(ids);
  std::vector<int> replica_of_rank(kReplicas);
  for (int k = 0; k < kReplicas; ++k) replica_of_rank[*view.RankOf(ids[k])] = k;
  const auto schedule = MakeSchedule(options.schedule, options.seed);
  std::vector<std::vector<std::vector<double>>> rounds(1);
  for (const std::vector<float>& start : StartWeights(options)) {
    rounds[0].emplace_back(start.begin(), start.end());
  }
  for (uint64_t round = 1; round <= kRounds; ++round) {
    const auto& before = rounds.back();
    auto after = before;
    for (uint64_t segment = 0; segment < kSegments; ++segment) {
      for (uint32_t rank = 0; rank < kReplicas; ++rank) {
        const Partners partners = schedule->PartnersOf(
            view, Round{round}, SegmentId{static_cast<uint32_t>(segment)}, rank);
        const auto& peer = before[replica_of_rank[partners.source]];
        auto& own = after[replica_of_rank[rank]];
        for (uint64_t p = segment * kSegmentParameters; p < (segment + 1) * kSegmentParameters;
             ++p) {
          own[p] += 0.5 * (peer[p] - own[p]);
        }
      }
    }
    rounds.push_back(std::move(after));
  }
  return MeanRatio(rounds);
}

class Contraction : public testing::TestWithParam<attach::ScheduleKind> {};

TEST_P(Contraction, FollowsTheLawForNearlyEverySeed) {
  double sum = 0;
  double squares = 0;
  int within = 0;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const double off = ComputedRatio(Options(GetParam(), seed)) / kLaw - 1;
    sum += off;
    squares += off * off;
    within += std::abs(off) <= kTolerance;
  }
  const double mean = sum / kSeeds;
  const double deviation = std::sqrt(squares / kSeeds - mean * mean);
  std::printf("%s: over %d seeds %.2f %% off the law, standard deviation %.2f %%; %d within 5 %%\n",
              ScheduleName(GetParam()), kSeeds, 100 * mean, 100 * deviation, within);
  EXPECT_GE(within, kSeeds * 99 / 100);
  EXPECT_LE(std::abs(mean), 4 * deviation / std::sqrt(kSeeds)) << "the estimate is biased";
}

TEST_P(Contraction, OfRealDaemonsFollowsTheLaw) {
  Mesh mesh(kReplicas);
  GossipRun run(&mesh, Options(GetParam(), /*seed=*/1));
  std::vector<std::vector<std::vector<float>>> rounds(kRounds + 1);
  rounds[0] = StartWeights(run.options());
  for (int k = 0; k < kReplicas; ++k) {
    const TrainerResult result = run.Result(k, absl::Seconds(60));
    ASSERT_EQ(result.exit_code, 0);
    ASSERT_EQ(result.Pulls(Outcome::kArrived), kRounds * kSegments) << result.DescribePulls();
    const auto trace = run.Trace(k);
    ASSERT_EQ(trace.size(), kRounds);
    for (uint64_t round = 1; round <= kRounds; ++round) rounds[round].push_back(trace[round - 1]);
  }
  EXPECT_EQ(mesh.FramesRefused(), 0u) << "a pull was redirected, so the schedule is not followed";
  const double ratio = MeanRatio(rounds);
  std::printf("%s: %.4f a round, by the law %.4f\n", ScheduleName(GetParam()), ratio, kLaw);
  EXPECT_NEAR(ratio, kLaw, kTolerance * kLaw);
  EXPECT_NEAR(ratio, ComputedRatio(run.options()), 1e-4 * kLaw);
}

INSTANTIATE_TEST_SUITE_P(Schedules, Contraction,
                         testing::Values(attach::ScheduleKind::kHashCycle,
                                         attach::ScheduleKind::kDerangement),
                         [](const auto& info) { return std::string(ScheduleName(info.param)); });

}  // namespace
}  // namespace weightmesh
