// weightmesh_consensus in virtual time: whoever ends its training when, whoever comes, goes or
// hangs meanwhile, all stop together, near each other.
#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <vector>

#include "daemon/core/run_config.h"
#include "tests/sim/simulator.h"

namespace weightmesh::sim {
namespace {

constexpr uint32_t kNodes = 8;
constexpr uint32_t kSegments = 5;
constexpr double kEpsilon = 1e-12;
constexpr absl::Duration kTimeout = absl::Minutes(2);
constexpr uint64_t kSeeds = 2;

class AgreementSim : public testing::TestWithParam<Mode> {
 protected:
  static SimOptions Mesh(uint64_t seed) {
    SimOptions options;
    options.seed = seed;
    options.nodes = kNodes;
    options.segments = kSegments;
    options.rounds = std::numeric_limits<uint64_t>::max();
    options.run.seed = seed;
    options.run.mode = GetParam();
    options.run.staleness_rounds_max = GetParam() == Mode::kAsync ? 8 : 0;
    options.run.replicas_min = 0;
    options.run.round_deadline = absl::Seconds(1);
    options.step_jitter = 0.2;
    options.noise = 0.01;
    return options;
  }
  // (1/n)·Σ‖xᵢ − x̄‖² of those that have agreed.
  static double Distance(Simulator& simulator) {
    std::vector<const std::vector<double>*> all;
    for (uint32_t k = 0; k < simulator.trainers(); ++k) {
      if (simulator.trainer(k).has_agreed()) all.push_back(&simulator.trainer(k).weights());
    }
    double sum = 0;
    for (uint32_t segment = 0; segment < kSegments; ++segment) {
      double mean = 0;
      for (const auto* weights : all) mean += (*weights)[segment] / static_cast<double>(all.size());
      for (const auto* weights : all) {
        const double difference = (*weights)[segment] - mean;
        sum += difference * difference / static_cast<double>(all.size());
      }
    }
    return sum;
  }
  // Each in its own time, within two seconds.
  static void AgreeAll(Simulator& simulator, CounterRng* rng) {
    for (uint32_t k = 0; k < simulator.trainers(); ++k) {
      simulator.RunFor(absl::Milliseconds(rng->Below(250)));
      if (!simulator.trainer(k).IsDone()) simulator.trainer(k).Agree(kEpsilon, kTimeout);
    }
  }
  // A mesh whose trainers have trained for a second.
  static std::unique_ptr<Simulator> Trained(uint64_t seed) {
    auto simulator = std::make_unique<Simulator>(Mesh(seed));
    simulator->StartAll();
    simulator->RunFor(absl::Seconds(1));
    return simulator;
  }
  // All come to an end, `count` of them near each other.
  static void ExpectAgreement(Simulator& simulator, uint32_t count) {
    ASSERT_TRUE(simulator.RunToEnd());
    EXPECT_EQ(simulator.Audit(), "");
    EXPECT_EQ(Agreed(simulator), count);
    EXPECT_LE(Distance(simulator), kEpsilon);
  }
  static uint32_t Agreed(Simulator& simulator) {
    uint32_t count = 0;
    for (uint32_t k = 0; k < simulator.trainers(); ++k) count += simulator.trainer(k).has_agreed();
    return count;
  }
};
INSTANTIATE_TEST_SUITE_P(Modes, AgreementSim,
                         testing::Values(Mode::kLockstep, Mode::kOverlap, Mode::kAsync),
                         [](const auto& info) { return ModeName(info.param); });

TEST_P(AgreementSim, AllStopTogetherWhoeverEndsItsTrainingWhen) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    const std::unique_ptr<Simulator> trained = Trained(seed);
    Simulator& simulator = *trained;
    CounterRng rng(seed);
    AgreeAll(simulator, &rng);
    ExpectAgreement(simulator, kNodes);
    if (GetParam() != Mode::kLockstep) continue;
    for (uint32_t k = 1; k < kNodes; ++k) {
      EXPECT_EQ(simulator.trainer(k).newest_round(), simulator.trainer(0).newest_round());
    }
    EXPECT_EQ(simulator.ledger().ArrivedShare(0, kNodes), 1) << "nobody stops early";
  }
}

TEST_P(AgreementSim, OthersMayDieJoinAndHangMeanwhile) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    const std::unique_ptr<Simulator> trained = Trained(seed);
    Simulator& simulator = *trained;
    CounterRng rng(seed);
    for (uint32_t k = 3; k < kNodes; ++k) simulator.trainer(k).Agree(kEpsilon, kTimeout);
    simulator.trainer(4).Kill();
    simulator.node(5).Kill();
    simulator.RunFor(absl::Milliseconds(rng.Below(500)));
    SimTrainer& late = simulator.AddTrainer(6, 4, [](TrainerOptions* options) {
      options->name = "late";
      options->joins = true;
    });
    late.Start();
    simulator.trainer(6).Stop();
    simulator.RunFor(absl::Milliseconds(500 + rng.Below(1000)));
    simulator.trainer(6).Resume();
    ASSERT_TRUE(simulator.RunUntil([&] { return late.state() == TrainerState::kTraining; },
                                   absl::Seconds(30)));
    for (uint32_t k = 0; k < 3; ++k) simulator.trainer(k).Agree(kEpsilon, kTimeout);
    EXPECT_EQ(Agreed(simulator), 0u) << "who joined trains";
    simulator.RunFor(absl::Seconds(3));
    late.Agree(kEpsilon, kTimeout);
    ExpectAgreement(simulator, kNodes - 1);
  }
}

// Words are lost, and who hears too late is LATE once; but all come to an end, near each other.
TEST_P(AgreementSim, LostCallsDelayIt) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    const std::unique_ptr<Simulator> trained = Trained(seed);
    Simulator& simulator = *trained;
    CounterRng rng(seed);
    simulator.Lose(/*frames=*/0, /*calls=*/0.3);
    AgreeAll(simulator, &rng);
    ExpectAgreement(simulator, kNodes);
  }
}

TEST_P(AgreementSim, HalvesOfAMeshAgreeEachForItself) {
  const std::unique_ptr<Simulator> trained = Trained(7);
  Simulator& simulator = *trained;
  simulator.Part([](uint32_t a, uint32_t b) { return (a < 3) != (b < 3); });
  simulator.RunFor(absl::Seconds(20));  // they have buried each other
  for (uint32_t k = 0; k < kNodes; ++k) simulator.trainer(k).Agree(kEpsilon, kTimeout);
  ASSERT_TRUE(simulator.RunToEnd());
  EXPECT_EQ(simulator.Audit(), "");
  EXPECT_EQ(Agreed(simulator), kNodes);
  EXPECT_GT(Distance(simulator), kEpsilon) << "two models";
}

TEST_P(AgreementSim, WhoWaitsForOneThatTrainsOnGivesUpInTime) {
  const std::unique_ptr<Simulator> trained = Trained(9);
  Simulator& simulator = *trained;
  for (uint32_t k = 1; k < kNodes; ++k) simulator.trainer(k).Agree(kEpsilon, absl::Seconds(5));
  simulator.RunFor(absl::Seconds(9));
  for (uint32_t k = 1; k < kNodes; ++k) {
    EXPECT_TRUE(simulator.trainer(k).IsDone()) << "trainer " << k;
    EXPECT_FALSE(simulator.trainer(k).has_agreed());
  }
  simulator.trainer(0).Finish();
  ASSERT_TRUE(simulator.RunToEnd());
  EXPECT_EQ(simulator.Audit(), "");
}

}  // namespace
}  // namespace weightmesh::sim
