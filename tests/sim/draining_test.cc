// Daemons that are emptied while all train, in virtual time: fair to the last round, and after it.
#include <gtest/gtest.h>

#include "tests/sim/simulator.h"

namespace weightmesh::sim {
namespace {

constexpr uint32_t kNodes = 8;
constexpr uint32_t kLeaver = 3;

SimOptions Mesh(Mode mode, uint64_t seed) {
  SimOptions options;
  options.seed = seed;
  options.nodes = kNodes;
  options.segments = 6;
  options.run.seed = 11;
  options.run.mode = mode;
  options.run.replicas_min = 0;
  options.run.round_deadline = absl::Seconds(1);
  options.rounds = 200;
  options.step_jitter = 0.1;
  return options;
}

Round LeftAt(Simulator& simulator, uint32_t trainer) {
  const ReplicaId replica = simulator.trainer(trainer).replica();
  const SyncMessage message = simulator.trainer(trainer).node().core().MakeSync();
  for (const ReplicaInfo& info : message.runs[0].replicas) {
    if (info.replica_id == replica) return info.left_at;
  }
  return kNoRound;
}

// Lockstep: everybody reads and is read once in every round, the leaver in those before its end.
TEST(Draining, IsFairToTheLastRoundAndAfterIt) {
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    Simulator simulator(Mesh(Mode::kLockstep, seed));
    simulator.StartAll();
    simulator.RunFor(absl::Milliseconds(1000 + 7 * seed));
    simulator.node(kLeaver).Step(DrainRequested{absl::Seconds(10)});
    const uint64_t left_at = Value(LeftAt(simulator, kLeaver));
    ASSERT_TRUE(simulator.RunToEnd()) << "seed " << seed;
    EXPECT_EQ(simulator.Audit(), "");
    EXPECT_TRUE(simulator.node(kLeaver).drained());
    EXPECT_EQ(simulator.trainer(kLeaver).state(), TrainerState::kLeft);
    EXPECT_EQ(Value(simulator.trainer(kLeaver).newest_round()), left_at - 1) << "seed " << seed;
    EXPECT_EQ(simulator.ledger().Count(Outcome::kArrived),
              6 * (7 * simulator.options().rounds + left_at - 1))
        << "seed " << seed << ": every pull of everybody came, none was redirected in vain";
    for (const auto& [round, record] : simulator.ledger().rounds()) {
      for (uint32_t row = 0; row < record.reads.size(); ++row) {
        const bool is_there = row / 6 != kLeaver || Value(round) < left_at;
        ASSERT_EQ(record.reads[row], is_there ? 1u : 0u)
            << "seed " << seed << ", round " << Value(round) << ", trainer " << row / 6;
      }
    }
  }
}

TEST(Draining, OneAfterTheOtherUntilOneIsLeft) {
  for (Mode mode : {Mode::kLockstep, Mode::kOverlap}) {
    Simulator simulator(Mesh(mode, 5));
    simulator.StartAll();
    simulator.RunFor(absl::Milliseconds(500));
    for (uint32_t k = 1; k < kNodes; ++k) {
      simulator.node(k).Step(DrainRequested{absl::Seconds(10)});
      const auto is_done = [&] {
        return simulator.node(k).drained() && simulator.trainer(k).IsDone();
      };
      ASSERT_TRUE(simulator.RunUntil(is_done, absl::Seconds(11)));
      EXPECT_EQ(simulator.trainer(k).state(), TrainerState::kLeft) << k;
    }
    ASSERT_TRUE(simulator.RunToEnd());
    EXPECT_EQ(simulator.Audit(), "");
    EXPECT_EQ(simulator.trainer(0).steps(), simulator.options().rounds);
  }
}

TEST(Draining, AStoppedTrainerIsWaitedForUntilTheDeadline) {
  Simulator simulator(Mesh(Mode::kLockstep, 9));
  simulator.StartAll();
  simulator.RunFor(absl::Milliseconds(500));
  simulator.trainer(kLeaver).Stop();
  simulator.node(kLeaver).Step(DrainRequested{absl::Seconds(3)});
  simulator.RunFor(absl::Milliseconds(2900));
  EXPECT_FALSE(simulator.node(kLeaver).drained());
  simulator.RunFor(absl::Milliseconds(200));
  EXPECT_TRUE(simulator.node(kLeaver).drained());
  simulator.trainer(kLeaver).Resume();
  EXPECT_TRUE(
      simulator.RunUntil([&] { return simulator.trainer(kLeaver).IsDone(); }, absl::Seconds(4)))
      << "its next publish tells it, whatever round was announced";
  ASSERT_TRUE(simulator.RunToEnd());
  EXPECT_EQ(simulator.Audit(), "");
  EXPECT_EQ(simulator.trainer(kLeaver).state(), TrainerState::kLeft) << "it leaves late";
}

}  // namespace
}  // namespace weightmesh::sim
