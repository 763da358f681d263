// process_bench: what weightmesh costs, in figures that other machines can be compared by.
#include "tests/bench/process_bench.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "tests/bench/options.h"

namespace weightmesh::bench {
namespace {

struct Benchmark {
  std::vector<std::string> rows;  // that it adds to the report
  absl::Status (*measure)(Length length, Report* report);
};

const Benchmark kBenchmarks[] = {
    {{"round-latency", "round-latency-us"}, MeasureRoundLatency},
    {{"step-overhead"}, MeasureStepOverhead},
    {{"idle-cpu", "idle-memory"}, MeasureIdleDaemon},
    {{"replica-memory"}, MeasureReplicaMemory},
};

constexpr char kHelp[] =
    R"(What daemons and trainers cost on the loopback of this machine:

  round-latency   a lockstep round of 18 segments of 4 KiB between 2 trainers, in gRPC calls
  step-overhead   an overlap step of 100 MiB, in publish and mix passes alone
  idle-cpu        processor time of a daemon with one peer and no trainers
  idle-memory     resident memory of it
  replica-memory  memory of a replica, in slots and inbox buffers of the model's size

Let nothing else run meanwhile; it takes about half a minute. Exit code 1 when something could not
be measured; a missed bar is none.)";

bool Wants(const Options& options, const Benchmark& benchmark) {
  return std::any_of(benchmark.rows.begin(), benchmark.rows.end(),
                     [&](const std::string& row) { return options.Wants(row); });
}

// Empty, or why it could not be measured.
std::string Measure(const Benchmark& benchmark, Length length, Report* report) {
  try {
    const absl::Status status = benchmark.measure(length, report);
    return status.ok() ? "" : status.ToString();
  } catch (const std::exception& error) {
    return error.what();
  }
}

int Main(int argc, char** argv) {
  CLI::App app(kHelp);
  Options options;
  Declare(&app, &options);
  CLI11_PARSE(app, argc, argv);
  Report report;
  bool measured = true;
  for (const Benchmark& benchmark : kBenchmarks) {
    if (!Wants(options, benchmark)) continue;
    const Length length = options.smoke ? Length::kSmoke : Length::kFull;
    const std::string failure = Measure(benchmark, length, &report);
    if (failure.empty()) continue;
    std::fprintf(stderr, "%s: %s\n", benchmark.rows.front().c_str(), failure.c_str());
    measured = false;
  }
  return report.Write(options.json) && measured ? 0 : 1;
}

}  // namespace
}  // namespace weightmesh::bench

int main(int argc, char** argv) { return weightmesh::bench::Main(argc, argv); }
