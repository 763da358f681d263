// join_bench: a trainer joins seven others over slow links: how soon it has the model, and what
// that costs the rounds of those that it takes it from.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "tests/bench/options.h"
#include "tests/bench/report.h"
#include "tests/process/mesh.h"
#include "tests/process/trainers.h"
#include "tests/testing/star_network.h"

namespace weightmesh::bench {
namespace {

constexpr absl::Duration kLimit = absl::Seconds(180);

struct Scale {
  int replicas = 8;  // the last one joins
  int mbit = 200;
  uint64_t parameters = uint64_t{16} << 20;  // 64 MiB
  uint64_t segments = 256;
  uint64_t step_ms = 0;
  uint64_t rounds_before = 6;
};

struct Joined {
  double seconds = 0;          // from the attach until it has the model
  double round_seconds = 0;    // from the attach until its first round
  std::vector<double> before;  // seconds of each of the donors' rounds
  std::vector<double> during;  // of those that the join overlaps
  uint64_t bytes = 0;          // received until its first round
};

// The times from one round of a donor to the next, of those that end after `from` and begin before
// `until`.
std::vector<double> RoundSeconds(const GossipRun& run, int donors, absl::Time from,
                                 absl::Time until) {
  std::vector<double> seconds;
  for (int k = 0; k < donors; ++k) {
    const std::vector<RoundDelay> rounds = run.Delays(k);
    for (size_t at = 1; at < rounds.size(); ++at) {
      const absl::Time began = absl::FromUnixMicros(rounds[at - 1].ended_at_us);
      const absl::Time ended = absl::FromUnixMicros(rounds[at].ended_at_us);
      if (ended > from && began < until) seconds.push_back(absl::ToDoubleSeconds(ended - began));
    }
  }
  return seconds;
}

double Mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) /
         static_cast<double>(std::max<size_t>(values.size(), 1));
}

// Nothing when the rounds, or the join, do not come about in time.
std::optional<Joined> MeasureJoin(Mesh* mesh, const Scale& scale) {
  const int donors = scale.replicas - 1;
  GossipOptions options;
  options.run_id = "join";
  options.replicas = donors;
  options.segments = scale.segments;
  options.parameters = scale.parameters;
  options.steps = 0;
  options.learning = 0;
  options.deadline_ms = 20'000;
  options.step_ms = {scale.step_ms};
  options.delays = true;
  GossipRun run(mesh, options);
  const auto await_rounds = [&](uint64_t more) {
    const uint64_t wanted = run.Stats(0).round() + more;
    return Mesh::Await([&] { return run.Stats(0).round() >= wanted; }, kLimit);
  };
  // The first rounds are those of warm caches and new connections.
  if (!await_rounds(3)) return std::nullopt;
  const absl::Time warm = absl::Now();
  if (!await_rounds(scale.rounds_before)) return std::nullopt;

  Joined joined;
  const auto state_is = [&](v1::ReplicaState state) {
    return [&run, donors, state] { return run.Stats(donors).state() == state; };
  };
  const absl::Time asked = absl::Now();
  run.Join(donors);
  if (!Mesh::Await(state_is(v1::REPLICA_STATE_JOINING), kLimit)) return std::nullopt;
  const absl::Time attached = absl::Now();
  if (!Mesh::Await(state_is(v1::REPLICA_STATE_ACTIVE), kLimit)) return std::nullopt;
  const absl::Time has_model = absl::Now();
  if (!Mesh::Await([&] { return run.Stats(donors).rounds_published() > 0; }, kLimit)) {
    return std::nullopt;
  }
  joined.seconds = absl::ToDoubleSeconds(has_model - attached);
  joined.round_seconds = absl::ToDoubleSeconds(absl::Now() - attached);
  const v1::LinkList links = mesh->Links(donors);
  for (const v1::Link& link : links.links()) joined.bytes += link.bytes_received();
  if (!await_rounds(2)) return std::nullopt;  // the last that it overlaps has ended
  joined.before = RoundSeconds(run, donors, warm, asked);
  joined.during = RoundSeconds(run, donors, attached, has_model);
  if (joined.before.empty() || joined.during.empty()) return std::nullopt;
  run.Stop();
  for (int k = 0; k < scale.replicas; ++k) run.Result(k, kLimit);
  return joined;
}

int Measure(const Options& options, const StarNetwork& network, const Scale& scale) {
  EnterNamespace(network.hub());
  MeshOptions mesh_options;
  mesh_options.config = "insecure_plaintext: true";
  for (int k = 0; k < network.size(); ++k) {
    mesh_options.sites.push_back({network.NamespaceOf(k), StarNetwork::IpOf(k)});
  }
  Mesh mesh(network.size(), mesh_options);
  const std::optional<Joined> joined = MeasureJoin(&mesh, scale);
  if (!joined.has_value()) {
    std::fprintf(stderr, "%sjoin_bench: nobody has joined\n", mesh.Logs().c_str());
    return 1;
  }
  const double model_bytes = 4.0 * static_cast<double>(scale.parameters);
  const double link_seconds = 8e-6 * model_bytes / scale.mbit;
  Report report;
  report.Add({.name = "join-time",
              .what = absl::StrFormat("a trainer joins %d others, %d MiB, namespaces at %d Mbit/s: "
                                      "until it has the model",
                                      scale.replicas - 1, scale.parameters * 4 >> 20, scale.mbit),
              .against = "the model's bytes over its link",
              .figure = joined->seconds / link_seconds,
              .kind = Bar::kAtMost,
              .bar = 2,
              .detail = absl::StrFormat(
                  "%.2f against %.2f s; its first round after %.2f s; %.2f models received",
                  joined->seconds, link_seconds, joined->round_seconds,
                  static_cast<double>(joined->bytes) / model_bytes)});
  report.Add(
      {.name = "join-donors",
       .what = "the same: the others' rounds meanwhile, lockstep",
       .against = "their rounds before",
       .figure = Mean(joined->during) / Mean(joined->before),
       .kind = Bar::kAtMost,
       .bar = 1.15,
       .detail = absl::StrFormat("%.2f against %.2f s; the longest %.2f against %.2f s",
                                 Mean(joined->during), Mean(joined->before),
                                 *std::max_element(joined->during.begin(), joined->during.end()),
                                 *std::max_element(joined->before.begin(), joined->before.end()))});
  return report.Write(options.json) ? 0 : 1;
}

int Main(int argc, char** argv) {
  CLI::App app(
      "A trainer joins seven others in network namespaces at 200 Mbit/s: how soon, and what it\n"
      "costs the others' rounds. Needs root and iproute2.");
  Options options;
  Scale scale;
  Declare(&app, &options);
  app.add_option("--step-ms", scale.step_ms, "computing time of a step");
  app.add_option("--segments", scale.segments, "of the model")->check(CLI::Range(1, 4096));
  CLI11_PARSE(app, argc, argv);
  if (!options.Wants("join-time") && !options.Wants("join-donors")) return 0;
  if (options.smoke) {
    scale.replicas = 3;
    scale.parameters = 200'000;
    scale.segments = 18;
    scale.rounds_before = 2;
  }
  const StarNetwork network(std::vector<int>(scale.replicas, scale.mbit));
  if (!network.made()) {
    std::printf("join-*: left out, for namespaces could not be made (as root only)\n");
    return 0;
  }
  return network.RunInChild([&] { return Measure(options, network, scale); });
}

}  // namespace
}  // namespace weightmesh::bench

int main(int argc, char** argv) { return weightmesh::bench::Main(argc, argv); }
