// How runs begin, in virtual time: many daemons at once, in any order, and one view at the end.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/core/membership.h"
#include "tests/sim/check/one_reader.h"
#include "tests/sim/simulator.h"

namespace weightmesh::sim {
namespace {

SimOptions Mesh(uint32_t nodes, uint64_t seed) {
  SimOptions options;
  options.seed = seed;
  options.nodes = nodes;
  options.segments = 2;
  options.run.replicas_min = 0;
  options.rounds = 20;
  options.start_timeout = absl::Seconds(30);
  return options;
}

bool AllSettled(Simulator& simulator) {
  for (uint32_t k = 0; k < simulator.trainers(); ++k) {
    const TrainerState state = simulator.trainer(k).state();
    if (state == TrainerState::kNew || state == TrainerState::kAttaching) return false;
  }
  return true;
}

// How many replicas the run was founded with, as node `k` knows.
size_t Founders(Simulator& simulator, uint32_t k) {
  for (const RunState& run : simulator.node(k).core().MakeSync().runs) {
    if (run.run_id == "run") return run.founders.size();
  }
  return 0;
}

// The run has one and the same view on every node.
void ExpectOneView(const Simulator& simulator, absl::string_view run_id) {
  const std::vector<uint64_t> digests = simulator.ViewDigests(run_id);
  const std::set<uint64_t> distinct(digests.begin(), digests.end());
  EXPECT_EQ(distinct.size(), 1u) << "seed " << simulator.options().seed;
  EXPECT_EQ(distinct.count(0), 0u) << "seed " << simulator.options().seed;
}

TEST(Founding, AllAtOnceEndWithOneView) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    SimOptions options = Mesh(9, seed);
    options.attach_spread = absl::Milliseconds(seed % 3 == 0 ? 0 : 2 * seed);
    options.control_jitter = absl::Milliseconds(seed % 4);
    Simulator simulator(options);
    simulator.StartAll();
    ASSERT_TRUE(simulator.RunUntil([&] { return AllSettled(simulator); }, absl::Seconds(40)));
    ExpectOneView(simulator, "run");
    ASSERT_TRUE(simulator.RunToEnd());
    EXPECT_EQ(simulator.Audit(), "");
    EXPECT_EQ(simulator.ledger().Count(Outcome::kArrived), 20u * 9 * 2) << "seed " << seed;
  }
}

// Links and news take many rounds: who starts early must not find the others dead.
TEST(Founding, WhoIsReleasedLaterLosesNothing) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    SimOptions options = Mesh(6, seed);
    options.control_delay = absl::Milliseconds(1);
    options.control_jitter = absl::Milliseconds(40);
    options.step = absl::Milliseconds(1);
    Simulator simulator(options);
    simulator.StartAll();
    ASSERT_TRUE(simulator.RunToEnd()) << "seed " << seed;
    EXPECT_EQ(simulator.Audit(), "");
    EXPECT_EQ(simulator.ledger().Count(Outcome::kArrived), 20u * 6 * 2) << "seed " << seed;
    for (const auto& [round, record] : simulator.ledger().rounds()) {
      for (uint32_t reads : record.reads) {
        ASSERT_EQ(reads, 1u) << "seed " << seed << ", round " << Value(round);
      }
    }
  }
}

// More trainers than replicas_min come: those in time are founders, the rest are told.
TEST(Founding, MoreThanNeededEndWithOneView) {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    SimOptions options = Mesh(9, seed);
    options.run.replicas_min = 4;
    options.attach_spread = absl::Milliseconds(seed % 7 * 5);
    options.control_jitter = absl::Milliseconds(seed % 5 * 10);
    Simulator simulator(options);
    simulator.StartNodes();
    if (seed % 2 == 0) simulator.RunFor(absl::Seconds(2));
    simulator.AttachAll();
    ASSERT_TRUE(simulator.RunUntil([&] { return AllSettled(simulator); }, absl::Seconds(40)));
    simulator.RunFor(absl::Milliseconds(500));
    ExpectOneView(simulator, "run");
    uint32_t founders = 0;
    for (uint32_t k = 0; k < 9; ++k) {
      const SimTrainer& trainer = simulator.trainer(k);
      if (trainer.state() == TrainerState::kRefused) {
        EXPECT_EQ(trainer.refusal(), attach::ReplyCode::kTooLate);
      } else {
        ++founders;
      }
    }
    EXPECT_GE(founders, 4u);
    ASSERT_TRUE(simulator.RunToEnd());
    EXPECT_EQ(simulator.Audit(), "");
    EXPECT_EQ(simulator.ledger().Count(Outcome::kArrived), 20u * founders * 2) << "seed " << seed;
  }
}

// Daemons without a trainer hear of the run, but have no say in when it starts.
TEST(Founding, NodesWithoutReplicasHaveNoSay) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    SimOptions options = Mesh(12, seed);
    options.run.replicas_min = 2;
    options.control_jitter = absl::Milliseconds(seed % 9);
    Simulator simulator(options);
    for (uint32_t k = 0; k < 12; ++k) simulator.node(k).Start();
    simulator.RunFor(absl::Seconds(2));
    for (uint32_t k = 0; k < 5; ++k) {
      simulator.RunFor(absl::Milliseconds(seed % 3));
      simulator.trainer(k).Start();
    }
    // The newest round comes to those without a replica by the regular syncs.
    simulator.RunFor(2 * SyncSpacing(options.sync_interval, 11));
    ExpectOneView(simulator, "run");
    EXPECT_EQ(simulator.Audit(), "");
  }
}

// replicas_min is reached on both sides of a cut: two runs under one name, until they hear of each
// other. The same happens, rarely, where more than replicas_min come within a message's time.
TEST(Founding, HalvesThatAreFoundedApartBecomeOneRun) {
  constexpr uint32_t kReplicas = 6;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SimOptions options = Mesh(kReplicas, seed);
    options.run.replicas_min = kReplicas / 2;
    options.rounds = 600;
    Simulator simulator(options);
    simulator.StartNodes();
    simulator.RunFor(absl::Seconds(2));
    simulator.Part([](uint32_t a, uint32_t b) { return a % 2 != b % 2; });
    simulator.AttachAll();
    ASSERT_TRUE(simulator.RunUntil([&] { return AllSettled(simulator); }, absl::Seconds(5)));
    simulator.RunFor(absl::Milliseconds(500));
    for (uint32_t k = 0; k < kReplicas; ++k) {
      ASSERT_EQ(simulator.trainer(k).state(), TrainerState::kTraining);
      ASSERT_EQ(Founders(simulator, k), kReplicas / 2);
    }
    simulator.Part(nullptr);
    const auto all_view_all = [&] {
      for (uint32_t k = 0; k < kReplicas; ++k) {
        const auto schedule = simulator.node(k).core().ScheduleOf("run", kNoRound, SegmentId{0});
        if (!schedule.ok() || schedule->assignments.size() != kReplicas) return false;
      }
      return true;
    };
    ASSERT_TRUE(simulator.RunUntil(all_view_all, absl::Seconds(3)));
    ExpectOneView(simulator, "run");
    simulator.RunFor(absl::Seconds(1));  // the links are made, the rounds coupled
    const Round from = Next(simulator.trainer(0).newest_round());
    ASSERT_TRUE(simulator.RunToEnd());
    std::vector<uint32_t> rows(kReplicas);
    std::iota(rows.begin(), rows.end(), 0);
    EXPECT_EQ(CheckOneReader(simulator.ledger(), rows, from, Round{Value(from) + 100}), "");
    EXPECT_EQ(simulator.Audit(), "");
    // Its end is known on both sides: the name can be used again.
    simulator.RunFor(absl::Seconds(3));
    for (uint32_t k = 0; k < kReplicas; ++k) {
      const auto renamed = [k](TrainerOptions* o) { o->name = absl::StrCat("replica ", k); };
      simulator.AddTrainer(k, k, renamed).Start();
    }
    ASSERT_TRUE(simulator.RunUntil([&] { return AllSettled(simulator); }, absl::Seconds(5)));
    for (uint32_t k = kReplicas; k < simulator.trainers(); ++k) {
      EXPECT_EQ(simulator.trainer(k).state(), TrainerState::kTraining)
          << simulator.trainer(k).refusal_message();
    }
  }
}

TEST(Founding, LostMessagesOnlyDelayTheStart) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SimOptions options = Mesh(6, seed);
    options.control_loss = 0.1;
    Simulator simulator(options);
    simulator.StartAll();
    ASSERT_TRUE(simulator.RunUntil([&] { return AllSettled(simulator); }, absl::Seconds(40)))
        << "seed " << seed;
    simulator.RunFor(absl::Seconds(5));
    ExpectOneView(simulator, "run");
    for (uint32_t k = 0; k < 6; ++k) {
      EXPECT_EQ(simulator.trainer(k).refusal(), attach::ReplyCode::kOk)
          << simulator.trainer(k).refusal_message();
    }
    ASSERT_TRUE(simulator.RunToEnd());
    EXPECT_EQ(simulator.Audit(), "");
  }
}

TEST(Founding, OfTwoRunConfigsAtOnceOneWinsEverywhere) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    SimOptions options = Mesh(8, seed);
    options.run.replicas_min = 4;
    options.control_jitter = absl::Milliseconds(seed % 4);
    Simulator simulator(options);
    for (uint32_t k = 0; k < 8; ++k) simulator.node(k).Start();
    if (seed % 2 == 0) simulator.RunFor(absl::Seconds(2));
    for (uint32_t k = 0; k < 8; ++k) {
      SimTrainer& trainer = simulator.AddTrainer(k, k, [&](TrainerOptions* trainer_options) {
        trainer_options->founding.config.seed = k < 4 ? 1 : 2;
      });
      trainer.Start();
    }
    simulator.RunFor(absl::Seconds(8));
    std::set<uint32_t> winners;
    for (uint32_t k = 8; k < 16; ++k) {
      const SimTrainer& trainer = simulator.trainer(k);
      if (trainer.state() == TrainerState::kRefused) {
        EXPECT_EQ(trainer.refusal(), attach::ReplyCode::kMismatch);
        EXPECT_NE(trainer.refusal_message().find("RunConfig.seed"), std::string::npos)
            << trainer.refusal_message();
      } else {
        EXPECT_EQ(trainer.state(), TrainerState::kLeft) << "seed " << seed << " trainer " << k;
        winners.insert(k < 12 ? 1 : 2);
      }
    }
    EXPECT_EQ(winners.size(), 1u) << "seed " << seed;
    EXPECT_EQ(simulator.Audit(), "");
  }
}

TEST(Founding, OneNameOnTwoNodesIsRefusedOnOne) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SimOptions options = Mesh(3, seed);
    options.run.replicas_min = 3;
    Simulator simulator(options);
    simulator.StartAll();
    SimTrainer& twin =
        simulator.AddTrainer(2, 0, [](TrainerOptions* trainer) { trainer->name = "replica 0"; });
    twin.Start();
    ASSERT_TRUE(simulator.RunToEnd()) << "seed " << seed;
    const SimTrainer& first = simulator.trainer(0);
    EXPECT_EQ((first.state() == TrainerState::kLeft) + (twin.state() == TrainerState::kLeft), 1);
    const SimTrainer& refused = first.state() == TrainerState::kLeft ? twin : first;
    EXPECT_EQ(refused.refusal(), attach::ReplyCode::kNameInUse) << refused.refusal_message();
    EXPECT_EQ(simulator.Audit(), "");
  }
}

TEST(Founding, ALateAttachIsRefused) {
  SimOptions options = Mesh(3, 1);
  options.rounds = 100;
  Simulator simulator(options);
  simulator.StartAll();
  ASSERT_TRUE(simulator.RunUntil([&] { return AllSettled(simulator); }, absl::Seconds(10)));
  SimTrainer& late = simulator.AddTrainer(1, 0, nullptr);
  late.Start();
  ASSERT_TRUE(simulator.RunToEnd());
  EXPECT_EQ(late.refusal(), attach::ReplyCode::kTooLate);
  EXPECT_NE(late.refusal_message().find("3 founders"), std::string::npos) << late.refusal_message();
  EXPECT_EQ(simulator.Audit(), "");
}

TEST(Founding, AStartThatNeverComesNamesWhatIsMissing) {
  SimOptions options = Mesh(3, 1);
  options.run.replicas_min = 4;
  options.start_timeout = absl::Milliseconds(2345);
  Simulator simulator(options);
  simulator.StartAll();
  ASSERT_TRUE(simulator.RunToEnd());
  EXPECT_LT(simulator.elapsed(), absl::Seconds(3));
  for (uint32_t k = 0; k < 3; ++k) {
    const SimTrainer& trainer = simulator.trainer(k);
    EXPECT_EQ(trainer.refusal(), attach::ReplyCode::kStartTimeout);
    EXPECT_NE(trainer.refusal_message().find("of 4 replicas"), std::string::npos)
        << trainer.refusal_message();
  }
  EXPECT_EQ(simulator.Audit(), "");
}

// A founder's daemon is replaced (its state directory too) before the start.
TEST(Founding, ADaemonThatDiesBeforeTheStartIsNotWaitedFor) {
  SimOptions options = Mesh(4, 1);
  options.run.replicas_min = 3;
  Simulator simulator(options);
  for (uint32_t k = 0; k < 4; ++k) simulator.node(k).Start();
  simulator.RunFor(absl::Seconds(2));
  simulator.trainer(0).Start();
  simulator.trainer(1).Start();
  simulator.RunFor(absl::Seconds(1));
  simulator.node(1).Kill();
  simulator.RunFor(absl::Milliseconds(100));
  simulator.trainer(2).Start();
  simulator.trainer(3).Start();
  simulator.RunFor(absl::Seconds(12));
  for (uint32_t k : {0u, 2u, 3u}) {
    EXPECT_EQ(simulator.trainer(k).state(), TrainerState::kLeft) << simulator.trainer(k).progress();
  }
  EXPECT_EQ(simulator.Audit(), "");
}

TEST(Founding, AHundredNodes) {
  SimOptions options = Mesh(100, 1);
  options.rounds = 3;
  options.seeds = 3;
  Simulator simulator(options);
  simulator.StartAll();
  ASSERT_TRUE(simulator.RunToEnd());
  EXPECT_EQ(simulator.Audit(), "");
}

}  // namespace
}  // namespace weightmesh::sim
