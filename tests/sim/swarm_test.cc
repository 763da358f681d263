// Swarms: meshes, faults and their times drawn from a seed. Whatever fails when, every pull ends
// once, no value leaves the hull, and after the faults the mesh is as it was.
//
// WEIGHTMESH_SIM_SEEDS=10000 tries so many fresh seeds; WEIGHTMESH_SIM_SEED=7 runs that one alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tests/sim/chaos.h"

namespace weightmesh::sim {
namespace {

constexpr uint64_t kFixedSeeds = 60;
constexpr uint64_t kFreshSeeds = 6;

uint64_t NumberFrom(const char* variable, uint64_t otherwise) {
  const char* text = std::getenv(variable);
  uint64_t number = 0;
  return text != nullptr && absl::SimpleAtoi(text, &number) ? number : otherwise;
}

// 1, 2, 3, … and a few that nobody has tried.
std::vector<uint64_t> Seeds() {
  if (const uint64_t one = NumberFrom("WEIGHTMESH_SIM_SEED", 0); one != 0) return {one};
  std::vector<uint64_t> seeds;
  for (uint64_t seed = 1; seed <= kFixedSeeds; ++seed) seeds.push_back(seed);
  std::random_device device;
  const uint64_t fresh = NumberFrom("WEIGHTMESH_SIM_SEEDS", kFreshSeeds);
  for (uint64_t k = 0; k < fresh; ++k) seeds.push_back(1'000'000 + device());
  if (fresh <= kFreshSeeds) {
    std::printf("fresh seeds:");
    for (uint64_t k = kFixedSeeds; k < seeds.size(); ++k) std::printf(" %lu", seeds[k]);
    std::printf("\n");
  }
  return seeds;
}

// The least and the greatest newest round of the trainers that live.
std::pair<uint64_t, uint64_t> NewestRounds(Simulator& simulator) {
  std::pair<uint64_t, uint64_t> newest = {std::numeric_limits<uint64_t>::max(), 0};
  for (uint32_t k = 0; k < simulator.trainers(); ++k) {
    if (simulator.trainer(k).IsDone()) continue;
    const uint64_t round = Value(simulator.trainer(k).newest_round());
    newest = {std::min(newest.first, round), std::max(newest.second, round)};
  }
  return newest;
}

// By segment, the least and the greatest of all replicas.
struct Hull {
  explicit Hull(Simulator& simulator)
      : low(simulator.options().segments, INFINITY), high(simulator.options().segments, -INFINITY) {
    for (uint32_t k = 0; k < simulator.trainers(); ++k) Add(simulator.trainer(k).weights());
  }
  void Add(const std::vector<double>& weights) {
    for (size_t k = 0; k < low.size(); ++k) {
      low[k] = std::min(low[k], weights[k]);
      high[k] = std::max(high[k], weights[k]);
    }
  }
  std::vector<double> low;
  std::vector<double> high;
};

// Exactly, without a tolerance: own and peer are representable, own + fl(peer − own) / 2 lies
// between them but for its last rounding, and rounding to nearest keeps an order.
void ExpectWithin(const Hull& hull, const Ledger& ledger) {
  const size_t segments = hull.low.size();
  for (const auto& [round, record] : ledger.rounds()) {
    for (size_t k = 0; k < record.values.size(); ++k) {
      if (std::isnan(record.values[k])) continue;  // did not mix
      ASSERT_GE(record.values[k], hull.low[k % segments]) << "round " << Value(round);
      ASSERT_LE(record.values[k], hull.high[k % segments]) << "round " << Value(round);
    }
  }
}

std::string Describe(const OutcomeCounts& outcomes) {
  std::string text;
  for (uint32_t k = 0; k < kOutcomeCount; ++k) {
    if (outcomes[k] > 0) {
      absl::StrAppend(&text, " ", OutcomeName(static_cast<Outcome>(k)), " ", outcomes[k]);
    }
  }
  return text;
}

// Between two rounds after the healing: all that live mix in each, and every pull arrives. In
// overlap and async nobody waits, and slow ones skip rounds.
void ExpectHealed(Simulator& simulator, uint64_t first, uint64_t last, uint32_t live) {
  ASSERT_GT(last, first + 3) << "it does not go on";
  // Among the dead, a cycle of the others may lead back to oneself; hash_cycle has but one.
  const bool has_dead = live < simulator.trainers();
  const bool one_cycle = simulator.options().run.schedule == ScheduleKind::kHashCycle;
  uint64_t arrived = 0;
  uint64_t all = 0;
  for (const auto& [round, record] : simulator.ledger().rounds()) {
    if (Value(round) < first || Value(round) > last) continue;
    uint64_t in_round = record.outcomes[static_cast<size_t>(Outcome::kArrived)];
    if (has_dead && !one_cycle) in_round += record.outcomes[static_cast<size_t>(Outcome::kDead)];
    arrived += in_round;
    all += record.mixes * simulator.options().segments;
    if (simulator.options().run.mode != Mode::kLockstep) continue;
    ASSERT_EQ(record.mixes, live) << "round " << Value(round);
    ASSERT_EQ(in_round, live * simulator.options().segments)
        << "round " << Value(round) << ": " << Describe(record.outcomes) << "; "
        << ScheduleName(simulator.options().run.schedule) << ", " << live << " of "
        << simulator.trainers() << " replicas live";
  }
  EXPECT_GT(arrived, all / 2);
}

// Returns the trace.
uint64_t RunOne(uint64_t seed) {
  SCOPED_TRACE(testing::Message() << "WEIGHTMESH_SIM_SEED=" << seed);
  const SimOptions options = Chaos::DrawOptions(seed);
  Simulator simulator(options);
  const Hull hull(simulator);
  Chaos chaos(seed, &simulator);
  EXPECT_TRUE(chaos.Run());
  chaos.Heal();
  // A stopped transfer is found after two deadlines, on both sides; silence, by the next sync.
  simulator.RunFor(6 * options.run.round_deadline + absl::Seconds(5));
  const uint64_t first = NewestRounds(simulator).second + 2;
  simulator.RunFor(20 * options.step + absl::Seconds(1));
  const uint64_t last = NewestRounds(simulator).first - 2;
  ExpectHealed(simulator, first, last, chaos.live());
  EXPECT_TRUE(chaos.Finish());
  EXPECT_EQ(simulator.Audit(), "");
  ExpectWithin(hull, simulator.ledger());
  return simulator.ledger().trace();
}

TEST(Swarm, SurvivesAnyChaosAndHeals) {
  for (const uint64_t seed : Seeds()) {
    RunOne(seed);
  }
}

TEST(Swarm, OneSeedGivesOneTrace) {
  for (uint64_t seed = 1; seed <= 6; ++seed) EXPECT_EQ(RunOne(seed), RunOne(seed)) << seed;
  EXPECT_NE(RunOne(1), RunOne(2));
}

}  // namespace
}  // namespace weightmesh::sim
