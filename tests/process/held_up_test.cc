// Never held up: a reader that stops in the middle of a transfer delays a publisher by no more than
// the stated bound, and a counter says why.
//
// The bound, from design.md section 4: an exchange waits at most publish_wait for a slot and at
// most round_deadline for its pulls; in lockstep publish_wait is round_deadline, so two deadlines
// in all. Two deadlines is also how long a transfer may hang before its link is cut off and its
// slot or inbox buffer comes back.
#include <gtest/gtest.h>
#include <signal.h>

#include <string>

#include "tests/process/marks.h"
#include "tests/process/mesh.h"
#include "tests/process/trainers.h"

namespace weightmesh {
namespace {

constexpr int kReplicas = 3;
constexpr uint64_t kDeadlineMs = 1000;
constexpr absl::Duration kLimit = absl::Seconds(100);
// Two deadlines, and as much for a busy machine to run what was woken.
constexpr double kWaitSecondsMax = 2 * kDeadlineMs / 1000.0 * 2;

GossipOptions MarkedRun() {
  GossipOptions options;
  options.run_id = "held-up";
  options.replicas = kReplicas;
  options.steps = 0;
  options.marked = true;
  options.alpha = 1;
  options.deadline_ms = kDeadlineMs;
  return options;
}

uint64_t LinksCut(const Mesh& mesh, int k) {
  uint64_t cut = 0;
  const v1::LinkList links = mesh.Links(k);
  for (const v1::Link& link : links.links()) cut += link.cuts();
  return cut;
}

bool AwaitRounds(const GossipRun& run, int k, uint64_t more) {
  const uint64_t round = run.Stats(k).round() + more;
  return Mesh::Await([&] { return run.Stats(k).round() >= round; }, kLimit);
}

// Both slots of the smallest arena hang in transfers that never end: the publisher skips, says so,
// and has its slots back after two deadlines.
TEST(HeldUp, APublisherWithoutASlotSkipsAndCountsIt) {
  Mesh mesh(kReplicas,
            {.config = "membership { sync_interval_ms: 200 }",
             .config_of = {"transport { faults { seed: 3 stop_send { rate: 0.05 } } }"}});
  GossipOptions options = MarkedRun();
  options.segments = 18;
  options.parameters = 40'000;
  options.slots = 2;
  GossipRun run(&mesh, options);
  EXPECT_TRUE(Mesh::Await([&] { return run.Stats(0).publishes_skipped() > 0; }, kLimit));
  EXPECT_TRUE(Mesh::Await([&] { return LinksCut(mesh, 0) > 0; }, kLimit));
  for (int k = 0; k < kReplicas; ++k) EXPECT_TRUE(AwaitRounds(run, k, 5)) << "replica " << k;
  EXPECT_NE(mesh.DaemonLog(0).find("is not published"), std::string::npos)
      << "the log does not say which reader holds the slots";
  run.Stop();
  for (int k = 0; k < kReplicas; ++k) {
    const TrainerResult result = run.Result(k, kLimit);
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_EQ(result.skipped > 0, k == 0) << "replica " << k;
    EXPECT_EQ(result.AllPulls(), result.due);
    EXPECT_LE(result.wait_seconds_max, kWaitSecondsMax) << "replica " << k;
  }
  ExpectWholeSnapshots(run, /*from_scheduled=*/false);
}

// Segments far larger than what sockets hold: a daemon that is stopped while it reads one stops the
// transfer in the middle. The others go on, cut the link after two deadlines, and when the daemon
// goes on its late bytes are nowhere: every mark that anybody mixed is whole.
TEST(HeldUp, AReaderThatStopsInTheMiddleDelaysNobodyForLong) {
  // The link is to be cut for its transfer, not because the daemon is held for dead.
  const char* config = "membership { sync_interval_ms: 200 detection_target_ms: 60000 }";
  Mesh mesh(kReplicas, {.config = config, .config_of = {}});
  GossipOptions options = MarkedRun();
  options.segments = 3;
  options.parameters = 6'000'000;
  GossipRun run(&mesh, options);
  for (int k = 0; k < kReplicas; ++k) ASSERT_TRUE(AwaitRounds(run, k, 5)) << "replica " << k;

  // Where no transfer was under way at that moment, again.
  uint64_t cut = 0;
  for (int tries = 0; tries < 8 && cut == 0; ++tries) {
    mesh.daemon(1).Signal(SIGSTOP);
    for (int k : {0, 2}) EXPECT_TRUE(AwaitRounds(run, k, 5)) << "replica " << k;
    Mesh::Await(
        [&] {
          cut = LinksCut(mesh, 0) + LinksCut(mesh, 2);
          return cut > 0;
        },
        absl::Milliseconds(4 * kDeadlineMs));
    mesh.daemon(1).Signal(SIGCONT);
    for (int k = 0; k < kReplicas; ++k) EXPECT_TRUE(AwaitRounds(run, k, 5)) << "replica " << k;
  }
  EXPECT_GT(cut, 0u) << "no transfer was cut off: none was stopped in the middle";
  run.Stop();
  for (int k = 0; k < kReplicas; ++k) {
    const TrainerResult result = run.Result(k, kLimit);
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_EQ(result.alone, 0u) << "replica " << k;
    EXPECT_EQ(result.AllPulls(), result.due);
    EXPECT_EQ(result.Pulls(Outcome::kCorrupt), 0u) << "replica " << k;
    if (k == 1) continue;
    EXPECT_LE(result.wait_seconds_max, kWaitSecondsMax) << "replica " << k;
  }
  ExpectWholeSnapshots(run, /*from_scheduled=*/false);
}

}  // namespace
}  // namespace weightmesh
