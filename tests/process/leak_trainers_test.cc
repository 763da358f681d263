// Nothing leaks: thousands of attaches, and hundreds of killed trainers, leave the daemons (and the
// trainer's process) with the descriptors, threads, mappings and memory that they had.
//
// Trainers are this process and its forks: it makes no gRPC call, so that it may fork.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "tests/process/footprint.h"
#include "tests/process/mesh.h"
#include "weightmesh/weightmesh.hpp"

namespace weightmesh {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(60);
// The daemon remembers 64 ended runs (limits.runs_max); beyond them it forgets. So a baseline is
// taken after more cycles than that.
constexpr int kWarmUp = 150;

int CountFrom(const char* variable, int by_default) {
  const char* const text = std::getenv(variable);
  return text == nullptr ? by_default : std::atoi(text);
}

struct Model {
  std::vector<float> weights = std::vector<float>(4096, 0.5f);
  std::vector<Tensor> tensors = {{"weights", {4096}, weights.data()}};
};

Options RunOptions(const Mesh& mesh, int daemon, const std::string& run_id, int replicas) {
  Options options;
  options.socket_path = mesh.socket(daemon);
  options.run_id = run_id;
  options.replica_name = "trainer-" + std::to_string(daemon);
  options.replicas_min = static_cast<uint32_t>(replicas);
  options.segments = 4;
  options.round_deadline_ms = 500;
  options.allow_different_init = true;
  return options;
}

// One life of a trainer of its own run, in order or not; now and then one that is refused.
void LiveOnce(const Mesh& mesh, int number) {
  Model model;
  Options options = RunOptions(mesh, 0, "cycle-" + std::to_string(number), 1);
  options.mix_threads = 2;
  Replica replica(options, model.tensors);
  ASSERT_EQ(replica.Exchange(model.tensors).round, 1u);
  replica.Report("loss", number);
  if (number % 10 == 0) {
    options.seed = 7;  // not the run's
    EXPECT_THROW(Replica(options, model.tensors), Error);
  }
  if (number % 2 == 0) replica.Leave();
}

TEST(LeakTrainers, AttachAndDetach) {
  const int cycles = CountFrom("WEIGHTMESH_LEAK_ATTACHES", 2000);
  Mesh mesh(1);
  for (int k = 0; k < kWarmUp; ++k) LiveOnce(mesh, k);
  const Footprint daemon_before = FootprintOf(mesh.daemon(0).pid());
  const Footprint own_before = FootprintOf(getpid());
  for (int k = kWarmUp; k < kWarmUp + cycles; ++k) {
    ASSERT_NO_FATAL_FAILURE(LiveOnce(mesh, k));
  }
  EXPECT_EQ(AwaitReturnTo(daemon_before, mesh.daemon(0).pid(), {}, kPatience), "");
  EXPECT_EQ(AwaitReturnTo(own_before, getpid(), {}, kPatience), "");
}

// A trainer in a forked process, that writes a byte for each sign of life.
class ForkedTrainer {
 public:
  ForkedTrainer(const Mesh& mesh, int daemon, const std::string& run_id, int replicas) {
    int signs[2];
    EXPECT_EQ(pipe2(signs, O_CLOEXEC), 0);
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      Train(RunOptions(mesh, daemon, run_id, replicas), signs[1]);
      _exit(1);
    }
    close(signs[1]);
    signs_ = FileDescriptor(signs[0]);
  }
  ~ForkedTrainer() { Kill(); }
  ForkedTrainer(const ForkedTrainer&) = delete;
  ForkedTrainer& operator=(const ForkedTrainer&) = delete;

  // Waits for `count` signs: progress of the attach, the attach, and each round.
  void Await(int count) {
    char sign = 0;
    for (; count > 0; --count) ASSERT_EQ(read(signs_.get(), &sign, 1), 1) << "it has ended";
  }
  void Kill() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  static void Train(Options options, int signs) {
    const auto give_sign = [signs] { return write(signs, "s", 1) == 1; };
    options.progress = [&](const char*) { give_sign(); };
    Model model;
    try {
      Replica replica(options, model.tensors);
      while (give_sign()) replica.Exchange(model.tensors);
    } catch (const Error& error) {
      std::fprintf(stderr, "trainer: %s\n", error.what());
    }
  }

  pid_t pid_ = -1;
  FileDescriptor signs_;
};

// Two trainers of one run at two daemons, killed: some waiting for each other, some in the middle
// of a round. 2 deaths.
void DieTogether(const Mesh& mesh, int number) {
  const std::string run_id = "killed-" + std::to_string(number);
  const bool waiting = number % 5 == 0;
  ForkedTrainer first(mesh, 0, run_id, waiting ? 3 : 2);
  ForkedTrainer second(mesh, 1, run_id, waiting ? 3 : 2);
  // Signs come before their round: what is killed is in it, or about to be.
  ASSERT_NO_FATAL_FAILURE(first.Await(waiting ? 1 : 4 + number % 4));
  ASSERT_NO_FATAL_FAILURE(second.Await(1));
  (number % 2 == 0 ? first : second).Kill();
  if (number % 3 == 0 && !waiting) {
    (number % 2 == 0 ? second : first).Await(2);  // goes on around the dead one
  }
}

TEST(LeakTrainers, KilledTrainers) {
  const int deaths = CountFrom("WEIGHTMESH_LEAK_KILLS", 500);
  Mesh mesh(2);
  for (int k = 0; k < 80; ++k) DieTogether(mesh, k);
  std::vector<Footprint> before;
  for (int d = 0; d < 2; ++d) before.push_back(FootprintOf(mesh.daemon(d).pid()));
  for (int k = 80; k < 80 + deaths / 2; ++k) ASSERT_NO_FATAL_FAILURE(DieTogether(mesh, k));
  for (int d = 0; d < 2; ++d) {
    EXPECT_EQ(AwaitReturnTo(before[d], mesh.daemon(d).pid(), {}, kPatience), "");
  }
}

}  // namespace
}  // namespace weightmesh
