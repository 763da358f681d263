// Lockstep in virtual time: without a fault nothing is lost.
#include <gtest/gtest.h>

#include <tuple>

#include "tests/sim/simulator.h"
#include "tests/testing/environment.h"

namespace weightmesh::sim {
namespace {

SimOptions Lockstep(ScheduleKind schedule, uint32_t nodes, uint32_t segments) {
  SimOptions options;
  options.nodes = nodes;
  options.segments = segments;
  options.run.schedule = schedule;
  options.run.seed = 7;
  options.run.replicas_min = 0;
  return options;
}

// --- nothing is lost ---

class LockstepLoses : public testing::TestWithParam<std::tuple<ScheduleKind, uint32_t, uint32_t>> {
};

// Trainers stall up to five steps; with 64 replicas this is where leases alone lose 4 %.
TEST_P(LockstepLoses, NothingWithStallingTrainers) {
  const auto [schedule, nodes, segments] = GetParam();
  SimOptions options = Lockstep(schedule, nodes, segments);
  options.rounds = nodes < 8 ? 3000 : nodes == 8 ? 1500 : segments == 1 ? 200 : 60;
  options.rounds = FromEnvironment("WEIGHTMESH_LOSSLESS_ROUNDS", options.rounds);
  options.sync_interval = absl::Seconds(10);  // syncs among 64 nodes take most of the time
  options.stall_chance = 0.3;
  options.stall_max = absl::Milliseconds(50);
  Simulator simulator(options);
  simulator.StartAll();
  ASSERT_TRUE(simulator.RunToEnd());
  EXPECT_EQ(simulator.Audit(), "");
  const Ledger& ledger = simulator.ledger();
  EXPECT_EQ(ledger.Count(Outcome::kArrived), options.rounds * nodes * segments);
  EXPECT_EQ(ledger.ArrivedShare(0, nodes), 1.0);
  EXPECT_EQ(ledger.rounds().size(), options.rounds);
  for (uint32_t k = 0; k < nodes; ++k) EXPECT_EQ(simulator.trainer(k).skipped(), 0u) << k;

  const auto& first = ledger.rounds().begin()->second;
  const auto& last = ledger.rounds().rbegin()->second;
  for (uint32_t segment = 0; segment < segments; ++segment) {
    EXPECT_NEAR(ledger.Mean(last, segment), ledger.Mean(first, segment), 1e-12);
  }
  for (const auto& [round, record] : ledger.rounds()) {
    for (uint32_t reads : record.reads) ASSERT_EQ(reads, 1u) << "round " << Value(round);
  }
}

std::string CaseName(const testing::TestParamInfo<LockstepLoses::ParamType>& info) {
  return absl::StrCat(ScheduleName(std::get<0>(info.param)), "_", std::get<1>(info.param),
                      "_replicas_", std::get<2>(info.param), "_segments");
}
INSTANTIATE_TEST_SUITE_P(AllSchedules, LockstepLoses,
                         testing::Combine(testing::Values(ScheduleKind::kHashCycle,
                                                          ScheduleKind::kDerangement,
                                                          ScheduleKind::kExponential),
                                          testing::Values(2, 3, 8, 64), testing::Values(1, 18)),
                         CaseName);

TEST(Lockstep, SeveralReplicasOnEachNodeLoseNothing) {
  SimOptions options = Lockstep(ScheduleKind::kHashCycle, 4, 5);
  options.replicas_per_node = 3;
  options.stall_chance = 0.3;
  options.stall_max = absl::Milliseconds(50);
  Simulator simulator(options);
  simulator.StartAll();
  ASSERT_TRUE(simulator.RunToEnd());
  EXPECT_EQ(simulator.Audit(), "");
  EXPECT_EQ(simulator.ledger().Count(Outcome::kArrived), options.rounds * 12 * 5);
}

TEST(Lockstep, AloneInTheViewThereIsNothingToPull) {
  SimOptions options = Lockstep(ScheduleKind::kHashCycle, 1, 3);
  options.rounds = 50;
  Simulator simulator(options);
  simulator.StartAll();
  ASSERT_TRUE(simulator.RunToEnd(absl::Seconds(10)));
  EXPECT_EQ(simulator.Audit(), "");
  for (uint32_t k = 0; k < kOutcomeCount; ++k) {
    EXPECT_EQ(simulator.ledger().Count(Outcome{k}), 0u) << OutcomeName(Outcome{k});
  }
  EXPECT_EQ(simulator.ledger().rounds().size(), 50u);
  EXPECT_EQ(simulator.trainer(0).skipped(), 0u);
}

// 2 slots are the least that works: one is the own term, one is free once its claim has ended.
TEST(Lockstep, TwoSlotsLoseNothing) {
  SimOptions options = Lockstep(ScheduleKind::kHashCycle, 8, 4);
  options.slots = 2;
  options.stall_chance = 0.3;
  options.stall_max = absl::Milliseconds(50);
  Simulator simulator(options);
  simulator.StartAll();
  ASSERT_TRUE(simulator.RunToEnd());
  EXPECT_EQ(simulator.Audit(), "");
  EXPECT_EQ(simulator.ledger().ArrivedShare(0, 8), 1.0);
}

TEST(Lockstep, HundredsOfReplicas) {
  SimOptions options = Lockstep(ScheduleKind::kHashCycle, 50, 2);
  options.replicas_per_node = 5;
  options.rounds = 20;
  options.seeds = 3;
  Simulator simulator(options);
  simulator.StartAll();
  ASSERT_TRUE(simulator.RunToEnd());
  EXPECT_EQ(simulator.Audit(), "");
  EXPECT_EQ(simulator.ledger().ArrivedShare(0, 250), 1.0);
}

}  // namespace
}  // namespace weightmesh::sim
