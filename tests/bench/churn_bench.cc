// churn_bench: what trainers and daemons that are killed and come back, one after the other, cost
// the others: the delay of every round, rounds that mix nothing, and what is left over.
//
// By turns a trainer is killed, and its successor joins; or a daemon is, and is started again, and
// its trainer joins by itself. All must be one mesh before the next one dies. Real daemons on
// loopback, lockstep. Two daemons are never killed: they are looked at for leaks.
#include <signal.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "daemon/core/hash.h"
#include "tests/bench/options.h"
#include "tests/bench/report.h"
#include "tests/process/footprint.h"
#include "tests/process/mesh.h"
#include "tests/process/trainers.h"

namespace weightmesh::bench {
namespace {

constexpr char kRun[] = "churn";
constexpr int kSurvivors = 2;  // the first daemons
constexpr double kDeadlineSeconds = 1;
constexpr absl::Duration kLimit = absl::Seconds(60);

struct Scale {
  int replicas = 5;
  int cycles = 40;
  int warm_up = 10;  // cycles before a survivor's footprint counts
};

// Sorted by the upper bounds of the rows of the histogram.
constexpr double kBoundsMs[] = {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 1100, 1e9};

struct Delays {
  std::array<uint64_t, std::size(kBoundsMs)> histogram{};
  uint64_t rounds = 0;
  double longest_seconds = 0;
  uint64_t too_long = 0;       // more than the deadline and a tenth
  uint64_t mixed_nothing = 0;  // with pulls due

  void Add(int replica, const RoundDelay& round) {
    ++rounds;
    longest_seconds = std::max(longest_seconds, round.seconds);
    too_long += round.seconds > 1.1 * kDeadlineSeconds;
    if (round.due > 0 && round.arrived == 0) {
      ++mixed_nothing;
      std::printf("replica %d mixed nothing of %u pulls in round %llu, after %.0f ms\n", replica,
                  round.due, static_cast<unsigned long long>(round.round), 1e3 * round.seconds);
    }
    ++histogram[std::lower_bound(std::begin(kBoundsMs), std::end(kBoundsMs), 1e3 * round.seconds) -
                std::begin(kBoundsMs)];
  }
  void Print() const {
    std::printf("delay of a round, of %llu\n", static_cast<unsigned long long>(rounds));
    for (size_t row = 0; row < histogram.size(); ++row) {
      const bool last = row + 1 == histogram.size();
      std::printf("  %s %5.0f ms %10llu\n", last ? " >" : "<=", kBoundsMs[last ? row - 1 : row],
                  static_cast<unsigned long long>(histogram[row]));
    }
  }
};

class Churn {
 public:
  explicit Churn(const Scale& scale)
      : scale_(scale),
        mesh_(scale.replicas,
              {.config = "membership { detection_target_ms: 1500 }", .config_of = {}}),
        run_(&mesh_, RunOf(scale)) {}

  // False when the mesh did not become one again.
  bool Start() { return AwaitOneMesh(); }
  bool Cycle(int number) {
    number % 2 == 0 ? KillTrainer() : KillDaemon();
    return AwaitOneMesh();
  }
  std::vector<Footprint> Footprints() {
    std::vector<Footprint> footprints;
    for (int k = 0; k < kSurvivors; ++k) footprints.push_back(FootprintOf(mesh_.daemon(k).pid()));
    return footprints;
  }
  // Survivors that hold more than then, whatever they are given time for.
  int Leaks(const std::vector<Footprint>& before) {
    // Connections to daemons that are no more may be open yet. gRPC adds threads, half a MiB each,
    // whenever the machine stands still, and keeps them: dozens on a busy one, whatever the cycles.
    const GrowthLimit growth{.descriptors = 2 * scale_.replicas,
                             .threads = 64,
                             .mappings = 192,
                             .resident_kb = 40 << 10};
    int leaks = 0;
    for (int k = 0; k < kSurvivors; ++k) {
      const std::string leak = AwaitReturnTo(before[k], mesh_.daemon(k).pid(), growth, kLimit);
      if (!leak.empty()) std::fprintf(stderr, "churn_bench: %s\n", leak.c_str());
      leaks += !leak.empty();
    }
    return leaks;
  }
  void Stop() {
    run_.Stop();
    for (int k = 0; k < scale_.replicas; ++k) run_.Result(k, kLimit);
  }
  // Of all that had a mesh: neither alone, nor the call that found it again.
  Delays Measured() const {
    Delays delays;
    for (int k = 0; k < scale_.replicas; ++k) {
      for (const RoundDelay& round : run_.Delays(k)) {
        if (round.alone == 0 && round.rejoined == 0) delays.Add(k, round);
      }
    }
    return delays;
  }
  std::string Logs() const { return mesh_.Logs(); }

 private:
  static GossipOptions RunOf(const Scale& scale) {
    GossipOptions options;
    options.run_id = kRun;
    options.replicas = scale.replicas;
    options.steps = 0;
    options.parameters = 50'000;
    options.deadline_ms = static_cast<uint64_t>(1000 * kDeadlineSeconds);
    options.step_ms = {20};
    options.delays = true;
    return options;
  }

  void KillTrainer() {
    victim_ = static_cast<int>(rng_.Below(scale_.replicas));
    run_.trainer(victim_).Signal(SIGKILL);
    run_.trainer(victim_).Wait(kLimit);
    run_.Join(victim_);
  }
  // Half of them come back before anybody has buried them.
  void KillDaemon() {
    victim_ = kSurvivors + static_cast<int>(rng_.Below(scale_.replicas - kSurvivors));
    mesh_.Kill(victim_);
    if (rng_.Below(2) == 0) {
      Mesh::Await([&] { return mesh_.ViewSize(0, kRun) < scale_.replicas; }, kLimit);
    }
    mesh_.Restart(victim_);
  }

  // All take part, know it of each other, and exchange.
  bool AwaitOneMesh() {
    std::vector<uint64_t> wanted;
    const auto is_one = [&] {
      for (int k = 0; k < scale_.replicas; ++k) {
        if (run_.Stats(k).state() != v1::REPLICA_STATE_ACTIVE) return false;
        if (mesh_.ViewSize(k, kRun) != scale_.replicas) return false;
      }
      return true;
    };
    if (!Mesh::Await(is_one, kLimit)) return false;
    for (int k = 0; k < scale_.replicas; ++k) wanted.push_back(run_.Stats(k).round() + 5);
    const auto exchange = [&] {
      for (int k = 0; k < scale_.replicas; ++k) {
        if (run_.Stats(k).round() < wanted[k]) return false;
      }
      return true;
    };
    return Mesh::Await(exchange, kLimit);
  }

  const Scale scale_;
  CounterRng rng_{1};
  Mesh mesh_;
  GossipRun run_;
  int victim_ = 0;
};

int Measure(const Options& options, const Scale& scale) {
  Churn churn(scale);
  bool one_mesh = churn.Start();
  std::vector<Footprint> before;
  int done = 0;
  const absl::Time began = absl::Now();
  while (one_mesh && done < scale.cycles) {
    if (done == scale.warm_up) before = churn.Footprints();
    one_mesh = churn.Cycle(done++);
  }
  const double seconds = absl::ToDoubleSeconds(absl::Now() - began);
  if (!one_mesh) {
    std::fprintf(stderr, "%schurn_bench: no mesh any more after cycle %d\n", churn.Logs().c_str(),
                 done);
  }
  const int leaks = before.empty() ? 0 : churn.Leaks(before);
  churn.Stop();
  const Delays delays = churn.Measured();
  delays.Print();
  const std::string cycles =
      absl::StrFormat("%d kills and returns, %.1f s each", done, seconds / std::max(done, 1));
  Report report;
  report.Add({.name = "churn-round",
              .what = absl::StrFormat("trainers and daemons of %d are killed and come back: the "
                                      "longest round of all others, lockstep",
                                      scale.replicas),
              .against = "round_deadline",
              .figure = delays.longest_seconds / kDeadlineSeconds,
              .kind = Bar::kAtMost,
              .bar = 1.1,
              .detail = absl::StrFormat("%s; %d rounds, %d longer than that", cycles, delays.rounds,
                                        delays.too_long)});
  report.Add({.name = "churn-mixed",
              .what = "the same: the others' rounds that mixed something",
              .figure = 1 - static_cast<double>(delays.mixed_nothing) /
                                static_cast<double>(std::max<uint64_t>(delays.rounds, 1)),
              .kind = Bar::kAtLeast,
              .bar = 1,
              .detail = absl::StrFormat("%d rounds mixed nothing", delays.mixed_nothing)});
  report.Add({.name = "churn-leaks",
              .what = "the same: daemons that hold the descriptors, threads and memory of before, "
                      "of those that live on",
              .figure = static_cast<double>(kSurvivors - leaks) / kSurvivors,
              .kind = Bar::kAtLeast,
              .bar = 1});
  return report.Write(options.json) && one_mesh ? 0 : 1;
}

int Main(int argc, char** argv) {
  CLI::App app(
      "Trainers and daemons are killed and come back, one after the other: what that costs the\n"
      "others' rounds, and what is left over. --cycles 1000 takes about half an hour.");
  Options options;
  Scale scale;
  Declare(&app, &options);
  app.add_option("--cycles", scale.cycles, "kills and returns")->check(CLI::PositiveNumber);
  app.add_option("--replicas", scale.replicas, "trainers and daemons")->check(CLI::Range(3, 64));
  CLI11_PARSE(app, argc, argv);
  if (!options.Wants("churn-round") && !options.Wants("churn-mixed") &&
      !options.Wants("churn-leaks")) {
    return 0;
  }
  if (options.smoke) scale = {.replicas = 3, .cycles = 2, .warm_up = 0};
  return Measure(options, scale);
}

}  // namespace
}  // namespace weightmesh::bench

int main(int argc, char** argv) { return weightmesh::bench::Main(argc, argv); }
