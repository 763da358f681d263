// The consensus laws of paper.md, whole meshes of up to 1,024 replicas in virtual time.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <tuple>

#include "tests/sim/simulator.h"

namespace weightmesh::sim {
namespace {

// Beyond 16 replicas several share a node: syncs among a thousand daemons would take all the time,
// and what is looked at here is who mixes whom.
SimOptions MeshOf(ScheduleKind schedule, uint32_t replicas, uint32_t segments, uint64_t rounds) {
  SimOptions options;
  options.nodes = std::min(replicas, 16u);
  options.replicas_per_node = replicas / options.nodes;
  options.segments = segments;
  options.rounds = rounds;
  options.run.schedule = schedule;
  options.run.seed = 7;
  options.run.replicas_min = 0;
  return options;
}

// Mean over rounds and segments of the ratio by which |x - mean|² shrinks in a round. What is
// nearly in agreement is left out: small meshes can agree by chance, and the rest is rounding.
double MeanContraction(const Ledger& ledger, uint32_t segments) {
  double sum = 0;
  uint64_t count = 0;
  const Ledger::RoundRecord* before = nullptr;
  for (const auto& [round, record] : ledger.rounds()) {
    for (uint32_t segment = 0; before != nullptr && segment < segments; ++segment) {
      const double spread = ledger.Spread(*before, segment);
      if (spread < 1e-20) continue;
      sum += ledger.Spread(record, segment) / spread;
      ++count;
    }
    before = &record;
  }
  return sum / static_cast<double>(count);
}

// The ratio of one round and segment varies by about 1/sqrt(n): so many give a mean to well within
// 2 %.
struct Size {
  uint32_t replicas;
  uint32_t segments;
  uint64_t rounds;
};
constexpr Size kSizes[] = {{4, 400, 16}, {8, 300, 14},  {16, 150, 14},
                           {64, 40, 12}, {256, 12, 10}, {1024, 4, 8}};

class Contraction : public testing::TestWithParam<std::tuple<ScheduleKind, Size, double>> {};

// Pulls are lost as CORRUPT: the replica keeps its own value, and nothing else changes.
TEST_P(Contraction, IsThatOfThePaper) {
  const auto [schedule, size, lost] = GetParam();
  SimOptions options = MeshOf(schedule, size.replicas, size.segments, size.rounds);
  options.faults.corrupt.rate = lost;
  Simulator simulator(options);
  simulator.StartAll();
  ASSERT_TRUE(simulator.RunToEnd());
  EXPECT_EQ(simulator.Audit(), "");
  const Ledger& ledger = simulator.ledger();
  EXPECT_EQ(ledger.Count(Outcome::kArrived) + ledger.Count(Outcome::kCorrupt),
            size.rounds * size.replicas * size.segments);
  const double n = size.replicas;
  const double random = (n - 2) / (2 * (n - 1));
  const double expected = (1 - lost) * random + lost - lost * (1 - lost) / (2 * (n - 1));
  EXPECT_NEAR(MeanContraction(ledger, size.segments) / expected, 1, 0.02);
}

std::string CaseName(const testing::TestParamInfo<Contraction::ParamType>& info) {
  const auto [schedule, size, lost] = info.param;
  return absl::StrCat(ScheduleName(schedule), "_", size.replicas, "_replicas_lost_",
                      static_cast<int>(100 * lost), "_percent");
}
INSTANTIATE_TEST_SUITE_P(Random, Contraction,
                         testing::Combine(testing::Values(ScheduleKind::kHashCycle,
                                                          ScheduleKind::kDerangement),
                                          testing::ValuesIn(kSizes), testing::Values(0.0, 0.2)),
                         CaseName);

TEST(Exponential, AveragesExactlyAfterLog2Rounds) {
  for (uint32_t replicas = 2; replicas <= 1024; replicas *= 2) {
    const uint32_t period = std::bit_width(replicas - 1);
    Simulator simulator(MeshOf(ScheduleKind::kExponential, replicas, 2, period));
    simulator.StartAll();
    ASSERT_TRUE(simulator.RunToEnd());
    EXPECT_EQ(simulator.Audit(), "");
    const Ledger& ledger = simulator.ledger();
    ASSERT_EQ(ledger.rounds().size(), period);
    for (uint32_t segment = 0; segment < 2; ++segment) {
      // After k rounds each value has been rounded 2k times, to 2^-53 of at most 1 each.
      const double rounding = 2 * period * 0x1p-53;
      EXPECT_LE(ledger.Spread(ledger.rounds().rbegin()->second, segment),
                replicas * rounding * rounding)
          << replicas;
      if (period == 1) continue;
      const auto& before = std::next(ledger.rounds().rbegin())->second;
      EXPECT_GT(ledger.Spread(before, segment), 1e-6) << replicas << ": one round earlier";
    }
  }
}

}  // namespace
}  // namespace weightmesh::sim
