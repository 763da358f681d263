// Real daemons and trainers end with the very bits that the reference computes: nothing is lost,
// torn, mixed twice or in another order, in any schedule, wire format and mode.
//
// WEIGHTMESH_BIT_IDENTITY_REPEATS (default 2) sets how often the lockstep runs are repeated on one
// set of daemons.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <tuple>

#include "daemon/core/run_config.h"
#include "tests/process/mesh.h"
#include "tests/process/trainers.h"

namespace weightmesh {
namespace {

constexpr int kReplicas = 8;
constexpr absl::Duration kRunLimit = absl::Seconds(100);

int Repeats() {
  const char* repeats = std::getenv("WEIGHTMESH_BIT_IDENTITY_REPEATS");
  return repeats == nullptr ? 2 : std::atoi(repeats);
}

class BitIdentity : public testing::Test {
 protected:
  static void SetUpTestSuite() { mesh_ = new Mesh(kReplicas); }
  static void TearDownTestSuite() {
    delete mesh_;
    mesh_ = nullptr;
  }

  // Every pull arrived and every parameter is the reference's.
  static void ExpectReference(GossipRun* run) {
    const std::vector<std::vector<float>> expected = ReferenceWeights(run->options());
    for (int k = 0; k < run->options().replicas; ++k) {
      const TrainerResult result = run->Result(k, kRunLimit);
      ASSERT_EQ(result.exit_code, 0) << "trainer " << k;
      EXPECT_EQ(result.Pulls(Outcome::kArrived), run->options().steps * run->options().segments)
          << result.DescribePulls() << " of replica " << k;
      ASSERT_EQ(result.weights.size(), expected[k].size());
      size_t different = 0;
      for (size_t p = 0; p < expected[k].size(); ++p) {
        different += std::memcmp(&expected[k][p], &result.weights[p], sizeof(float)) != 0;
      }
      EXPECT_EQ(different, 0u) << "parameters of replica " << k << " differ from the reference";
    }
  }

  static Mesh* mesh_;
};
Mesh* BitIdentity::mesh_ = nullptr;

std::string Describe(const GossipOptions& options) {
  return std::string(ModeName(options.mode)) + "-" + ScheduleName(options.schedule) + "-" +
         WireName(options.wire);
}

TEST_F(BitIdentity, LockstepWithStallingTrainers) {
  const int repeats = Repeats();
  for (int repeat = 0; repeat < repeats; ++repeat) {
    for (const auto schedule :
         {attach::ScheduleKind::kHashCycle, attach::ScheduleKind::kDerangement,
          attach::ScheduleKind::kExponential}) {
      for (const auto wire : {WireFormat::kFp32, WireFormat::kBf16}) {
        GossipOptions options;
        options.schedule = schedule;
        options.wire = wire;
        options.stall_ms = 50;
        options.seed = 100 + repeat;
        options.update_seed = 200 + repeat;
        options.run_id = Describe(options) + "-" + std::to_string(repeat);
        SCOPED_TRACE(options.run_id);
        GossipRun run(mesh_, options);
        ExpectReference(&run);
        if (HasFailure()) return;
      }
    }
    std::printf("repeat %d of %d: bit-identical\n", repeat + 1, repeats);
    std::fflush(stdout);
  }
}

// The trainers are held until every pull of the round has landed, so that none is late and no round
// number is skipped.
TEST_F(BitIdentity, OverlapAtOnePace) {
  for (const auto wire : {WireFormat::kFp32, WireFormat::kBf16}) {
    GossipOptions options;
    options.mode = attach::Mode::kOverlap;
    options.wire = wire;
    options.paced = true;
    options.run_id = Describe(options);
    SCOPED_TRACE(options.run_id);
    GossipRun run(mesh_, options);
    for (uint64_t step = 1; step <= options.steps; ++step) {
      ASSERT_TRUE(run.StepTogether(step, kRunLimit)) << "step " << step;
    }
    run.Stop();
    ExpectReference(&run);
  }
}

}  // namespace
}  // namespace weightmesh
