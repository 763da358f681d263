// Large meshes: the production core of every daemon, in one process and in virtual time.
//
// WEIGHTMESH_SIM_NODES=1024 makes one of so many daemons, up to the 4,096 that a mesh may have.
#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <numeric>
#include <vector>

#include "absl/strings/numbers.h"
#include "tests/sim/check/one_reader.h"
#include "tests/sim/simulator.h"

namespace weightmesh::sim {
namespace {

// Of the daemons have a trainer.
constexpr uint32_t kReplicas = 32;
constexpr uint32_t kNodes = 64;
// Of the daemons start at once, at most: what a newcomer is told of all others is under way in a
// wave's messages alone.
constexpr uint32_t kWaveMax = 256;

uint32_t NodesWanted() {
  const char* text = std::getenv("WEIGHTMESH_SIM_NODES");
  uint32_t nodes = 0;
  return text != nullptr && absl::SimpleAtoi(text, &nodes) ? nodes : kNodes;
}

// What each phase takes: virtual time, this process's, and its memory at the end.
class Stopwatch {
 public:
  explicit Stopwatch(const Simulator* simulator) : simulator_(simulator) { Lap(nullptr); }
  void Lap(const char* what) {
    const std::clock_t now = std::clock();
    if (what != nullptr) {
      std::printf(
          "%5u daemons %-26s %6.2f s virtual, %7.2f s of CPU, %9lu steps of the cores, %6.0f MiB\n",
          simulator_->nodes(), what, absl::ToDoubleSeconds(simulator_->elapsed() - elapsed_),
          static_cast<double>(now - now_) / CLOCKS_PER_SEC, simulator_->core_steps() - steps_,
          static_cast<double>(mallinfo2().uordblks + mallinfo2().hblkhd) / (1 << 20));
      std::fflush(stdout);
    }
    now_ = now;
    elapsed_ = simulator_->elapsed();
    steps_ = simulator_->core_steps();
  }

 private:
  const Simulator* const simulator_;
  std::clock_t now_ = 0;
  absl::Duration elapsed_;
  uint64_t steps_ = 0;
};

// Whether `node` answers to all others, or to none of them.
bool All(Simulator& simulator, uint32_t node, bool reachable) {
  for (uint32_t k = 0; k < simulator.nodes(); ++k) {
    if (k == node) continue;
    bool answers = false;
    const absl::Time now = absl::UnixEpoch() + simulator.elapsed();
    for (const NodeSnapshot& other : simulator.node(k).core().Topology(now, "").nodes) {
      answers |= other.reachable && other.info.node_id == simulator.node(node).id();
    }
    if (answers != reachable) return false;
  }
  return true;
}

TEST(Scale, ALargeMeshFormsTrainsAndBuries) {
  SimOptions options;
  options.nodes = NodesWanted();
  options.segments = 2;
  options.wave = std::min(kWaveMax, options.nodes / 4);
  options.seeds = 3;
  options.rounds = 30;
  options.step = absl::Milliseconds(100);
  options.run.replicas_min = kReplicas;
  options.run.round_deadline = absl::Seconds(2);
  Simulator simulator(options);
  Stopwatch stopwatch(&simulator);
  simulator.StartNodes();
  const uint32_t last = simulator.nodes() - 1;
  const auto until = [&](bool reachable, uint32_t node) {
    for (int second = 0; second < 60; ++second) {
      if (All(simulator, node, reachable)) return true;
      simulator.RunFor(absl::Seconds(1));
    }
    return false;
  };
  ASSERT_TRUE(until(true, last) && until(true, 0));
  stopwatch.Lap("know each other");

  const absl::Duration begun = simulator.elapsed();
  for (uint32_t k = 0; k < kReplicas; ++k) simulator.trainer(k).Start();
  ASSERT_TRUE(simulator.RunToEnd(absl::Minutes(1)));
  EXPECT_LT(simulator.elapsed() - begun,
            static_cast<int>(options.rounds) * options.step + absl::Seconds(2))
      << "founders follow each other's news, and do not wait for their turn to sync";
  stopwatch.Lap("start a run and train it");
  std::vector<uint32_t> rows(kReplicas);
  std::iota(rows.begin(), rows.end(), 0);
  EXPECT_EQ(CheckOneReader(simulator.ledger(), rows, Round{1}, Round{options.rounds}), "");
  EXPECT_EQ(simulator.Audit(), "");

  simulator.node(last).Kill();
  ASSERT_TRUE(until(false, last));
  stopwatch.Lap("find one dead");
}

}  // namespace
}  // namespace weightmesh::sim
