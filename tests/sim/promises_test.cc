// Promises on values, in virtual time: the mean is kept, poison and damage stay where they are.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/sim/simulator.h"

namespace weightmesh::sim {
namespace {

SimOptions Mesh(Mode mode, uint32_t nodes, uint32_t segments, uint64_t rounds) {
  SimOptions options;
  options.nodes = nodes;
  options.segments = segments;
  options.rounds = rounds;
  options.run.mode = mode;
  options.run.staleness_rounds_max = mode == Mode::kAsync ? 8 : 0;
  options.run.seed = 7;
  options.run.replicas_min = 0;
  options.sync_interval = absl::Seconds(10);
  return options;
}

// --- the mean ---

// By how much the sum over all replicas may differ from that of their initial weights and updates,
// after `rounds` rounds in which every pull arrived.
//
// A mix adds α·(Q(peer) − own) to each replica. Every published value is read exactly once, so in
// exact arithmetic these terms cancel over the replicas, and so they do in any arithmetic but for
// the roundings of that very round: none is carried on, for each round's terms are made of what was
// truly published. With unit roundoff u = 2^-53, |values| ≤ B and α = ½ a replica rounds, each
// round, its update (u·B), the difference (u·2B, halved exactly to u·B) and the sum (u·B): 3·u·B.
// The test's own sum over n values rounds n times, to u·n·B at most each.
double RoundingOfSum(double bound, uint32_t replicas, uint64_t rounds) {
  const double n = replicas;
  return 0x1p-53 * bound * (3 * n * static_cast<double>(rounds) + n * n);
}

class MeanIsKept : public testing::TestWithParam<std::tuple<Mode, uint32_t>> {};

TEST_P(MeanIsKept, OverTenThousandRoundsWithUpdates) {
  const auto [mode, nodes] = GetParam();
  const uint64_t rounds = 10'000;
  // Overlap: trainers that start at different times skip round numbers at first, and the last round
  // is never mixed.
  const uint64_t before = mode == Mode::kOverlap ? 50 : 0;
  SimOptions options = Mesh(mode, nodes, 2, rounds + 2 * before);
  options.noise = 0.01;
  Simulator simulator(options);
  simulator.StartAll();
  ASSERT_TRUE(simulator.RunToEnd());
  EXPECT_EQ(simulator.Audit(), "");
  const Ledger& ledger = simulator.ledger();
  const auto sum = [&ledger, n = nodes](const Ledger::RoundRecord& record, uint32_t segment) {
    return n * ledger.Mean(record, segment);
  };
  for (uint32_t segment = 0; segment < options.segments; ++segment) {
    double bound = 0;
    double offset = 0;  // of the sum, when the rounds that count begin
    uint64_t counted = 0;
    for (const auto& [round, record] : ledger.rounds()) {
      if (Value(round) < before || counted > rounds) continue;
      for (size_t k = segment; k < record.values.size(); k += options.segments) {
        ASSERT_FALSE(std::isnan(record.values[k])) << "somebody did not mix " << Value(round);
        bound = std::max(bound, std::abs(record.values[k]));
      }
      const double off = static_cast<double>(sum(record, segment) - record.unmixed[segment]);
      if (counted++ == 0 && mode == Mode::kOverlap) {
        offset = off;
        continue;
      }
      ASSERT_EQ(record.outcomes[static_cast<size_t>(Outcome::kArrived)], nodes * options.segments);
      ASSERT_LE(std::abs(off - offset), RoundingOfSum(bound, nodes, counted))
          << "round " << Value(round);
    }
    EXPECT_GE(counted, rounds);
    // The bound says something: it is far below a single update.
    EXPECT_LT(RoundingOfSum(bound, nodes, rounds), options.noise * 1e-6);
  }
}
INSTANTIATE_TEST_SUITE_P(Modes, MeanIsKept,
                         testing::Combine(testing::Values(Mode::kLockstep, Mode::kOverlap),
                                          testing::Values(3, 8)),
                         [](const auto& info) {
                           return absl::StrCat(ModeName(std::get<0>(info.param)), "_",
                                               std::get<1>(info.param), "_replicas");
                         });

// --- damage ---

TEST(Damage, IsFoundCountedAndNotMixedEveryTime) {
  for (const Mode mode : {Mode::kLockstep, Mode::kOverlap, Mode::kAsync}) {
    for (uint64_t seed = 1; seed <= 5; ++seed) {
      SimOptions options = Mesh(mode, 6, 8, 200);
      options.seed = seed;
      options.faults.corrupt.rate = 0.05;
      options.faults.tear.rate = 0.05;
      Simulator simulator(options);
      simulator.StartAll();
      ASSERT_TRUE(simulator.RunToEnd());
      EXPECT_EQ(simulator.Audit(), "");  // no damaged segment was mixed, no sound one refused
      const InjectedCounts& injected = simulator.data().injected();
      EXPECT_GT(injected.torn, 300u);
      EXPECT_GT(injected.corrupted, 300u);
      const uint64_t counted = simulator.ledger().Count(Outcome::kCorrupt);
      if (mode == Mode::kLockstep) {
        EXPECT_EQ(counted, injected.damaged) << "seed " << seed;
      } else {  // what is LATE is damaged unseen
        EXPECT_LE(counted, injected.damaged) << "seed " << seed;
        EXPECT_GT(counted, injected.damaged / 2) << "seed " << seed;
      }
    }
  }
}

TEST(Damage, TheLedgerFindsWhatATrainerOverlooks) {
  for (const bool tear : {false, true}) {
    SimOptions options = Mesh(Mode::kLockstep, 3, 1, 10);
    options.verify = false;
    (tear ? options.faults.tear : options.faults.corrupt).nth = 5;
    Simulator simulator(options);
    simulator.StartAll();
    ASSERT_TRUE(simulator.RunToEnd());
    EXPECT_EQ(simulator.data().injected().damaged, 1u);
    EXPECT_NE(simulator.Audit().find("mixes a damaged segment"), std::string::npos);
  }
}

// --- poison ---

TEST(Poison, StaysAlone) {
  for (const Mode mode : {Mode::kLockstep, Mode::kOverlap, Mode::kAsync}) {
    const uint64_t sick_from = 50;
    SimOptions options = Mesh(mode, 8, 6, 200);
    options.poisoned_from.assign(8, std::numeric_limits<uint64_t>::max());
    options.poisoned_from[3] = sick_from;
    Simulator simulator(options);
    simulator.StartAll();
    ASSERT_TRUE(simulator.RunToEnd());
    EXPECT_EQ(simulator.Audit(), "");
    for (uint32_t k = 0; k < 8; ++k) {
      for (const double weight : simulator.trainer(k).weights()) {
        EXPECT_EQ(std::isfinite(weight), k != 3) << "replica " << k << ", " << ModeName(mode);
      }
    }
    const uint64_t refused = simulator.ledger().Count(Outcome::kRefused);
    const uint64_t all = (options.rounds - sick_from) * options.segments;
    if (mode == Mode::kLockstep) {  // each of its segments has one reader
      EXPECT_EQ(refused, all);
    } else {
      EXPECT_GT(refused, all * 9 / 10);
      EXPECT_LE(refused, all);
    }
    EXPECT_EQ(simulator.ledger().outcomes(3)[static_cast<size_t>(Outcome::kRefused)], 0u);
  }
}

}  // namespace
}  // namespace weightmesh::sim
