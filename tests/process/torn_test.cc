// Never torn: publishers and readers race at full speed, and every block that is mixed is of one
// replica and one round, one that was asked for; what is torn or flipped on the way is
// caught, counted and not mixed, every time.
//
// WEIGHTMESH_RACE_SECONDS (default 6) sets how long each race goes on.
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>

#include <string>

#include "daemon/core/run_config.h"
#include "tests/process/marks.h"
#include "tests/process/mesh.h"
#include "tests/process/trainers.h"
#include "tests/testing/environment.h"

namespace weightmesh {
namespace {

constexpr int kReplicas = 4;
constexpr absl::Duration kLimit = absl::Seconds(100);
// 18 segments of more than a block, each of a multiple of 8 bytes: no padding, where a flipped bit
// would harm nobody.
constexpr uint64_t kParameters = 18 * 22'224;

GossipOptions MarkedRun(attach::Mode mode) {
  GossipOptions options;
  options.run_id = std::string("marked-") + ModeName(mode);
  options.mode = mode;
  options.staleness_rounds_max = mode == attach::Mode::kAsync ? 3 : 0;
  options.replicas = kReplicas;
  options.parameters = kParameters;
  options.marked = true;
  options.alpha = 1;
  return options;
}

void ExpectGoodEnds(GossipRun* run, std::vector<TrainerResult>* results) {
  for (int k = 0; k < run->options().replicas; ++k) {
    results->push_back(run->Result(k, kLimit));
    const TrainerResult& result = results->back();
    EXPECT_EQ(result.exit_code, 0) << "trainer " << k;
    EXPECT_EQ(result.alone, 0u);
    EXPECT_EQ(result.AllPulls(), result.due) << "a pull without an outcome";
    std::printf("replica %d: %lu steps, %s\n", k, static_cast<unsigned long>(result.steps),
                result.DescribePulls().c_str());
  }
}

class Race : public testing::TestWithParam<attach::Mode> {};

TEST_P(Race, NoMixedBlockIsOfAnotherRound) {
  Mesh mesh(kReplicas);
  GossipOptions options = MarkedRun(GetParam());
  options.steps = 0;
  GossipRun run(&mesh, options);
  for (int k = 0; k < kReplicas; ++k) {
    ASSERT_TRUE(Mesh::Await([&] { return run.Stats(k).round() >= 1; }, kLimit));
  }
  poll(nullptr, 0, static_cast<int>(1000 * FromEnvironment("WEIGHTMESH_RACE_SECONDS", 6)));
  run.Stop();
  std::vector<TrainerResult> results;
  ExpectGoodEnds(&run, &results);
  ExpectWholeSnapshots(run, /*from_scheduled=*/false);
  for (const TrainerResult& result : results) EXPECT_EQ(result.Pulls(Outcome::kCorrupt), 0u);
}

INSTANTIATE_TEST_SUITE_P(Modes, Race,
                         testing::Values(attach::Mode::kLockstep, attach::Mode::kOverlap,
                                         attach::Mode::kAsync),
                         [](const auto& info) { return std::string(ModeName(info.param)); });

// The daemon's own count of one kind of fault, from the last line that it logs.
uint64_t Injected(const std::string& log, const std::string& kind) {
  const size_t line = log.rfind("faults injected:");
  const size_t count = line == std::string::npos ? line : log.find(" " + kind + "=", line);
  if (count == std::string::npos) {
    ADD_FAILURE() << "no count of " << kind << " in the log";
    return 0;
  }
  return std::stoull(log.substr(count + kind.size() + 2));
}

// Replica 0's daemon flips bits of what lands, replica 1's tears it, replica 2's does each once.
TEST(Spoiled, IsCountedAsOftenAsInjectedAndNeverMixed) {
  MeshOptions mesh_options;
  mesh_options.config_of = {
      "transport { faults { seed: 11 corrupt { rate: 0.03 } } }",
      "transport { faults { seed: 12 tear { rate: 0.03 } } }",
      "transport { faults { seed: 13 corrupt { nth: 40 } tear { nth: 41 } } }",
  };
  Mesh mesh(kReplicas, mesh_options);
  GossipOptions options = MarkedRun(attach::Mode::kLockstep);
  options.steps = 200;
  GossipRun run(&mesh, options);
  std::vector<TrainerResult> results;
  ExpectGoodEnds(&run, &results);
  ExpectWholeSnapshots(run, /*from_scheduled=*/true);
  for (int k = 0; k < kReplicas; ++k) {
    mesh.daemon(k).Signal(SIGTERM);
    ASSERT_EQ(mesh.daemon(k).Wait(kLimit), 0);
    const TrainerResult& result = results[k];
    EXPECT_EQ(result.due, options.steps * options.segments);
    EXPECT_EQ(result.Pulls(Outcome::kArrived) + result.Pulls(Outcome::kCorrupt), result.due)
        << result.DescribePulls();
    if (k == 3) {
      EXPECT_EQ(result.Pulls(Outcome::kCorrupt), 0u);
      continue;
    }
    const std::string log = mesh.DaemonLog(k);
    EXPECT_NE(log.find("ON PURPOSE"), std::string::npos) << "the daemon misbehaves without a word";
    const uint64_t flipped = Injected(log, "corrupted");
    const uint64_t torn = Injected(log, "torn");
    EXPECT_EQ(result.Pulls(Outcome::kCorrupt), flipped + torn);
    EXPECT_TRUE(k != 0 || flipped >= 50) << flipped;
    EXPECT_TRUE(k != 1 || torn >= 50) << torn;
    EXPECT_TRUE(k != 2 || (flipped == 1 && torn == 1)) << flipped << " and " << torn;
  }
}

}  // namespace
}  // namespace weightmesh
