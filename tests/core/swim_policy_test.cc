// The failure detector's numbers against the published formulas.
#include "daemon/core/swim_policy.h"

#include <gtest/gtest.h>

#include "daemon/core/local_health.h"
#include "daemon/core/suspicion.h"

namespace weightmesh::swim {
namespace {

absl::Duration Ms(double ms) { return absl::Milliseconds(1) * ms; }

SwimOptions MemberlistLan() {
  SwimOptions options;
  options.probe_interval = absl::Seconds(1);
  options.suspicion_mult = 5;
  options.suspicion_max_mult = 6;
  options.gossip_interval = Ms(200);
  return options;
}

// memberlist: suspicionMult · max(1, log10(max(1, n))) · interval.
TEST(SwimPolicy, SuspicionGrowsWithTheLogarithmOfTheNodes) {
  const SwimOptions options = MemberlistLan();
  const struct {
    size_t nodes;
    double seconds;
  } table[] = {{0, 5},    {1, 5},           {5, 5},     {10, 5},    {50, 8.494850},
               {100, 10}, {500, 13.494850}, {1000, 15}, {10000, 20}};
  for (const auto& row : table) {
    EXPECT_NEAR(absl::ToDoubleSeconds(SuspicionMin(options, row.nodes)), row.seconds, 1e-5)
        << row.nodes << " nodes";
    EXPECT_NEAR(absl::ToDoubleSeconds(SuspicionMax(options, row.nodes)), 6 * row.seconds, 1e-4)
        << row.nodes << " nodes";
  }
}

TEST(SwimPolicy, SuspicionHasAFloor) {
  SwimOptions options = MemberlistLan();
  options.suspicion_floor = absl::Seconds(9);
  EXPECT_EQ(SuspicionMin(options, 8), absl::Seconds(9));
  EXPECT_EQ(SuspicionMin(options, 100), absl::Seconds(10));
}

// Lifeguard: max − (max − min) · log(c + 1) / log(k + 1); here k = 3, 2 s and 30 s.
TEST(SwimPolicy, ConfirmationsShortenTheSuspicion) {
  const struct {
    uint32_t confirmations;
    double seconds;
  } table[] = {{0, 30}, {1, 16}, {2, 7.8098}, {3, 2}, {4, 2}};
  for (const auto& row : table) {
    EXPECT_NEAR(absl::ToDoubleSeconds(
                    SuspicionTimeout(absl::Seconds(2), absl::Seconds(30), row.confirmations, 3)),
                row.seconds, 1e-3)
        << row.confirmations << " confirmations";
  }
  EXPECT_EQ(SuspicionTimeout(absl::Seconds(2), absl::Seconds(30), 0, 0), absl::Seconds(2));
}

TEST(SwimPolicy, NoMoreConfirmationsAreWantedThanThereAreOthers) {
  SwimOptions options;
  options.confirmations = 3;
  const uint32_t wanted[] = {0, 0, 0, 1, 2, 3, 3};
  for (size_t nodes = 0; nodes < 7; ++nodes) {
    EXPECT_EQ(ConfirmationsWanted(options, nodes), wanted[nodes]) << nodes << " nodes";
  }
}

// memberlist: mult · ceil(log10(n + 1)).
TEST(SwimPolicy, RetransmitLimit) {
  const struct {
    size_t nodes;
    uint32_t limit;
  } table[] = {{0, 0}, {1, 3}, {9, 3}, {10, 6}, {64, 6}, {99, 6}, {100, 9}, {999, 9}, {1000, 12}};
  for (const auto& row : table) {
    EXPECT_EQ(RetransmitLimit(3, row.nodes), row.limit) << row.nodes << " nodes";
  }
}

// memberlist: from the 33rd node on twice the interval, from the 65th on three times.
TEST(SwimPolicy, PushPullInterval) {
  const struct {
    size_t nodes;
    int intervals;
  } table[] = {{1, 1}, {32, 1}, {33, 2}, {64, 2}, {65, 3}, {128, 3}, {1024, 6}, {4096, 8}};
  for (const auto& row : table) {
    EXPECT_EQ(PushPullInterval(absl::Seconds(30), row.nodes), row.intervals * absl::Seconds(30))
        << row.nodes << " nodes";
  }
}

TEST(SwimPolicy, HealthScalesTimes) {
  EXPECT_EQ(ScaledByHealth(Ms(500), 0), Ms(500));
  EXPECT_EQ(ScaledByHealth(Ms(500), 7), Ms(4000));
  EXPECT_EQ(RelayTimeout(Ms(500)), Ms(400));
}

// Lifeguard's table: probe answered −1, probe failed +1, nack missed +1, refuted +1.
TEST(SwimPolicy, LocalHealthCounts) {
  LocalHealth health(8);
  health.ProbeAnswered();
  EXPECT_EQ(health.score(), 0u);
  health.ProbeFailed(0);
  EXPECT_EQ(health.score(), 1u);
  health.ProbeFailed(3);
  EXPECT_EQ(health.score(), 5u);
  health.Refuted();
  EXPECT_EQ(health.score(), 6u);
  health.Stalled();
  EXPECT_EQ(health.score(), 7u);
  health.Refuted();
  EXPECT_EQ(health.score(), 7u) << "below the maximum";
  health.ProbeAnswered();
  EXPECT_EQ(health.score(), 6u);
  LocalHealth off(1);
  off.ProbeFailed(5);
  EXPECT_EQ(off.score(), 0u);
}

TEST(SwimPolicy, SuspicionCountsDistinctAccusers) {
  const absl::Time begin = absl::UnixEpoch();
  const auto node = [](uint64_t k) { return NodeId{1, k}; };
  Suspicion suspicion(node(1), begin, absl::Seconds(2), absl::Seconds(30), 3);
  EXPECT_EQ(suspicion.deadline(), begin + absl::Seconds(30));
  EXPECT_FALSE(suspicion.Confirm(node(1))) << "the first accuser";
  EXPECT_TRUE(suspicion.Confirm(node(2)));
  EXPECT_FALSE(suspicion.Confirm(node(2)));
  EXPECT_EQ(suspicion.deadline(), begin + absl::Seconds(16));
  EXPECT_TRUE(suspicion.Confirm(node(3)));
  EXPECT_TRUE(suspicion.Confirm(node(4)));
  EXPECT_FALSE(suspicion.Confirm(node(5))) << "enough";
  EXPECT_EQ(suspicion.accusers().size(), kAccusersMax);
  EXPECT_EQ(suspicion.deadline(), begin + absl::Seconds(2));
  suspicion.PushBack(absl::Seconds(1));
  EXPECT_EQ(suspicion.deadline(), begin + absl::Seconds(3));
  suspicion.Restart(begin + absl::Seconds(5));
  EXPECT_EQ(suspicion.deadline(), begin + absl::Seconds(35));
  EXPECT_FALSE(suspicion.Confirm(node(2))) << "an old accuser says nothing new";
}

TEST(SwimPolicy, OptionsFollowFromTheDetectionTarget) {
  for (const absl::Duration target : {absl::Seconds(1), absl::Seconds(3), absl::Seconds(30)}) {
    const SwimOptions options = OptionsFor(target);
    const double expected =
        absl::ToDoubleSeconds(ExpectedDetection(options, kDetectionTargetNodes));
    EXPECT_NEAR(expected, 0.9 * absl::ToDoubleSeconds(target),
                0.02 * absl::ToDoubleSeconds(target));
    EXPECT_LT(options.probe_timeout, options.probe_interval);
    EXPECT_LT(options.gossip_interval, options.probe_interval);
    EXPECT_GE(SuspicionMin(options, 2), target / 2) << "a pause of half the target is survived";
    EXPECT_LT(ExpectedDetection(options, 8), ExpectedDetection(options, 1024));
  }
  EXPECT_EQ(OptionsFor(absl::ZeroDuration()).probe_interval, kProbeIntervalMin);
}

// Worked by hand: median of the first probe, one interval, suspicion, half of the dissemination.
TEST(SwimPolicy, ExpectedDetection) {
  SwimOptions options = MemberlistLan();
  options.confirmations = 0;
  // 0.6931 + 1 + 5 · log10(64) + 0.2 · ceil(log4(64)) / 2
  EXPECT_NEAR(absl::ToDoubleSeconds(ExpectedDetection(options, 64)), 0.69315 + 1 + 9.0309 + 0.3,
              1e-3);
  options.confirmations = 3;  // the third after 3 s, which is less than 9.03
  EXPECT_NEAR(absl::ToDoubleSeconds(ExpectedDetection(options, 64)), 0.69315 + 1 + 9.0309 + 0.3,
              1e-3);
  options.suspicion_mult = 1;  // 1.806, so that the third confirmation is what is waited for
  EXPECT_NEAR(absl::ToDoubleSeconds(ExpectedDetection(options, 64)), 0.69315 + 1 + 3 + 0.3, 1e-3);
}

}  // namespace
}  // namespace weightmesh::swim
