// mesh_bench: rounds of eight real daemons behind slow links, against gloo's ring all-reduce on the
// same network; and what one link that is ten times slower costs the others.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tests/bench/command_output.h"
#include "tests/bench/median.h"
#include "tests/bench/options.h"
#include "tests/bench/report.h"
#include "tests/process/mesh.h"
#include "tests/process/trainers.h"
#include "tests/testing/star_network.h"

namespace weightmesh::bench {
namespace {

constexpr int kMbit = 200;

struct Scale {
  int replicas = 8;
  uint64_t parameters = uint64_t{4} << 20;  // 16 MiB
  uint64_t rounds = 12;
  int gloo_repeats = 3;
};

// What a run came to at its median replica.
struct Measured {
  double round_seconds = 0;
  double mixed_share = 0;  // of the pulls that ended
};

// Nothing when the rounds do not come about in time.
std::optional<Measured> MeasureRun(Mesh* mesh, const Scale& scale, GossipOptions options) {
  options.replicas = scale.replicas;
  options.parameters = scale.parameters;
  options.steps = 0;
  options.learning = 0;
  options.deadline_ms = 20'000;
  GossipRun run(mesh, options);
  std::vector<v1::ReplicaStats> before(scale.replicas);
  const auto have_made = [&](uint64_t rounds) {
    for (int k = 0; k < scale.replicas; ++k) {
      if (run.Stats(k).rounds_published() < rounds) return false;
    }
    return true;
  };
  // The first rounds are those of warm caches, new connections and a start that is not yet even->
  if (!Mesh::Await([&] { return have_made(3); }, absl::Seconds(120))) return std::nullopt;
  for (int k = 0; k < scale.replicas; ++k) before[k] = run.Stats(k);
  if (!Mesh::Await([&] { return have_made(3 + scale.rounds); }, absl::Seconds(200)))
    return std::nullopt;
  std::vector<double> seconds, shares;
  for (int k = 0; k < scale.replicas; ++k) {
    const v1::ReplicaStats after = run.Stats(k);
    const double count = after.round_time_us().count() - before[k].round_time_us().count();
    seconds.push_back(1e-6 * (after.round_time_us().sum() - before[k].round_time_us().sum()) /
                      std::max(count, 1.0));
    const double pulls = PullsOf(after) - PullsOf(before[k]);
    shares.push_back(
        (CountOf(after, v1::OUTCOME_ARRIVED) - CountOf(before[k], v1::OUTCOME_ARRIVED)) /
        std::max(pulls, 1.0));
  }
  run.Stop();
  for (int k = 0; k < scale.replicas; ++k) run.Result(k, absl::Seconds(60));
  return Measured{Median(seconds), Median(shares)};
}

// Seconds of an all-reduce, or 0.
double GlooSeconds(const StarNetwork& network, const Scale& scale) {
  std::string command;
  for (int k = network.size() - 1; k >= 0; --k) {
    absl::StrAppendFormat(
        &command,
        "ip netns exec %s timeout 120 /usr/bin/python3 %s %d %d %s wire %d %d 2>/dev/null%s",
        network.NamespaceOf(k), GLOO_RING, k, network.size(), StarNetwork::IpOf(0),
        scale.parameters, scale.gloo_repeats, k > 0 ? " & " : "; wait");
  }
  return std::atof(OutputOf(command).c_str());
}

GossipOptions Lockstep(const char* name, uint64_t segments, WireFormat wire) {
  GossipOptions options;
  options.run_id = name;
  options.segments = segments;
  options.wire = wire;
  return options;
}

// False when a run came to nothing.
bool MeasureRounds(const Options& options, const StarNetwork& network, const Scale& scale,
                   Mesh* mesh, Report* report) {
  struct Round {
    const char* name;
    uint64_t segments;
    WireFormat wire;
    Bar kind;
    double bar;
  };
  constexpr Round kRounds[] = {
      {"round-fp32", 256, WireFormat::kFp32, Bar::kAtMost, 0.62},
      {"round-fp32-18-segments", 18, WireFormat::kFp32, Bar::kReported, 0},
      {"round-bf16", 256, WireFormat::kBf16, Bar::kAtMost, 0.33},
  };
  double gloo = 0;
  for (const Round& round : kRounds) {
    if (!options.Wants(round.name)) continue;
    if (gloo == 0) gloo = GlooSeconds(network, scale);
    if (gloo == 0) {
      std::printf("%s: left out, for gloo (package python3-torch) did not run\n", round.name);
      continue;
    }
    const std::optional<Measured> ours =
        MeasureRun(mesh, scale, Lockstep(round.name, round.segments, round.wire));
    if (!ours.has_value()) return false;
    report->Add({.name = round.name,
                 .what = absl::StrFormat(
                     "lockstep round, %d namespaces at %d Mbit/s, %d MiB in %d segments, %s wire",
                     scale.replicas, kMbit, scale.parameters * 4 >> 20, round.segments,
                     round.wire == WireFormat::kFp32 ? "fp32" : "bf16"),
                 .against = "gloo's ring all-reduce",
                 .figure = ours->round_seconds / gloo,
                 .kind = round.kind,
                 .bar = round.bar,
                 .detail = absl::StrFormat("%.2f against %.2f s; %.1f %% of segments mixed",
                                           ours->round_seconds, gloo, 100 * ours->mixed_share)});
  }
  return true;
}

bool MeasureSlowLink(const Options& options, const StarNetwork& network, const Scale& scale,
                     Mesh* mesh, Report* report) {
  if (!options.Wants("slow-link-round") && !options.Wants("slow-link-mixed")) return true;
  GossipOptions run = Lockstep("even", 256, WireFormat::kFp32);
  run.mode = attach::Mode::kOverlap;
  run.step_ms.assign(scale.replicas, options.smoke ? 100 : 1000);
  const std::optional<Measured> even = MeasureRun(mesh, scale, run);
  network.SetSpeed(scale.replicas - 1, kMbit / 10);
  run.run_id = "uneven";
  const std::optional<Measured> uneven = MeasureRun(mesh, scale, run);
  network.SetSpeed(scale.replicas - 1, kMbit);
  if (!even.has_value() || !uneven.has_value()) return false;
  report->Add({.name = "slow-link-round",
               .what = "overlap, one of the links ten times slower: the median replica's round",
               .against = "itself without the slow link",
               .figure = uneven->round_seconds / even->round_seconds,
               .kind = Bar::kAtMost,
               .bar = 1.3,
               .detail = absl::StrFormat("%.2f against %.2f s", uneven->round_seconds,
                                         even->round_seconds)});
  report->Add({.name = "slow-link-mixed",
               .what = "overlap, one of the links ten times slower: segments mixed",
               .figure = uneven->mixed_share,
               .kind = Bar::kAtLeast,
               .bar = 0.8,
               .detail = absl::StrFormat("%.2f without the slow link", even->mixed_share)});
  return true;
}

int Measure(const Options& options, const StarNetwork& network, const Scale& scale) {
  EnterNamespace(network.hub());
  MeshOptions mesh_options;
  mesh_options.config = "insecure_plaintext: true";
  for (int k = 0; k < network.size(); ++k) {
    mesh_options.sites.push_back({network.NamespaceOf(k), StarNetwork::IpOf(k)});
  }
  Mesh mesh(network.size(), mesh_options);
  Report report;
  const bool measured = MeasureRounds(options, network, scale, &mesh, &report) &&
                        MeasureSlowLink(options, network, scale, &mesh, &report);
  if (!measured) std::fprintf(stderr, "mesh_bench: the trainers' rounds do not come about\n");
  return report.Write(options.json) && measured ? 0 : 1;
}

int Main(int argc, char** argv) {
  CLI::App app(
      "Rounds of eight daemons in network namespaces at 200 Mbit/s, against gloo's ring "
      "all-reduce\n"
      "there, and with one link ten times slower. Needs root, iproute2 and python3-torch.");
  Options options;
  Declare(&app, &options);
  CLI11_PARSE(app, argc, argv);
  const char* const rows[] = {"round-fp32", "round-fp32-18-segments", "round-bf16",
                              "slow-link-round", "slow-link-mixed"};
  if (std::none_of(std::begin(rows), std::end(rows),
                   [&](const char* row) { return options.Wants(row); })) {
    return 0;
  }
  Scale scale;
  if (options.smoke) scale = {.replicas = 2, .parameters = 20'000, .rounds = 2, .gloo_repeats = 1};
  const StarNetwork network(std::vector<int>(scale.replicas, kMbit));
  if (!network.made()) {
    std::printf(
        "round-*, slow-link-*: left out, for namespaces could not be made (as root only)\n");
    return 0;
  }
  return network.RunInChild([&] { return Measure(options, network, scale); });
}

}  // namespace
}  // namespace weightmesh::bench

int main(int argc, char** argv) { return weightmesh::bench::Main(argc, argv); }
