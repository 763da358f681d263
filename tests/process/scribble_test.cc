// A trainer that overwrites its control page, or tries to shrink its memory, hurts itself only.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cmath>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "daemon/core/schedule.h"
#include "daemon/core/view.h"
#include "proto/control_page.h"
#include "tests/process/mesh.h"
#include "tests/process/trainers.h"

namespace weightmesh {
namespace {

constexpr absl::Duration kLimit = absl::Seconds(60);
constexpr int kReplicas = 4;
constexpr int kScribbler = 3;
// Long enough for every word to be hit many times, at every moment of a round.
constexpr int kBursts = 600;  // one every 5 ms
constexpr uint64_t kSeed = 20240229;

// The arena that a trainer maps, by the number of its file; 0: none yet.
ino_t ArenaOf(pid_t trainer) {
  std::ifstream maps("/proc/" + std::to_string(trainer) + "/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find("/memfd:weightmesh-arena") == std::string::npos) continue;
    std::istringstream words(line);
    std::string range, mode, offset, device;
    ino_t file = 0;
    words >> range >> mode >> offset >> device >> file;
    return file;
  }
  return 0;
}

// The same memory, as its trainer has it: opened by way of the daemon, which keeps it open.
FileDescriptor OpenArena(pid_t daemon, ino_t wanted) {
  const std::string folder = "/proc/" + std::to_string(daemon) + "/fd/";
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    struct stat found {};
    if (::stat(entry.path().c_str(), &found) != 0 || found.st_ino != wanted) continue;
    return FileDescriptor(::open(entry.path().c_str(), O_RDWR | O_CLOEXEC));
  }
  return FileDescriptor();
}

// Pulls of replica `reader` that the schedule gives to the scribbler, up to `rounds`.
uint64_t PullsFromScribbler(const GossipOptions& options, int reader, uint64_t rounds) {
  std::vector<ReplicaId> ids;
  for (int k = 0; k < kReplicas; ++k) ids.push_back(MakeReplicaId(options.run_id, ReplicaName(k)));
  const View view(ids);
  const auto schedule = MakeSchedule(options.schedule, options.seed);
  uint64_t pulls = 0;
  for (uint64_t round = 1; round <= rounds; ++round) {
    for (uint32_t segment = 0; segment < options.segments; ++segment) {
      const Partners partners = schedule->PartnersOf(
          view, Round{round}, SegmentId{segment}, *view.RankOf(ids[static_cast<size_t>(reader)]));
      pulls += view.replica(partners.source) == ids[kScribbler];
    }
  }
  return pulls;
}

TEST(Scribble, ATrainerThatOverwritesItsControlPageHurtsItselfOnly) {
  Mesh mesh(2);  // replica 1 shares a daemon with the scribbler
  GossipOptions options;
  options.run_id = "scribbled";
  options.replicas = kReplicas;
  options.steps = 0;
  options.parameters = 20'000;
  options.deadline_ms = 500;
  options.step_ms.assign(kReplicas, 2);
  GossipRun run(&mesh, options);
  for (int k = 0; k < kReplicas; ++k) {
    ASSERT_TRUE(Mesh::Await([&] { return run.Stats(k).round() >= 5; }, kLimit)) << k;
  }
  const ino_t file = ArenaOf(run.trainer(kScribbler).pid());
  ASSERT_NE(file, 0u);
  const FileDescriptor arena = OpenArena(mesh.daemon(1).pid(), file);
  if (!arena.valid()) GTEST_SKIP() << "another process's memory cannot be opened here";

  struct stat size {};
  ASSERT_EQ(::fstat(arena.get(), &size), 0);
  EXPECT_NE(::ftruncate(arena.get(), 0), 0) << "a daemon would die of SIGBUS";
  EXPECT_NE(::ftruncate(arena.get(), size.st_size * 2), 0);

  const auto bytes = static_cast<size_t>(size.st_size);
  void* const at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, arena.get(), 0);
  ASSERT_NE(at, MAP_FAILED);
  auto* const words = static_cast<volatile uint64_t*>(at);
  const size_t page_words = control_page::ControlPageBytes(options.segments) / 8;
  std::mt19937_64 random(kSeed);
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  // The count of posted commands is spared at first: the daemon cuts off whoever gets it wrong.
  constexpr size_t kCountWord = offsetof(control_page::ControlPage, commands_posted) / 8;
  bool spare_count = true;
  const auto scribble = [&] {
    for (int k = 0; k < 64; ++k) {
      // Small numbers, too, which are more likely to pass for good ones. The snapshots are spared:
      // they are the trainer's own weights, and what it makes of those is its own affair.
      const size_t word = random() % page_words;
      if (spare_count && word == kCountWord) continue;
      words[word] = random() % 3 == 0 ? random() : random() % 1024;
    }
  };
  int bursts = 0;
  Mesh::Await([&] { return scribble(), ++bursts >= kBursts; }, kLimit);

  // The others go on.
  spare_count = false;
  for (int k = 0; k < kScribbler; ++k) {
    const uint64_t round = run.Stats(k).round();
    EXPECT_TRUE(Mesh::Await([&] { return scribble(), run.Stats(k).round() >= round + 20; }, kLimit))
        << "replica " << k << " is held up";
  }
  run.Stop();
  for (int k = 0; k < kScribbler; ++k) {
    const TrainerResult result = run.Result(k, kLimit);
    EXPECT_EQ(result.exit_code, 0) << k;
    EXPECT_EQ(result.alone, 0u) << k;
    const uint64_t lost = result.AllPulls() - result.Pulls(Outcome::kArrived);
    // Who stops first leaves the others a round or two without it.
    EXPECT_LE(lost, PullsFromScribbler(options, k, result.steps) + 4 * options.segments)
        << "replica " << k << ": " << result.DescribePulls();
    for (float weight : result.weights) {
      ASSERT_TRUE(std::isfinite(weight) && std::fabs(weight) < 100) << "replica " << k;
    }
  }
  for (int k = 0; k < 2; ++k) {
    EXPECT_EQ(mesh.daemon(k).Wait(absl::ZeroDuration()), -1) << "daemon " << k << " has ended";
  }
  ::munmap(at, bytes);
}

}  // namespace
}  // namespace weightmesh
