// How soon a death is known, how often it is declared wrongly, what that costs, and that views
// converge: the failure detector in virtual time.
//
// WEIGHTMESH_SWIM_NODES=1024,4096 adds meshes of those sizes, WEIGHTMESH_SWIM_CRASHES says how many
// crashes each sees; WEIGHTMESH_SWIM_MINUTES lengthens the count of false deaths;
// WEIGHTMESH_SIM_SEED sets the seed.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <numeric>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "tests/sim/swim_world.h"

namespace weightmesh::sim {
namespace {

using swim::NoticeKind;

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  uint64_t value = 0;
  return text != nullptr && absl::SimpleAtoi(text, &value) ? value : otherwise;
}

uint64_t Seed() { return FromEnvironment("WEIGHTMESH_SIM_SEED", 1); }

double Quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0
                        : values[static_cast<size_t>(q * static_cast<double>(values.size() - 1))];
}

struct Detection {
  std::vector<double> seconds;  // of every observer of every crash
  size_t undetected = 0;
  double bytes_per_node_second = 0;
};

// Crashes one node after the other, each followed by a restart once the others know.
Detection Detect(SwimWorldOptions options, size_t crashes) {
  SwimWorld world(options);
  world.Run(absl::Seconds(5));
  world.TakeBytes();
  const absl::Time begin = world.now();
  Detection detection;
  for (size_t crash = 0; crash < crashes; ++crash) {
    const size_t victim = 1 + world.rng().Below(options.nodes - 1);
    world.Run(options.swim.probe_interval * world.rng().Unit());
    world.ForgetSightings();
    const absl::Time crashed_at = world.now();
    world.Crash(victim);
    world.Run(absl::Seconds(20));
    std::vector<char> knows(options.nodes, 0);
    for (const SwimSighting& sighting : world.sightings()) {
      if (sighting.kind != NoticeKind::kDied || sighting.subject != victim) continue;
      if (std::exchange(knows[sighting.observer], 1)) continue;
      detection.seconds.push_back(absl::ToDoubleSeconds(sighting.at - crashed_at));
    }
    detection.undetected +=
        options.nodes - 1 - static_cast<size_t>(std::count(knows.begin(), knows.end(), 1));
    world.Start(victim);
    EXPECT_TRUE(world.RunUntilAgreed(absl::Seconds(20))) << "seed " << options.seed;
  }
  detection.bytes_per_node_second = static_cast<double>(world.TakeBytes()) /
                                    static_cast<double>(options.nodes) /
                                    absl::ToDoubleSeconds(world.now() - begin);
  EXPECT_EQ(world.false_deaths(), 0u) << "seed " << options.seed;
  return detection;
}

struct DetectionBar {
  size_t nodes;
  size_t crashes;
  double median_s;
  double p99_s;
  double bytes_per_s;
};

void CheckDetection(const DetectionBar& bar) {
  SwimWorldOptions options;
  options.nodes = bar.nodes;
  options.seed = Seed();
  const Detection detection = Detect(options, bar.crashes);
  const double median = Quantile(detection.seconds, 0.5);
  const double p99 = Quantile(detection.seconds, 0.99);
  std::printf(
      "n = %zu: %zu crashes known after %.2f s (median, computed %.2f; bar %.0f), %.2f s "
      "(99th percentile; bar %.0f), %.2f s (last); %.2f kB/s per node with them\n",
      bar.nodes, bar.crashes, median,
      absl::ToDoubleSeconds(swim::ExpectedDetection(options.swim, bar.nodes)), bar.median_s, p99,
      bar.p99_s, Quantile(detection.seconds, 1), detection.bytes_per_node_second / 1e3);
  EXPECT_EQ(detection.undetected, 0u);
  EXPECT_LE(median, bar.median_s);
  EXPECT_LE(p99, bar.p99_s);
  EXPECT_LE(detection.bytes_per_node_second, bar.bytes_per_s);
  EXPECT_GE(median, absl::ToDoubleSeconds(swim::SuspicionMin(options.swim, bar.nodes)));
}

size_t Crashes(size_t otherwise) { return FromEnvironment("WEIGHTMESH_SWIM_CRASHES", otherwise); }

TEST(SwimSim, DeathIsKnownInTimeAmong8) { CheckDetection({8, Crashes(300), 3, 5, 10e3}); }
TEST(SwimSim, DeathIsKnownInTimeAmong64) { CheckDetection({64, Crashes(100), 3, 5, 10e3}); }
TEST(SwimSim, DeathIsKnownInTimeAmongMany) {
  const char* sizes = std::getenv("WEIGHTMESH_SWIM_NODES");
  if (sizes == nullptr) GTEST_SKIP() << "set WEIGHTMESH_SWIM_NODES, for example to 1024";
  for (absl::string_view text : absl::StrSplit(sizes, ',')) {
    uint64_t nodes = 0;
    ASSERT_TRUE(absl::SimpleAtoi(text, &nodes)) << text;
    CheckDetection({nodes, Crashes(10), 6, 9, 20e3});
  }
}

TEST(SwimSim, AQuietMeshSaysLittle) {
  SwimWorldOptions options;
  options.nodes = 64;
  options.seed = Seed();
  SwimWorld world(options);
  world.Run(absl::Seconds(10));
  world.TakeBytes();
  world.Run(absl::Seconds(30));
  const double bytes = static_cast<double>(world.TakeBytes()) / 64 / 30;
  std::printf("n = 64, nothing happens: %.2f kB/s per node, sent and received\n", bytes / 1e3);
  EXPECT_LE(bytes, 5e3);
}

struct Pauses {
  size_t nodes;
  size_t at_once;  // nodes that are paused on and off
  absl::Duration pause;
  // A node runs at least so long between two pauses: closer together they would be one.
  absl::Duration runs;
};

// Victims in an hour of the whole mesh.
double FalseDeathsPerHour(const Pauses& pauses, const swim::SwimOptions& swim,
                          absl::Duration time) {
  SwimWorldOptions options;
  options.nodes = pauses.nodes;
  options.seed = Seed();
  options.swim = swim;
  SwimWorld world(options);
  world.Run(absl::Seconds(5));
  // Each of them pauses again and again, and another takes its turn.
  const absl::Time end = world.now() + time;
  std::vector<absl::Time> resumed(pauses.nodes, absl::InfinitePast());
  std::function<void()> pause = [&] {
    const size_t first = world.rng().Below(pauses.nodes);
    for (size_t k = 0; k < pauses.nodes; ++k) {
      const size_t node = (first + k) % pauses.nodes;
      if (world.now() < resumed[node] + pauses.runs) continue;
      resumed[node] = world.now() + pauses.pause;
      world.Pause(node, pauses.pause);
      break;
    }
    const absl::Duration next = pauses.pause + pauses.runs * world.rng().Unit();
    if (world.now() + next < end) world.At(next, pause);
  };
  for (size_t k = 0; k < pauses.at_once; ++k) world.At(pauses.pause * world.rng().Unit(), pause);
  world.Run(time);
  const size_t victims = world.false_victims();
  world.Run(pauses.pause);
  EXPECT_TRUE(world.RunUntilAgreed(absl::Seconds(30))) << "seed " << options.seed;
  return static_cast<double>(victims) / (absl::ToDoubleSeconds(time) / 3600);
}

TEST(SwimSim, FalseDeathsUnderPauses) {
  const absl::Duration time = absl::Minutes(FromEnvironment("WEIGHTMESH_SWIM_MINUTES", 4));
  const swim::SwimOptions with = swim::OptionsFor(swim::kDetectionTargetDefault);
  const swim::SwimOptions without = swim::WithoutLifeguard(with);
  const Pauses table[] = {
      {8, 1, absl::Seconds(1.5), absl::Seconds(1)},
      {8, 3, absl::Seconds(1.5), absl::Seconds(1)},
      {64, 1, absl::Seconds(1.5), absl::Seconds(1)},
      {64, 16, absl::Seconds(1.5), absl::Seconds(1)},
      // All cores busy: everybody runs a tenth of the time, in slices.
      {8, 8, absl::Milliseconds(450), absl::Milliseconds(50)},
      // Longer than the time in which a death is to be known: nothing can help against that.
      {64, 4, absl::Seconds(3), absl::Seconds(1)},
  };
  for (const Pauses& pauses : table) {
    const double good = FalseDeathsPerHour(pauses, with, time);
    const double plain = FalseDeathsPerHour(pauses, without, time);
    std::printf(
        "n = %zu, %zu paused at once for %.2f s: %.0f false deaths an hour, %.0f without "
        "Lifeguard's refinements\n",
        pauses.nodes, pauses.at_once, absl::ToDoubleSeconds(pauses.pause), good, plain);
    if (pauses.pause > absl::Seconds(1.5)) continue;
    EXPECT_EQ(good, 0) << "seed " << Seed();
    EXPECT_LE(good, plain);
  }
}

// --- views converge ---

SwimWorldOptions Mesh(size_t nodes) {
  SwimWorldOptions options;
  options.nodes = nodes;
  options.seed = Seed();
  return options;
}

TEST(SwimSim, AllWhoStartAtOnceMeet) {
  for (size_t nodes : {1, 2, 3, 8, 64}) {
    SwimWorldOptions options = Mesh(nodes);
    options.acquainted = false;
    SwimWorld world(options);
    EXPECT_TRUE(world.RunUntilAgreed(absl::Seconds(10))) << nodes << " nodes";
    std::printf("n = %zu start at once and meet at one seed: one view after %.1f s\n", nodes,
                absl::ToDoubleSeconds(world.now() - absl::UnixEpoch()));
  }
}

TEST(SwimSim, AWaveOfJoins) {
  const size_t present = FromEnvironment("WEIGHTMESH_SWIM_PRESENT", 90);
  const size_t joiners = FromEnvironment("WEIGHTMESH_SWIM_JOINERS", 20);
  SwimWorld world(Mesh(present + joiners));
  for (size_t k = present; k < present + joiners; ++k) world.Crash(k);
  world.Run(absl::Minutes(11));  // they are forgotten
  world.TakeBytes();
  const absl::Time begin = world.now();
  for (size_t k = present; k < present + joiners; ++k) world.Start(k);
  EXPECT_TRUE(world.RunUntilAgreed(absl::Seconds(10)));
  const double seconds = absl::ToDoubleSeconds(world.now() - begin);
  std::printf(
      "%zu join %zu at once: one view after %.1f s (bar 10), %.1f kB/s per node, largest "
      "message %.0f kB\n",
      joiners, present, seconds,
      static_cast<double>(world.TakeBytes()) / 1e3 / seconds /
          static_cast<double>(present + joiners),
      static_cast<double>(world.largest_message()) / 1e3);
  EXPECT_EQ(world.false_deaths(), 0u);
}

TEST(SwimSim, HalvesMeetAgain) {
  for (size_t nodes : {2, 8, 64}) {
    SwimWorld world(Mesh(nodes));
    world.Run(absl::Seconds(5));
    world.Part(nodes / 2);
    world.Run(absl::Seconds(60));
    EXPECT_EQ(world.detector(0)->living(), nodes / 2);
    world.Heal();
    world.ForgetSightings();
    const absl::Time healed_at = world.now();
    EXPECT_TRUE(world.RunUntilAgreed(absl::Seconds(30))) << nodes << " nodes";
    // Within its own half nobody may die by what the other half says.
    size_t wrong = 0;
    for (const SwimSighting& sighting : world.sightings()) {
      const bool same_half = (sighting.observer < nodes / 2) == (sighting.subject < nodes / 2);
      if (sighting.kind == NoticeKind::kDied && same_half) ++wrong;
    }
    std::printf("n = %zu parted for 60 s: one view %.1f s after the heal, %zu deaths by hearsay\n",
                nodes, absl::ToDoubleSeconds(world.now() - healed_at), wrong);
    EXPECT_EQ(wrong, 0u);
  }
}

TEST(SwimSim, ARestartedNodeIsKnownByItsNewProcess) {
  SwimWorld world(Mesh(16));
  world.Run(absl::Seconds(5));
  for (int round = 0; round < 5; ++round) {
    const size_t node = 1 + world.rng().Below(15);
    world.Crash(node);
    world.Run(absl::Seconds(round));  // before, while and after it is held for dead
    world.Start(node);
    EXPECT_TRUE(world.RunUntilAgreed(absl::Seconds(10))) << "after " << round << " s";
    const SessionId session = world.detector(node)->self().info.session;
    for (size_t k = 0; k < 16; ++k) {
      EXPECT_EQ(world.detector(k)->Find(world.detector(node)->self().info.node_id)->info.session,
                session);
    }
  }
  EXPECT_EQ(world.false_deaths(), 0u);
}

TEST(SwimSim, WhoLeavesIsGoneAtOnceAndNobodySuspectsIt) {
  SwimWorld world(Mesh(64));
  world.Run(absl::Seconds(5));
  world.ForgetSightings();
  const absl::Time left_at = world.now();
  world.Leave(9);
  world.Run(absl::Seconds(10));
  double last = 0;
  size_t heard = 0;
  for (const SwimSighting& sighting : world.sightings()) {
    EXPECT_NE(sighting.kind, NoticeKind::kSuspected);
    if (sighting.kind != NoticeKind::kLeft) continue;
    ++heard;
    last = std::max(last, absl::ToDoubleSeconds(sighting.at - left_at));
  }
  std::printf("n = 64, a leave is known to all after %.2f s\n", last);
  EXPECT_EQ(heard, 63u);
  EXPECT_LE(last, 1);
}

TEST(SwimSim, LossAndOneWayLossKillNobody) {
  SwimWorldOptions options = Mesh(64);
  options.loss = 0.05;
  SwimWorld world(options);
  world.Run(absl::Minutes(3));
  std::printf("n = 64, 5 %% of messages lost: %zu false deaths in 3 minutes\n",
              world.false_victims());
  EXPECT_EQ(world.false_victims(), 0u);
  // Node 1 is not heard by node 2, nor by node 3: others carry its answers.
  world.BlockOneWay(1, 2);
  world.BlockOneWay(1, 3);
  world.BlockOneWay(4, 1);
  world.Run(absl::Minutes(2));
  EXPECT_EQ(world.false_victims(), 0u);
}

// The dead stay dead: while others come, go and stand still, and after they are forgotten.
TEST(SwimSim, NobodyDeadIsResurrected) {
  SwimWorldOptions options = Mesh(32);
  options.swim.dead_kept = absl::Seconds(40);
  options.loss = 0.02;
  SwimWorld world(options);
  world.Run(absl::Seconds(5));
  world.Crash(7);
  world.Crash(8);
  world.Pause(5, absl::Seconds(3));  // it still holds them for alive when it wakes
  world.Run(absl::Seconds(15));
  world.ForgetSightings();
  for (int second = 0; second < 120; ++second) {
    const size_t node = 10 + world.rng().Below(20);
    if (!world.IsRunning(node)) {
      world.Start(node);
    } else if (world.rng().Below(4) == 0) {
      world.Crash(node);
    } else {
      world.Pause(node, absl::Seconds(1.5));
    }
    if (second == 30) world.Part(16);
    if (second == 45) world.Heal();
    world.Run(absl::Seconds(1));
  }
  for (const SwimSighting& sighting : world.sightings()) {
    if (sighting.subject != 7 && sighting.subject != 8) continue;
    EXPECT_NE(sighting.kind, NoticeKind::kReturned) << "seed " << options.seed;
    EXPECT_NE(sighting.kind, NoticeKind::kJoined) << "seed " << options.seed;
  }
  for (size_t k = 10; k < 30; ++k) {
    if (!world.IsRunning(k)) world.Start(k);
  }
  EXPECT_TRUE(world.RunUntilAgreed(absl::Seconds(60))) << "seed " << options.seed;
  EXPECT_EQ(world.detector(0)->Find(NodeId{7, 8}), nullptr) << "forgotten";
}

TEST(SwimSim, TheSameSeedTwiceGivesTheSameTrace) {
  const auto trace = [](uint64_t seed) {
    SwimWorldOptions options = Mesh(16);
    options.seed = seed;
    options.loss = 0.05;
    SwimWorld world(options);
    for (int k = 0; k < 20; ++k) {
      const size_t node = 1 + world.rng().Below(15);
      if (!world.IsRunning(node)) {
        world.Start(node);
      } else if (k % 2 == 0) {
        world.Crash(node);
      } else {
        world.Pause(node, absl::Seconds(3));
      }
      world.Run(absl::Seconds(2));
    }
    return world.trace();
  };
  EXPECT_EQ(trace(5), trace(5));
  EXPECT_NE(trace(5), trace(6));
}

}  // namespace
}  // namespace weightmesh::sim
