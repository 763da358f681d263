// membership_bench: how soon a death is known, what watching each other costs, and what a death
// costs the others' rounds. Real daemons where there are 8 of them, the simulator for more.
#include <signal.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "daemon/control/convert_peer.h"
#include "tests/bench/options.h"
#include "tests/bench/report.h"
#include "tests/process/mesh.h"
#include "tests/process/trainers.h"
#include "tests/sim/simulator.h"
#include "tests/sim/swim_world.h"

namespace weightmesh::bench {
namespace {

using sim::SwimSighting;
using sim::SwimWorld;
using sim::SwimWorldOptions;

constexpr int kDaemons = 8;
constexpr absl::Duration kLimit = absl::Seconds(60);

double Quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(q * static_cast<double>(values.size() - 1))];
}

// Two rows: the median over all observers of all deaths, and the 99th percentile.
void AddDetection(const std::string& where, size_t nodes, size_t deaths,
                  const std::vector<double>& seconds, double median_bar, double p99_bar,
                  Report* report) {
  const std::string name = absl::StrCat("detect-", nodes);
  const std::string detail =
      absl::StrFormat("%d deaths, %d observations, %.2f to %.2f s", deaths, seconds.size(),
                      Quantile(seconds, 0), Quantile(seconds, 1));
  const auto row = [&](const char* suffix, const char* what, double q, double bar) {
    report->Add(
        {.name = name + suffix,
         .what = absl::StrFormat("a daemon's death is known, n = %d, %s, %s", nodes, where, what),
         .figure = Quantile(seconds, q),
         .unit = "s",
         .kind = Bar::kAtMost,
         .bar = bar,
         .detail = detail});
  };
  row("", "median", 0.5, median_bar);
  row("-p99", "99th percentile", 0.99, p99_bar);
}

// SIGKILL of one of eight daemons, and when each other one says that it is dead.
void DetectHere(const Options& options, Report* report) {
  const int daemons = options.smoke ? 3 : kDaemons;
  const int deaths = options.smoke ? 1 : 5;
  Mesh mesh(daemons);
  const auto dead_in = [&](int k) {
    const v1::Topology topology = mesh.Topology(k, "");
    return std::count_if(topology.nodes().begin(), topology.nodes().end(), [](const auto& node) {
      return node.unreachable_reason().find("is dead") != std::string::npos;
    });
  };
  const auto answer_to = [&](int k) {
    const v1::Topology topology = mesh.Topology(k, "");
    return std::count_if(topology.nodes().begin(), topology.nodes().end(),
                         [](const auto& node) { return node.reachable(); });
  };
  std::vector<double> seconds;
  for (int death = 0; death < deaths; ++death) {
    for (int k = 0; k < daemons; ++k) {
      if (!Mesh::Await([&] { return answer_to(k) == daemons; }, kLimit)) std::abort();
    }
    const int victim = 1 + death % (daemons - 1);
    mesh.Kill(victim);
    const absl::Time killed_at = absl::Now();
    std::vector<bool> knows(daemons, false);
    knows[victim] = true;
    const auto all_know = [&] {
      for (int k = 0; k < daemons; ++k) {
        if (knows[k] || dead_in(k) == 0) continue;
        knows[k] = true;
        seconds.push_back(absl::ToDoubleSeconds(absl::Now() - killed_at));
      }
      return std::count(knows.begin(), knows.end(), true) == daemons;
    };
    if (!Mesh::Await(all_know, kLimit)) std::abort();
    mesh.Restart(victim);
  }
  AddDetection("real daemons", static_cast<size_t>(daemons), static_cast<size_t>(deaths), seconds,
               3, 5, report);
}

void DetectSimulated(size_t nodes, size_t deaths, double median_bar, double p99_bar,
                     Report* report) {
  SwimWorldOptions options;
  options.nodes = nodes;
  SwimWorld world(options);
  world.Run(absl::Seconds(5));
  std::vector<double> seconds;
  for (size_t death = 0; death < deaths; ++death) {
    const size_t victim = 1 + world.rng().Below(nodes - 1);
    world.Run(options.swim.probe_interval * world.rng().Unit());
    world.ForgetSightings();
    const absl::Time crashed_at = world.now();
    world.Crash(victim);
    world.Run(absl::Seconds(15));
    for (const SwimSighting& sighting : world.sightings()) {
      if (sighting.kind != swim::NoticeKind::kDied || sighting.subject != victim) continue;
      seconds.push_back(absl::ToDoubleSeconds(sighting.at - crashed_at));
    }
    world.Start(victim);
    if (!world.RunUntilAgreed(absl::Seconds(20))) std::abort();
  }
  AddDetection("simulated", nodes, deaths, seconds, median_bar, p99_bar, report);
}

// Of a mesh in which nothing happens.
void MeasureTraffic(size_t nodes, double bar, Report* report) {
  SwimWorldOptions options;
  options.nodes = nodes;
  SwimWorld world(options);
  world.Run(absl::Seconds(5));
  world.TakeBytes();
  constexpr int kSeconds = 20;
  world.Run(absl::Seconds(kSeconds));
  const double bytes = static_cast<double>(world.TakeBytes());
  report->Add({.name = absl::StrCat("membership-traffic-", nodes),
               .what = absl::StrFormat("failure detection, sent and received by a node, n = %d, "
                                       "simulated, syncs of runs not counted",
                                       nodes),
               .figure = bytes / 1e3 / static_cast<double>(nodes) / kSeconds,
               .unit = "kB/s",
               .kind = Bar::kAtMost,
               .bar = bar,
               .detail = absl::StrFormat("largest message %.0f kB",
                                         static_cast<double>(world.largest_message()) / 1e3)});
}

// What membership says, as protobuf messages: the failure detector's, and the syncs of runs.
class BytesSaid : public sim::Observer {
 public:
  void OnStep(absl::Time, uint32_t, const Event& event, absl::Span<const Action>) override {
    std::visit([this](const auto& e) { Add(e); }, event);
  }
  double detector() const { return detector_; }
  double syncs() const { return syncs_; }

 private:
  template <typename E>
  void Add(const E& event) {
    if constexpr (std::is_same_v<E, SyncReceived> || std::is_same_v<E, SyncAnswered>) {
      syncs_ += static_cast<double>(ToProto(event.message).ByteSizeLong());
    } else if constexpr (std::is_same_v<E, GossipReceived> || std::is_same_v<E, GossipAnswered> ||
                         std::is_same_v<E, IndirectProbeReceived> ||
                         std::is_same_v<E, IndirectProbeAnswered>) {
      detector_ += static_cast<double>(ToProto(event.message).ByteSizeLong());
    }
  }

  double detector_ = 0;
  double syncs_ = 0;
};

// Of daemons of which `replicas` have a trainer, of one run.
void MeasureAllTraffic(uint32_t nodes, uint32_t replicas, double bar, Report* report) {
  sim::SimOptions options;
  options.nodes = nodes;
  options.seeds = 3;
  options.segments = 2;
  options.rounds = 1'000'000;
  options.step = absl::Milliseconds(200);
  options.run.replicas_min = replicas;
  sim::Simulator simulator(options);
  simulator.StartNodes();
  simulator.RunFor(absl::Seconds(5));
  for (uint32_t k = 0; k < replicas; ++k) simulator.trainer(k).Start();
  simulator.RunFor(absl::Seconds(30));
  BytesSaid said;
  simulator.Watch(&said);
  constexpr int kSeconds = 60;
  simulator.RunFor(absl::Seconds(kSeconds));
  // Each byte is sent by one and received by another.
  const double per_node = 2 / 1e3 / nodes / kSeconds;
  report->Add({.name = absl::StrCat("membership-all-", nodes),
               .what = absl::StrFormat("membership, sent and received by a node, n = %d with a run "
                                       "of %d replicas, simulated",
                                       nodes, replicas),
               .figure = per_node * (said.detector() + said.syncs()),
               .unit = "kB/s",
               .kind = Bar::kAtMost,
               .bar = bar,
               .detail = absl::StrFormat("failure detection %.2f kB/s, syncs of runs %.2f kB/s",
                                         per_node * said.detector(), per_node * said.syncs())});
}

void MeasureWave(size_t present, size_t joiners, Report* report) {
  SwimWorldOptions options;
  options.nodes = present + joiners;
  options.swim.dead_kept = absl::Seconds(20);
  SwimWorld world(options);
  for (size_t k = present; k < present + joiners; ++k) world.Crash(k);
  world.Run(absl::Seconds(40));  // they are forgotten
  const absl::Time begin = world.now();
  for (size_t k = present; k < present + joiners; ++k) world.Start(k);
  const bool agreed = world.RunUntilAgreed(absl::Seconds(60));
  report->Add({.name = "join-wave",
               .what = absl::StrFormat("%d daemons join %d at once: until all agree, simulated",
                                       joiners, present),
               .figure = absl::ToDoubleSeconds(world.now() - begin),
               .unit = "s",
               .kind = Bar::kAtMost,
               .bar = 10,
               .detail = agreed ? "" : "they did not agree"});
}

// Lockstep: the others' worst exchange of a run in which one daemon is killed, and of one in which
// none is.
void MeasureDeath(const Options& options, Report* report) {
  constexpr double kDeadlineSeconds = 1;
  GossipOptions run_options;
  run_options.replicas = options.smoke ? 3 : kDaemons;
  run_options.steps = 0;
  run_options.parameters = 50'000;
  run_options.deadline_ms = 1000 * static_cast<uint64_t>(kDeadlineSeconds);
  run_options.step_ms = {50};
  const auto worst_wait = [&](bool kills) {
    Mesh mesh(run_options.replicas);
    run_options.run_id = kills ? "death" : "quiet";
    GossipRun run(&mesh, run_options);
    const auto await_rounds = [&](uint64_t more) {
      const uint64_t from = run.Stats(0).round();
      if (!Mesh::Await([&] { return run.Stats(0).round() >= from + more; }, kLimit)) std::abort();
    };
    await_rounds(20);
    const int victim = run_options.replicas - 1;
    if (kills) mesh.Kill(victim);
    await_rounds(options.smoke ? 5 : 100);
    run.Stop();
    double worst = 0;
    for (int k = 0; k < victim; ++k) {
      worst = std::max(worst, run.Result(k, kLimit).wait_seconds_max);
    }
    return worst;
  };
  const double quiet = worst_wait(false);
  const double death = worst_wait(true);
  report->Add(
      {.name = "death-round",
       .what = absl::StrFormat("a daemon of %d is killed: the others' worst round, lockstep",
                               run_options.replicas),
       .against = "their worst without that, and one round_deadline",
       .figure = death / (quiet + kDeadlineSeconds),
       .kind = Bar::kAtMost,
       .bar = 1,
       .detail = absl::StrFormat("worst wait %.0f ms, without a death %.0f ms", 1e3 * death,
                                 1e3 * quiet)});
}

int Main(int argc, char** argv) {
  CLI::App app("Who is there: how soon a death is known, and what that costs.");
  Options options;
  Declare(&app, &options);
  CLI11_PARSE(app, argc, argv);
  Report report;
  if (options.Wants(absl::StrCat("detect-", kDaemons))) DetectHere(options, &report);
  if (options.smoke) {
    DetectSimulated(5, 1, 3, 5, &report);
    MeasureTraffic(5, 10, &report);
    MeasureAllTraffic(5, 3, 10, &report);
    MeasureWave(4, 2, &report);
  } else {
    if (options.Wants("detect-64")) DetectSimulated(64, 50, 3, 5, &report);
    if (options.Wants("detect-1024")) DetectSimulated(1024, 3, 6, 9, &report);
    if (options.Wants("membership-traffic-64")) MeasureTraffic(64, 10, &report);
    if (options.Wants("membership-traffic-1024")) MeasureTraffic(1024, 20, &report);
    if (options.Wants("membership-traffic-4096")) MeasureTraffic(4096, 20, &report);
    if (options.Wants("membership-all-64")) MeasureAllTraffic(64, 64, 10, &report);
    if (options.Wants("membership-all-256")) MeasureAllTraffic(256, 64, 20, &report);
    if (options.Wants("join-wave")) MeasureWave(900, 100, &report);
  }
  if (options.Wants("death-round")) MeasureDeath(options, &report);
  return report.Write(options.json) ? 0 : 1;
}

}  // namespace
}  // namespace weightmesh::bench

int main(int argc, char** argv) { return weightmesh::bench::Main(argc, argv); }
