// Deaths, stops and lost messages in virtual time: nothing hangs, nobody leaves the convex hull.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/sim/simulator.h"

namespace weightmesh::sim {
namespace {

SimOptions Mesh(uint32_t nodes, Mode mode = Mode::kLockstep) {
  SimOptions options;
  options.nodes = nodes;
  options.segments = 6;
  options.run.seed = 11;
  options.run.mode = mode;
  options.run.staleness_rounds_max = mode == Mode::kAsync ? 8 : 0;
  options.run.replicas_min = 0;
  options.run.round_deadline = absl::Seconds(1);
  options.rounds = 300;
  options.step_jitter = 0.1;
  return options;
}

// Lowest and highest of all values of a segment that were ever mixed in `record`.
std::pair<double, double> Hull(const Ledger::RoundRecord& record, uint32_t segments,
                               uint32_t segment) {
  double low = INFINITY;
  double high = -INFINITY;
  for (size_t k = segment; k < record.values.size(); k += segments) {
    if (std::isnan(record.values[k])) continue;
    low = std::min(low, record.values[k]);
    high = std::max(high, record.values[k]);
  }
  return {low, high};
}

// Everything stays within the hull of the initial weights, up to rounding.
void ExpectWithinInitialHull(Simulator& simulator,
                             const std::vector<std::vector<double>>& initial) {
  const uint32_t segments = simulator.options().segments;
  for (uint32_t segment = 0; segment < segments; ++segment) {
    double low = INFINITY;
    double high = -INFINITY;
    for (const auto& weights : initial) {
      low = std::min(low, weights[segment]);
      high = std::max(high, weights[segment]);
    }
    for (const auto& [round, record] : simulator.ledger().rounds()) {
      const auto [now_low, now_high] = Hull(record, segments, segment);
      ASSERT_GE(now_low, low - 1e-12) << "round " << Value(round);
      ASSERT_LE(now_high, high + 1e-12) << "round " << Value(round);
    }
  }
}

std::vector<std::vector<double>> Weights(Simulator& simulator) {
  std::vector<std::vector<double>> weights;
  for (uint32_t k = 0; k < simulator.trainers(); ++k) {
    weights.push_back(simulator.trainer(k).weights());
  }
  return weights;
}

// From round `first` to `last` each live trainer is read exactly once for each segment.
void ExpectReadOnce(Simulator& simulator, uint64_t first, uint64_t last, uint32_t dead) {
  const uint32_t segments = simulator.options().segments;
  for (const auto& [round, record] : simulator.ledger().rounds()) {
    if (Value(round) < first || Value(round) > last) continue;
    for (uint32_t k = 0; k < simulator.trainers(); ++k) {
      for (uint32_t segment = 0; segment < segments; ++segment) {
        ASSERT_EQ(record.reads[k * segments + segment], k == dead ? 0u : 1u)
            << "trainer " << k << ", segment " << segment << ", round " << Value(round);
      }
    }
  }
}

uint64_t NewestRound(Simulator& simulator) {
  uint64_t newest = 0;
  for (uint32_t k = 0; k < simulator.trainers(); ++k) {
    newest = std::max(newest, Value(simulator.trainer(k).newest_round()));
  }
  return newest;
}

TEST(Failures, AKilledNodeIsRedirectedAround) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SimOptions options = Mesh(8);
    options.seed = seed;
    Simulator simulator(options);
    simulator.StartAll();
    simulator.RunFor(absl::Milliseconds(1000 + 7 * seed));
    simulator.node(3).Kill();
    const uint64_t killed_at = NewestRound(simulator);
    ASSERT_TRUE(simulator.RunToEnd()) << "seed " << seed;
    EXPECT_EQ(simulator.Audit(), "");
    EXPECT_EQ(simulator.trainer(3).state(), TrainerState::kAlone);
    ExpectReadOnce(simulator, killed_at + 10, options.rounds, 3);
    // Nobody waits for more than a broken connection.
    for (uint32_t k = 0; k < 8; ++k) {
      if (k == 3) continue;
      EXPECT_LT(simulator.trainer(k).longest_exchange(), absl::Milliseconds(300)) << k;
      EXPECT_EQ(simulator.trainer(k).skipped(), 0u);
    }
  }
}

TEST(Failures, AKilledTrainerIsRedirectedAround) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SimOptions options = Mesh(8);
    options.seed = seed;
    Simulator simulator(options);
    simulator.StartAll();
    simulator.RunFor(absl::Milliseconds(1000 + 3 * seed));
    simulator.trainer(3).Kill();
    const uint64_t killed_at = NewestRound(simulator);
    ASSERT_TRUE(simulator.RunToEnd()) << "seed " << seed;
    EXPECT_EQ(simulator.Audit(), "");
    ExpectReadOnce(simulator, killed_at + 10, options.rounds, 3);
    for (uint32_t k = 0; k < 8; ++k) {
      if (k == 3) continue;
      EXPECT_LT(simulator.trainer(k).longest_exchange(), absl::Milliseconds(300)) << k;
    }
  }
}

// SIGSTOP of a daemon: connections stand, nobody answers.
TEST(Failures, AStoppedNodeCostsAtMostOneDeadline) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SimOptions options = Mesh(8);
    options.seed = seed;
    Simulator simulator(options);
    simulator.StartAll();
    simulator.RunFor(absl::Milliseconds(1000 + 3 * seed));
    simulator.node(3).Stop();
    const absl::Duration stopped_at = simulator.elapsed();
    const uint64_t round = NewestRound(simulator);
    ASSERT_TRUE(simulator.RunUntil(
        [&] {
          for (uint32_t k = 0; k < 8; ++k) {
            if (k != 3 && !simulator.trainer(k).IsDone()) return false;
          }
          return true;
        },
        absl::Minutes(1)))
        << "seed " << seed;
    for (uint32_t k = 0; k < 8; ++k) {
      if (k == 3) continue;
      EXPECT_LE(simulator.trainer(k).longest_exchange(), absl::Milliseconds(1100)) << k;
      EXPECT_EQ(simulator.trainer(k).steps(), options.rounds);
    }
    // 11 ms a round; what is lost is one deadline at most, and the sync that finds the silence.
    const double undisturbed = (options.rounds - round) * 0.0125;
    EXPECT_LT(absl::ToDoubleSeconds(simulator.elapsed() - stopped_at), undisturbed + 2.5);
    ExpectReadOnce(simulator, round + 40, options.rounds, 3);
    EXPECT_EQ(simulator.Audit(), "");
  }
}

TEST(Failures, AStoppedNodeThatGoesOnCatchesUp) {
  for (const Mode mode : {Mode::kLockstep, Mode::kOverlap, Mode::kAsync}) {
    SimOptions options = Mesh(8, mode);
    options.rounds = 600;
    Simulator simulator(options);
    simulator.StartAll();
    simulator.RunFor(absl::Seconds(1));
    simulator.node(3).Stop();
    simulator.RunFor(absl::Seconds(2));
    simulator.node(3).Resume();
    simulator.RunFor(absl::Milliseconds(2500));
    const uint64_t newest = NewestRound(simulator);
    EXPECT_GT(newest, 200u) << ModeName(mode);
    EXPECT_GE(Value(simulator.trainer(3).newest_round()) + 3, newest) << ModeName(mode);
    ASSERT_TRUE(simulator.RunToEnd()) << ModeName(mode);
    EXPECT_EQ(simulator.Audit(), "");
  }
}

TEST(Failures, AStoppedTrainerIsNotWaitedForAgain) {
  SimOptions options = Mesh(8);
  options.rounds = 400;
  Simulator simulator(options);
  simulator.StartAll();
  simulator.RunFor(absl::Seconds(1));
  simulator.trainer(3).Stop();
  simulator.RunFor(absl::Seconds(5));
  const uint64_t newest = NewestRound(simulator);
  EXPECT_GT(newest, 200u) << "the others wait for it";
  simulator.trainer(3).Resume();
  simulator.RunFor(absl::Seconds(1));
  EXPECT_GE(Value(simulator.trainer(3).newest_round()) + 3, NewestRound(simulator));
  ASSERT_TRUE(simulator.RunToEnd());
  EXPECT_EQ(simulator.Audit(), "");
}

TEST(Failures, LostMessagesMixLessAndBreakNothing) {
  for (const Mode mode : {Mode::kLockstep, Mode::kOverlap, Mode::kAsync}) {
    for (uint64_t seed = 1; seed <= 5; ++seed) {
      SimOptions options = Mesh(8, mode);
      options.seed = seed;
      options.run.round_deadline = absl::Milliseconds(200);
      Simulator simulator(options);
      const auto initial = Weights(simulator);
      simulator.StartAll();
      simulator.RunFor(absl::Milliseconds(500));
      simulator.Lose(0.01, 0.02);
      simulator.RunFor(absl::Seconds(2));
      // A lost frame costs its pull, and what waits behind its lease; see
      // SimOptions::loss_detected.
      EXPECT_GT(simulator.ledger().ArrivedShare(0, 8), 0.9) << "seed " << seed;
      ASSERT_TRUE(simulator.RunToEnd()) << "seed " << seed << " " << ModeName(mode);
      EXPECT_EQ(simulator.Audit(), "");
      ExpectWithinInitialHull(simulator, initial);
    }
  }
}

// Data stops in the middle and nobody says so: after two deadlines the link is cut and made anew.
TEST(Failures, AHungLinkIsCutAndComesBack) {
  for (const Mode mode : {Mode::kLockstep, Mode::kOverlap, Mode::kAsync}) {
    SimOptions options = Mesh(4, mode);
    options.transfer = absl::Milliseconds(5);
    options.run.round_deadline = absl::Milliseconds(200);
    options.rounds = 500;
    Simulator simulator(options);
    simulator.StartAll();
    ASSERT_TRUE(simulator.RunUntil(
        [&] { return simulator.data().IsMoving(0, 1) && NewestRound(simulator) > 50; },
        absl::Seconds(5)));
    simulator.data().Hang(0, 1);
    simulator.RunFor(absl::Seconds(3));
    EXPECT_TRUE(simulator.data().Works(0, 1)) << ModeName(mode);
    const uint64_t newest = NewestRound(simulator);
    ASSERT_TRUE(simulator.RunToEnd());
    EXPECT_EQ(simulator.Audit(), "");
    for (const auto& [round, record] : simulator.ledger().rounds()) {
      if (mode != Mode::kLockstep || Value(round) < newest + 5) continue;
      for (uint32_t reads : record.reads) ASSERT_EQ(reads, 1u) << "round " << Value(round);
    }
  }
}

// A daemon that comes back with its node_id and a new session founds new runs; its former replica
// stays dead in the old one.
TEST(Failures, ARestartedNodeTakesPartInANewRun) {
  SimOptions options = Mesh(4);
  options.rounds = 400;
  Simulator simulator(options);
  simulator.StartAll();
  simulator.RunFor(absl::Seconds(1));
  simulator.node(2).Kill();
  simulator.RunFor(absl::Milliseconds(500));
  simulator.node(2).Start();
  simulator.RunFor(absl::Milliseconds(1500));
  SimTrainer& late = simulator.AddTrainer(2, 2, [](TrainerOptions*) {});
  late.Start();
  simulator.RunFor(absl::Milliseconds(100));
  EXPECT_EQ(late.refusal(), attach::ReplyCode::kTooLate) << late.refusal_message();
  SimTrainer& other = simulator.AddTrainer(2, 2, [](TrainerOptions* trainer) {
    trainer->run_id = "another run";
    trainer->founding.config.replicas_min = 1;
    trainer->rounds = 10;
  });
  other.Start();
  ASSERT_TRUE(simulator.RunToEnd());
  EXPECT_EQ(other.state(), TrainerState::kLeft) << other.refusal_message();
  EXPECT_EQ(simulator.Audit(), "");
}

// A copied state directory: node 4 speaks as node 1, whose replica trains. It ends, and nobody
// loses a pull by it.
TEST(Failures, AClonedNodeEndsAndTheOriginalIsUndisturbed) {
  SimOptions options = Mesh(5);
  options.run.replicas_min = 4;
  options.rounds = 200;
  Simulator simulator(options);
  for (uint32_t k = 0; k < 4; ++k) {
    simulator.node(k).Start();
    simulator.trainer(k).Start();
  }
  simulator.RunFor(absl::Milliseconds(1500));
  simulator.node(4).PoseAs(1);
  simulator.node(4).Start();
  ASSERT_TRUE(simulator.RunUntil([&] { return !simulator.node(4).end_reason().empty(); },
                                 absl::Seconds(30)));
  EXPECT_NE(simulator.node(4).end_reason().find("delete node_id"), std::string::npos);
  ASSERT_TRUE(simulator.RunToEnd());
  EXPECT_EQ(simulator.Audit(), "");
  for (uint32_t k = 0; k < 4; ++k) {
    EXPECT_EQ(simulator.node(k).end_reason(), "") << k;
    EXPECT_EQ(simulator.trainer(k).state(), TrainerState::kLeft) << k;
    const ReplicaStatistics statistics = simulator.StatisticsOf(k);
    EXPECT_EQ(statistics.pulls[static_cast<size_t>(Outcome::kArrived)],
              options.rounds * options.segments)
        << k;
  }
}

// The only seed dies for good, and then another daemon, which comes back.
TEST(Failures, ARestartedDaemonFindsTheMeshByWhatItKeptOnDisk) {
  for (const bool loses_disk : {false, true}) {
    SimOptions options = Mesh(4);
    options.seeds = 1;
    Simulator simulator(options);
    simulator.StartNodes();
    const auto knows = [&](uint32_t node, uint32_t other) {
      return simulator.node(node).core().Knows(World::NodeIdOf(other));
    };
    ASSERT_TRUE(simulator.RunUntil([&] { return knows(1, 2) && knows(2, 3) && knows(3, 1); },
                                   absl::Seconds(10)));
    simulator.RunFor(absl::Seconds(10));
    simulator.node(0).Kill();
    simulator.RunFor(absl::Seconds(10));
    simulator.node(3).Kill();
    if (loses_disk) simulator.node(3).LoseDisk();
    simulator.RunFor(absl::Minutes(30));  // the others have forgotten it
    EXPECT_FALSE(knows(1, 3));
    simulator.node(3).Start();
    const bool found =
        simulator.RunUntil([&] { return knows(3, 1) && knows(3, 2) && knows(1, 3) && knows(2, 3); },
                           absl::Seconds(30));
    EXPECT_EQ(found, !loses_disk);
  }
}

}  // namespace
}  // namespace weightmesh::sim
