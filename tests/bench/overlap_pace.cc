// overlap_pace: how much one slow trainer slows the others down in overlap.
//
// Two runs on one set of daemons, with and without the slow trainer; the figure is the ratio of the
// others' steps a second. Prints a table; with --steps 5 it is a smoke test.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <vector>

#include "tests/process/mesh.h"
#include "tests/process/trainers.h"

namespace weightmesh {
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
  std::nth_element(rates.begin(), rates.begin() + rates.size() / 2, rates.end());
  return rates[rates.size() / 2];
}

int Main(int argc, char** argv) {
  CLI::App app("How much one slow trainer slows the others down in overlap.");
  Settings settings;
  app.add_option("--replicas", settings.replicas, "trainers and daemons")->check(CLI::Range(2, 64));
  app.add_option("--step-ms", settings.step_ms, "computing time of a step");
  app.add_option("--slow-ms", settings.slow_ms, "that of the slow trainer");
  app.add_option("--steps", settings.steps, "steps measured")->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  Mesh mesh(settings.replicas);
  const double even = StepsPerSecond(&mesh, settings, "even", settings.step_ms);
  const double uneven = StepsPerSecond(&mesh, settings, "uneven", settings.slow_ms);
  std::printf("%d trainers, overlap, %llu ms a step: steps a second of the median trainer\n",
              settings.replicas, static_cast<unsigned long long>(settings.step_ms));
  std::printf("  all at one pace               %8.2f\n", even);
  std::printf("  the others, one at %4llu ms    %8.2f\n",
              static_cast<unsigned long long>(settings.slow_ms), uneven);
  std::printf("  ratio                         %8.3f\n", uneven / even);
  return even > 0 && uneven > 0 ? 0 : 1;
}

}  // namespace
}  // namespace weightmesh

int main(int argc, char** argv) { return weightmesh::Main(argc, argv); }
