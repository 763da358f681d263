// core_bench: what the decisions cost: a round's schedule in a mesh of thousands, and the core's
// steps.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "daemon/core/schedule.h"
#include "tests/bench/best_of.h"
#include "tests/bench/options.h"
#include "tests/bench/report.h"
#include "tests/sim/simulator.h"

namespace weightmesh::bench {
namespace {

// One replica's sources and sinks of a round, with `hash_cycle`; each round anew.
void MeasureSchedule(const Options& options, Report* report) {
  const uint32_t replicas = options.smoke ? 64 : 4096;
  const uint32_t segments = options.smoke ? 16 : 1024;
  std::vector<ReplicaId> ids;
  for (uint32_t k = 0; k < replicas; ++k) ids.push_back(MakeReplicaId("run", absl::StrCat(k)));
  const View view(ids);
  const auto schedule = MakeSchedule(ScheduleKind::kHashCycle, 7);
  uint64_t round = 0;
  uint64_t sum = 0;
  const auto one_round = [&] {
    ++round;
    for (uint32_t k = 0; k < segments; ++k) {
      sum += schedule->PartnersOf(view, Round{round}, SegmentId{k}, 5).source;
    }
  };
  const double seconds = BestOf(options.smoke ? 1 : 20, {one_round})[0];
  if (sum == 0) std::abort();
  report->Add({.name = "schedule",
               .what = absl::StrFormat("hash_cycle: one replica's partners of a round, n = %d, %d "
                                       "segments",
                                       replicas, segments),
               .figure = 1e3 * seconds,
               .unit = "ms",
               .kind = Bar::kAtMost,
               .bar = 25});
}

// Lockstep without faults among 64 nodes, from the tenth round on: nearly all events are of pulls.
// The bar is for the time within the cores; the world around them, queue, network, trainers and
// their mixes, costs twice as much.
void MeasureSteps(const Options& options, Report* report) {
  sim::SimOptions world;
  world.nodes = options.smoke ? 4 : 64;
  world.rounds = options.smoke ? 20 : 200;
  world.run.schedule = ScheduleKind::kHashCycle;
  world.run.seed = 7;
  world.run.replicas_min = 0;
  world.sync_interval = absl::Seconds(10);
  double rate = 0;
  double world_rate = 0;
  for (int k = 0; k < (options.smoke ? 1 : 5); ++k) {
    sim::Simulator simulator(world);
    simulator.StartAll();
    const auto has_begun = [&] { return simulator.ledger().rounds().size() >= 10; };
    if (!simulator.RunUntil(has_begun, absl::Minutes(1))) std::abort();
    simulator.TimeCore();
    const auto before = static_cast<double>(simulator.core_steps());
    const double seconds = SecondsOf([&] {
      if (!simulator.RunToEnd()) std::abort();
    });
    const double steps = static_cast<double>(simulator.core_steps()) - before;
    rate = std::max(rate, steps / simulator.core_seconds());
    world_rate = std::max(world_rate, steps / seconds);
  }
  report->Add({.name = "core-steps",
               .what = absl::StrFormat("core steps a second, pull events, n = %d", world.nodes),
               .figure = rate,
               .unit = "1/s",
               .kind = Bar::kAtLeast,
               .bar = 500'000,
               .detail = absl::StrFormat("%.0f with the simulated world around", world_rate)});
}

int Main(int argc, char** argv) {
  CLI::App app("What the core's decisions cost on one core of this machine.");
  Options options;
  Declare(&app, &options);
  CLI11_PARSE(app, argc, argv);
  Report report;
  if (options.Wants("schedule")) MeasureSchedule(options, &report);
  if (options.Wants("core-steps")) MeasureSteps(options, &report);
  return report.Write(options.json) ? 0 : 1;
}

}  // namespace
}  // namespace weightmesh::bench

int main(int argc, char** argv) { return weightmesh::bench::Main(argc, argv); }
