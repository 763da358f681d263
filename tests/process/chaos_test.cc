// Everything at once, with real daemons and trainers: each second somebody is killed, stopped,
// drained or brought back, by a plan that a seed gives; then all come back, and must be one mesh.
//
// Nobody learns anything here, and whoever joins begins with NaN: so whatever is torn, mixed twice
// or taken from nowhere shows in the weights at the end, which must be exactly the first ones.
//
// WEIGHTMESH_CHAOS_SEED and WEIGHTMESH_CHAOS_SECONDS (10, in each mode) choose another plan; the
// test prints what it ran.
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "daemon/core/hash.h"
#include "tests/process/footprint.h"
#include "tests/process/mesh.h"
#include "tests/process/trainers.h"

namespace weightmesh {
namespace {

constexpr int kReplicas = 8;
constexpr int kAwayMax = 3;  // at once
constexpr absl::Duration kLimit = absl::Seconds(60);
constexpr absl::Duration kPauseMax = absl::Milliseconds(1500);

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  uint64_t value = 0;
  return text != nullptr && absl::SimpleAtoi(text, &value) ? value : otherwise;
}

class Chaos : public testing::TestWithParam<attach::Mode> {
 protected:
  // Five rounds a second.
  GossipOptions Run() const {
    GossipOptions options;
    options.run_id = "chaos";
    options.replicas = kReplicas;
    options.steps = 0;
    options.parameters = 20'000;
    options.mode = GetParam();
    options.staleness_rounds_max = GetParam() == attach::Mode::kAsync ? 8 : 0;
    options.learning = 0;
    options.deadline_ms = 2000;
    options.step_ms = {200};
    return options;
  }

  // What is done to replica `k` or its daemon. The first replica and its daemon, the others' seed,
  // are only paused.
  enum class Blow { kKillTrainer, kKillDaemon, kDrain, kPauseTrainer, kPauseDaemon };
  static const char* NameOf(Blow blow) {
    switch (blow) {
      case Blow::kKillTrainer:
        return "trainer killed";
      case Blow::kKillDaemon:
        return "daemon killed";
      case Blow::kDrain:
        return "daemon drained";
      case Blow::kPauseTrainer:
        return "trainer paused";
      case Blow::kPauseDaemon:
        return "daemon paused";
    }
    return "?";
  }

  void Strike(int k, Blow blow) {
    std::printf("%6.1f s  replica %d: %s\n", absl::ToDoubleSeconds(absl::Now() - begun_), k,
                NameOf(blow));
    switch (blow) {
      case Blow::kKillTrainer:
        run_.trainer(k).Signal(SIGKILL);
        run_.trainer(k).Wait(kLimit);
        trainer_runs_[k] = false;
        away_[k] = true;
        return;
      case Blow::kKillDaemon:  // its trainer trains on, and joins again when the daemon is back
        mesh_.Kill(k);
        mesh_has_[k] = false;
        away_[k] = true;
        return;
      case Blow::kDrain:
        mesh_.daemon(k).Signal(SIGTERM);
        EXPECT_EQ(mesh_.daemon(k).Wait(kLimit), 0) << "daemon " << k;
        EXPECT_TRUE(run_.Result(k, kLimit).drained) << "replica " << k;
        mesh_has_[k] = trainer_runs_[k] = false;
        away_[k] = true;
        return;
      case Blow::kPauseTrainer:
        return Pause(&run_.trainer(k));
      case Blow::kPauseDaemon:
        return Pause(&mesh_.daemon(k));
    }
  }

  void Pause(Child* child) {
    child->Signal(SIGSTOP);
    absl::SleepFor(kPauseMax * rng_.Unit());
    child->Signal(SIGCONT);
  }

  void BringBack(int k) {
    std::printf("%6.1f s  replica %d: back\n", absl::ToDoubleSeconds(absl::Now() - begun_), k);
    if (!mesh_has_[k]) mesh_.Restart(k);
    if (!trainer_runs_[k]) run_.Join(k);
    mesh_has_[k] = trainer_runs_[k] = true;
    away_[k] = false;
  }

  void OneSecond() {
    const absl::Time until = absl::Now() + absl::Seconds(1);
    const auto away = std::count(away_.begin(), away_.end(), true);
    const int k = static_cast<int>(rng_.Below(kReplicas));
    if (away_[k]) {
      BringBack(k);
    } else {
      const bool only_pauses = k == 0 || away >= kAwayMax || !IsActive(k);
      Strike(k, static_cast<Blow>(only_pauses ? 3 + rng_.Below(2) : rng_.Below(5)));
    }
    absl::SleepFor(until - absl::Now());
  }

  bool IsActive(int k) const { return run_.Stats(k).state() == v1::REPLICA_STATE_ACTIVE; }
  // Every replica takes part in so many more rounds.
  void ExpectRounds(uint64_t more) const {
    std::vector<uint64_t> last(kReplicas);
    for (int k = 0; k < kReplicas; ++k) last[k] = run_.Stats(k).round() + more;
    for (int k = 0; k < kReplicas; ++k) {
      EXPECT_TRUE(Mesh::Await([&] { return run_.Stats(k).round() >= last[k]; }, kLimit))
          << "replica " << k;
    }
  }

  // Another plan in each mode; those of seed 1 strike in each way.
  const uint64_t seed_ =
      FromEnvironment("WEIGHTMESH_CHAOS_SEED", 1) + static_cast<uint64_t>(GetParam());
  const uint64_t seconds_ = FromEnvironment("WEIGHTMESH_CHAOS_SECONDS", 10);
  CounterRng rng_{seed_};
  Mesh mesh_{kReplicas};
  GossipRun run_{&mesh_, Run()};
  absl::Time begun_ = absl::Now();
  std::vector<bool> away_ = std::vector<bool>(kReplicas, false);
  std::vector<bool> trainer_runs_ = std::vector<bool>(kReplicas, true);
  std::vector<bool> mesh_has_ = std::vector<bool>(kReplicas, true);
};
INSTANTIATE_TEST_SUITE_P(Modes, Chaos,
                         testing::Values(attach::Mode::kLockstep, attach::Mode::kOverlap,
                                         attach::Mode::kAsync),
                         [](const auto& info) {
                           return info.param == attach::Mode::kLockstep  ? "lockstep"
                                  : info.param == attach::Mode::kOverlap ? "overlap"
                                                                         : "async";
                         });

TEST_P(Chaos, TrainingGoesOnAndEndsAsOneMesh) {
  std::printf("plan %llu, %llu s\n", static_cast<unsigned long long>(seed_),
              static_cast<unsigned long long>(seconds_));
  ExpectRounds(5);
  const Footprint before = FootprintOf(mesh_.daemon(0).pid());
  for (uint64_t second = 0; second < seconds_ && !HasFailure(); ++second) OneSecond();
  for (int k = 0; k < kReplicas; ++k) {
    if (away_[k]) BringBack(k);
  }

  for (int k = 0; k < kReplicas; ++k) {
    ASSERT_TRUE(Mesh::Await([&] { return IsActive(k); }, kLimit)) << "replica " << k;
    EXPECT_TRUE(Mesh::Await([&] { return mesh_.ViewSize(k, "chaos") == kReplicas; }, kLimit))
        << "daemon " << k;
  }
  ExpectRounds(10);
  // Connections to addresses where nobody is any more may still be open; gRPC keeps threads.
  const GrowthLimit growth{
      .descriptors = 2 * kReplicas, .threads = 8, .mappings = 64, .resident_kb = 16 << 10};
  if (kResidentMemoryIsOwn) {
    EXPECT_EQ(AwaitReturnTo(before, mesh_.daemon(0).pid(), growth, kLimit), "");
  }
  run_.Stop();
  const std::vector<float> start = StartWeights(run_.options())[0];
  for (int k = 0; k < kReplicas; ++k) {
    const TrainerResult result = run_.Result(k, kLimit);
    EXPECT_EQ(result.exit_code, 0) << "replica " << k;
    EXPECT_EQ(result.AllPulls(), result.due) << "replica " << k << ": " << result.DescribePulls();
    EXPECT_TRUE(result.weights == start) << "replica " << k << " ends with other weights";
  }
}

}  // namespace
}  // namespace weightmesh
