// Swarms: meshes, faults and their times drawn from a seed. Whatever fails when and whoever comes
// or goes, every promise of tests/sim/check holds, and after the faults the mesh is as it was.
//
// WEIGHTMESH_SIM_SEEDS=10000 tries so many fresh seeds, for a night; WEIGHTMESH_SIM_SEED=7 runs
// that one alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "tests/sim/chaos.h"
#include "tests/sim/check/contraction.h"
#include "tests/sim/check/hull.h"
#include "tests/sim/check/one_reader.h"
#include "tests/sim/check/patience.h"
#include "tests/sim/check/resurrection.h"
#include "tests/sim/check/views.h"

namespace weightmesh::sim {
namespace {

constexpr uint64_t kFixedSeeds = 50;
constexpr uint64_t kFreshSeeds = 3;

// Rounds that are looked at once the mesh is healed.
constexpr uint64_t kHealedRounds = 20;
// Within which all views are one again, and everybody goes on. A stopped transfer is found after
// two deadlines, on both sides; halves of a mesh that have buried each other try to meet every few
// seconds.
constexpr absl::Duration kHealingLimit = absl::Seconds(40);
constexpr absl::Duration kLook = absl::Milliseconds(200);

// Rounds by which `trainers` in lockstep that wait for each other may be apart. Who lags holds up
// its reader, both hold up theirs in the round after, and so on: those who are held up double each
// round at first, and the last few take some rounds more.
constexpr uint64_t ApartMax(size_t trainers) { return std::bit_width(trainers) + 3; }

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

// One seed's mesh, from its start to its end.
class SwarmOfOne {
 public:
  SwarmOfOne(uint64_t seed, Contraction* contraction)
      : contraction_(contraction),
        simulator_(Chaos::DrawOptions(seed)),
        resurrection_(&simulator_),
        patience_(Travel(simulator_.options()), &simulator_.ledger()),
        chaos_(seed, &simulator_) {
    simulator_.Watch(&resurrection_);
    simulator_.Watch(&patience_);
  }

  // Returns the trace.
  uint64_t Run() {
    EXPECT_TRUE(chaos_.Run());
    chaos_.Heal();
    ExpectHealed("after the healing");
    EXPECT_TRUE(chaos_.ReturnAll()) << "who has ended cannot come back; " << chaos_.history();
    ExpectHealed("when all are back");
    EXPECT_TRUE(chaos_.Finish());
    EXPECT_EQ(simulator_.Audit(), "") << chaos_.history();
    Hull hull;
    for (uint32_t k = 0; k < simulator_.trainers(); ++k) {
      hull.Add(simulator_.trainer(k).initial_weights());
    }
    EXPECT_EQ(hull.Check(simulator_.ledger()), "");
    return simulator_.ledger().trace();
  }

 private:
  // A request and its data, behind another transfer for which its reader's lease waits.
  static absl::Duration Travel(const SimOptions& options) {
    return 2 * options.doorbell + 3 * (options.frame_delay + options.frame_jitter) +
           2 * (options.transfer + options.transfer_jitter);
  }

  // The least and the greatest newest round of the trainers that take part.
  std::pair<uint64_t, uint64_t> NewestRounds() {
    std::pair<uint64_t, uint64_t> newest = {std::numeric_limits<uint64_t>::max(), 0};
    for (uint32_t k = 0; k < simulator_.trainers(); ++k) {
      if (simulator_.trainer(k).state() != TrainerState::kTraining) continue;
      const uint64_t round = Value(simulator_.trainer(k).newest_round());
      newest = {std::min(newest.first, round), std::max(newest.second, round)};
    }
    return newest;
  }

  // Nobody is about to come or to go any more, all daemons have one view, and each link of two that
  // have replicas works, or pulls over it find out first that it does not.
  std::string Unsettled() {
    for (uint32_t k = 0; k < simulator_.trainers(); ++k) {
      const SimTrainer& trainer = simulator_.trainer(k);
      if (!trainer.IsDone() && trainer.state() != TrainerState::kTraining) {
        return absl::StrCat("trainer ", k, " is on its way");
      }
    }
    // In lockstep one that has been left behind goes on where the others are once it finds that
    // out.
    const auto [behind, ahead] = NewestRounds();
    if (simulator_.options().run.mode == Mode::kLockstep &&
        ahead > behind + ApartMax(chaos_.live().size())) {
      return absl::StrCat("trainers are in rounds ", behind, " and ", ahead);
    }
    for (uint32_t a = 0; a < simulator_.nodes(); ++a) {
      for (uint32_t b = a + 1; b < simulator_.nodes(); ++b) {
        if (!HasReplica(a) || !HasReplica(b) || simulator_.data().Works(a, b)) continue;
        return absl::StrCat("the link of nodes ", a, " and ", b, " does not work");
      }
    }
    return CheckViews(simulator_, "run");
  }

  bool HasReplica(uint32_t node) {
    for (uint32_t k = 0; k < simulator_.trainers(); ++k) {
      const SimTrainer& trainer = simulator_.trainer(k);
      if (trainer.node().index() == node && !trainer.IsDone()) return true;
    }
    return false;
  }

  void ExpectHealed(const char* when) {
    SCOPED_TRACE(when);
    // Settled for so long that whatever was open before has come to its end.
    const absl::Duration calm = 3 * simulator_.options().run.round_deadline;
    const absl::Duration limit = simulator_.elapsed() + kHealingLimit;
    std::string unsettled = Unsettled();
    absl::Duration settled_at = simulator_.elapsed();
    while (!unsettled.empty() || simulator_.elapsed() < settled_at + calm) {
      ASSERT_LT(simulator_.elapsed(), limit) << unsettled << "; " << chaos_.history();
      simulator_.RunFor(kLook);
      unsettled = Unsettled();
      if (!unsettled.empty()) settled_at = simulator_.elapsed();
    }
    // In the other modes a mix adds to weights that were updated meanwhile: no hull would hold.
    if (simulator_.options().run.mode == Mode::kLockstep) {
      for (uint32_t k = 0; k < simulator_.trainers(); ++k) simulator_.trainer(k).Scatter();
    }
    // Whoever is ahead of the others has scattered two rounds later; and who has left since may
    // have been further.
    const auto& rounds = simulator_.ledger().rounds();
    const Round mixed = rounds.empty() ? Round{} : rounds.rbegin()->first;
    const Round first{std::max(NewestRounds().second, Value(mixed)) + 3};
    const Round last{Value(first) + kHealedRounds};
    patience_.Begin();
    ASSERT_TRUE(
        simulator_.RunUntil([&] { return NewestRounds().first > Value(last); }, kHealingLimit))
        << "it does not go on; " << chaos_.history();
    patience_.End();
    EXPECT_EQ(Unsettled(), "") << "it does not stay so; " << chaos_.history();
    ExpectFair(first, last);
  }

  // Lockstep: each is read once. The others: patience_ knows why a pull has not arrived.
  void ExpectFair(Round first, Round last) {
    const RunConfig& run = simulator_.options().run;
    if (run.mode != Mode::kLockstep) return;
    const Ledger& ledger = simulator_.ledger();
    const std::vector<uint32_t> live = chaos_.live();
    const std::string unfair = HoldsTheDead(last) ? CheckAroundTheDead(ledger, live, first, last)
                                                  : CheckOneReader(ledger, live, first, last);
    ASSERT_EQ(unfair, "") << chaos_.history();
    if (HoldsTheDead(last)) return;
    const bool is_random = run.schedule != ScheduleKind::kExponential;
    EXPECT_EQ(contraction_->Add(ledger, live, first, last, is_random), "");
  }

  // Whether somebody views others in `round` than those who train: schedules that are not
  // hash_cycle keep the dead, and those who were announced and died before their first round.
  bool HoldsTheDead(Round round) {
    if (simulator_.options().run.schedule == ScheduleKind::kHashCycle) return false;
    for (uint32_t k = 0; k < simulator_.nodes(); ++k) {
      const auto schedule = simulator_.node(k).core().ScheduleOf("run", round, SegmentId{0});
      if (schedule.ok() && schedule->assignments.size() > chaos_.live().size()) return true;
    }
    return false;
  }

  Contraction* const contraction_;
  Simulator simulator_;
  ResurrectionWatch resurrection_;
  Patience patience_;
  Chaos chaos_;
};

uint64_t RunOne(uint64_t seed, Contraction* contraction) {
  SCOPED_TRACE(testing::Message() << "WEIGHTMESH_SIM_SEED=" << seed);
  return SwarmOfOne(seed, contraction).Run();
}

TEST(Swarm, SurvivesAnyChaosAndHeals) {
  Contraction contraction;
  for (const uint64_t seed : Seeds()) RunOne(seed, &contraction);
  std::printf("contraction: %lu ratios\n", contraction.ratios());
  EXPECT_EQ(contraction.Check(), "");
}

TEST(Swarm, OneSeedGivesOneTrace) {
  Contraction contraction;
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    EXPECT_EQ(RunOne(seed, &contraction), RunOne(seed, &contraction)) << seed;
  }
  EXPECT_NE(RunOne(1, &contraction), RunOne(2, &contraction));
}

}  // namespace
}  // namespace weightmesh::sim
