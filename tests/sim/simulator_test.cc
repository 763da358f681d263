// The simulator itself: one seed, one trace; what it counts on.
#include "tests/sim/simulator.h"

#include <gtest/gtest.h>

#include <vector>

namespace weightmesh::sim {
namespace {

// A run with everything in it: stalls, losses, a stopped node, a killed trainer, a restart.
uint64_t TraceOf(uint64_t seed, Mode mode) {
  SimOptions options;
  options.seed = seed;
  options.nodes = 6;
  options.replicas_per_node = 2;
  options.segments = 4;
  options.run.mode = mode;
  options.run.staleness_rounds_max = mode == Mode::kAsync ? 4 : 0;
  options.run.replicas_min = 0;
  options.run.round_deadline = absl::Milliseconds(300);
  options.rounds = 60;
  options.step_jitter = 0.2;
  options.stall_chance = 0.1;
  options.stall_max = absl::Milliseconds(40);
  options.noise = 0.1;
  Simulator simulator(options);
  simulator.StartAll();
  simulator.RunFor(absl::Milliseconds(300));
  simulator.Lose(0.01, 0.01);
  simulator.node(1).Stop();
  simulator.trainer(5).Kill();
  simulator.RunFor(absl::Milliseconds(200));
  simulator.node(1).Resume();
  simulator.node(4).Kill();
  simulator.RunFor(absl::Milliseconds(200));
  simulator.node(4).Start();
  simulator.Lose(0, 0);
  EXPECT_TRUE(simulator.RunToEnd());
  EXPECT_EQ(simulator.Audit(), "");
  return simulator.ledger().trace();
}

TEST(Simulator, OneSeedGivesOneTrace) {
  for (const Mode mode : {Mode::kLockstep, Mode::kOverlap, Mode::kAsync}) {
    for (uint64_t seed = 1; seed <= 3; ++seed) {
      EXPECT_EQ(TraceOf(seed, mode), TraceOf(seed, mode)) << "seed " << seed;
    }
    EXPECT_NE(TraceOf(1, mode), TraceOf(2, mode));
  }
}

TEST(EventQueue, RunsInTheOrderOfTimeAndThenOfAsking) {
  EventQueue queue;
  std::vector<int> order;
  queue.After(absl::Milliseconds(2), [&] { order.push_back(3); });
  queue.After(absl::Milliseconds(1), [&] {
    order.push_back(1);
    queue.After(absl::ZeroDuration(), [&] { order.push_back(2); });
  });
  queue.After(absl::Milliseconds(2), [&] { order.push_back(4); });
  queue.After(absl::Milliseconds(5), [&] { order.push_back(5); });
  const absl::Time end = queue.now() + absl::Milliseconds(3);
  while (queue.RunOne(end)) {
  }
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3, 4}));
  EXPECT_EQ(queue.now(), end);
}

TEST(SimProcess, AStoppedOneDoesItsWorkLaterAndADeadOneNever) {
  EventQueue queue;
  SimProcess process(&queue);
  std::vector<int> done;
  const auto run = [&](absl::Duration time) {
    const absl::Time end = queue.now() + time;
    while (queue.RunOne(end)) {
    }
  };
  process.Post(absl::Milliseconds(1), [&] { done.push_back(0); });
  run(absl::Milliseconds(2));
  EXPECT_TRUE(done.empty()) << "it is not up yet";
  process.Start();
  process.Stop();
  process.PostToSelf(absl::Milliseconds(1), [&] { done.push_back(1); });
  run(absl::Milliseconds(2));
  EXPECT_TRUE(done.empty());
  process.Resume();
  EXPECT_EQ(done, std::vector<int>{1});
  process.PostToSelf(absl::Milliseconds(1), [&] { done.push_back(2); });
  process.Post(absl::Milliseconds(1), [&] { done.push_back(3); });
  process.Kill();
  process.Start();
  run(absl::Milliseconds(2));
  EXPECT_EQ(done, (std::vector<int>{1, 3})) << "2 was for the former life";
}

}  // namespace
}  // namespace weightmesh::sim
