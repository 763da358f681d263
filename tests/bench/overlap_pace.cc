// overlap_pace: how much one slow trainer slows the others down in overlap.
//
// Two runs on one set of daemons, with and without the slow trainer; the figure is the ratio of the
// others' times of a step.
#include <CLI/CLI.hpp>
#include <vector>

#include "absl/strings/str_format.h"
#include "tests/bench/median.h"
#include "tests/bench/options.h"
#include "tests/bench/report.h"
#include "tests/process/mesh.h"
#include "tests/process/trainers.h"

namespace weightmesh::bench {
namespace {

struct Settings {
  int replicas = 8;
  uint64_t step_ms = 67;
  uint64_t slow_ms = 200;
  uint64_t steps = 60;
};

// Median over the replicas but the last of the steps a second, while each makes `settings.steps`.
double StepsPerSecond(Mesh* mesh, const Settings& settings, const std::string& run_id,
                      uint64_t last_ms) {
  GossipOptions options;
  options.run_id = run_id;
  options.replicas = settings.replicas;
  options.mode = attach::Mode::kOverlap;
  options.parameters = 20'000;
  options.steps = 0;
  options.step_ms.assign(settings.replicas, settings.step_ms);
  options.step_ms.back() = last_ms;
  GossipRun run(mesh, options);
  std::vector<double> rates;
  for (int k = 0; k + 1 < settings.replicas; ++k) {
    Mesh::Await([&] { return run.Stats(k).rounds_published() > settings.steps; },
                absl::Seconds(300));
    const v1::Histogram times = run.Stats(k).round_time_us();
    rates.push_back(1e6 * static_cast<double>(times.count()) / static_cast<double>(times.sum()));
  }
  run.Stop();
  for (int k = 0; k < settings.replicas; ++k) run.Result(k, absl::Seconds(60));
  return Median(rates);
}

int Main(int argc, char** argv) {
  CLI::App app("How much one slow trainer slows the others down in overlap.");
  Options options;
  Settings settings;
  Declare(&app, &options);
  app.add_option("--replicas", settings.replicas, "trainers and daemons")->check(CLI::Range(2, 64));
  app.add_option("--step-ms", settings.step_ms, "computing time of a step");
  app.add_option("--slow-ms", settings.slow_ms, "that of the slow trainer");
  app.add_option("--steps", settings.steps, "steps measured")->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  if (!options.Wants("slow-trainer")) return 0;
  if (options.smoke) settings = {.replicas = 3, .step_ms = 5, .slow_ms = 15, .steps = 5};
  Mesh mesh(settings.replicas);
  const double even = StepsPerSecond(&mesh, settings, "even", settings.step_ms);
  const double uneven = StepsPerSecond(&mesh, settings, "uneven", settings.slow_ms);
  if (even <= 0 || uneven <= 0) return 1;
  Report report;
  report.Add({.name = "slow-trainer",
              .what = absl::StrFormat(
                  "overlap, %d trainers of %d ms a step, one of %d ms: the others' time of a step",
                  settings.replicas, settings.step_ms, settings.slow_ms),
              .against = "the same without the slow one",
              .figure = even / uneven,
              .kind = Bar::kAtMost,
              .bar = 1.1,
              .detail = absl::StrFormat("%.2f against %.2f steps a second", uneven, even)});
  return report.Write(options.json) ? 0 : 1;
}

}  // namespace
}  // namespace weightmesh::bench

int main(int argc, char** argv) { return weightmesh::bench::Main(argc, argv); }
