// pull_bench: pulls of 4 MiB segments over UCX against UCX's own benchmark, and beside threads that
// compute; pulls between replicas of one daemon against memcpy.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "daemon/transport/loopback.h"
#include "tests/bench/best_of.h"
#include "tests/bench/command_output.h"
#include "tests/bench/compute_load.h"
#include "tests/bench/options.h"
#include "tests/bench/pull_peers.h"
#include "tests/bench/report.h"
#include "tests/bench/ucx_pair.h"

namespace weightmesh::bench {
namespace {

constexpr uint64_t kSegmentBytes = uint64_t{4} << 20;
constexpr uint64_t kSegments = 16;
constexpr uint64_t kInFlight = 4;  // what a daemon sends at once to two of its sinks

[[noreturn]] void Fail(const std::string& what) {
  std::fprintf(stderr, "pull_bench: %s\n", what.c_str());
  std::exit(1);
}

// What the transport made of UCX's segment sizes, for ucx_perftest to have too: the ratio is of
// what is done with UCX, not of how it is set up.
std::string SegmentSizes(const std::map<std::string, std::string>& settings) {
  std::string assignments;
  for (const char* name : {"UCX_TCP_TX_SEG_SIZE", "UCX_TCP_RX_SEG_SIZE"}) {
    const auto setting = settings.find(name);
    if (setting == settings.end()) continue;
    // "256k (weightmesh)"
    absl::StrAppend(&assignments, name, "=", *absl::StrSplit(setting->second, ' ').begin(), " ");
  }
  return assignments;
}

// MB/s (2^20) of ucx_perftest over TCP on loopback, or 0.
double PerftestMibPerSecond(const std::string& environment, const std::string& options,
                            uint64_t transfers) {
  const std::string command = absl::StrFormat(
      "export UCX_TLS=tcp UCX_NET_DEVICES=lo %s; "
      "timeout 60 ucx_perftest -p 23457 >/dev/null 2>&1 & server=$!; sleep 0.3; "
      "timeout 60 ucx_perftest 127.0.0.1 -p 23457 %s -s %d -n %d -w 10 -f -v 2>/dev/null; "
      "kill $server 2>/dev/null; wait 2>/dev/null",
      environment, options, kSegmentBytes, transfers);
  double bandwidth = 0;
  const std::string output = OutputOf(command);
  for (absl::string_view line : absl::StrSplit(output, '\n')) {
    const std::vector<std::string> fields = absl::StrSplit(line, ',');
    if (fields.size() == 8 && fields[0].find("iterations") == std::string::npos) {
      bandwidth = std::atof(fields[5].c_str());
    }
  }
  return bandwidth;
}

void MeasureUcx(const Options& options, UcxPair* pair, Report* report) {
  const uint64_t transfers = options.smoke ? 8 : 400;
  const auto ours = [&](bool mixes) { return pair->MibPerSecond(transfers, kInFlight, mixes); };
  const std::string sizes = SegmentSizes(pair->settings());
  ours(true);
  double mixed = 0, landed = 0, am = 0, get = 0;
  for (int k = 0; k < (options.smoke ? 1 : 9); ++k) {
    mixed = std::max(mixed, ours(true));
    landed = std::max(landed, ours(false));
    am = std::max(am, PerftestMibPerSecond(sizes, "-e -E sleep -t ucp_am_bw", transfers));
    get = std::max(get, PerftestMibPerSecond("", "-e -t ucp_get", transfers / 2));
  }

  const std::string version = pair->ucx_version();
  const auto add = [&](const char* name, const char* what, const char* test, double mib,
                       double theirs, Bar kind, double bar) {
    if (!options.Wants(name)) return;
    if (theirs == 0) {
      std::printf("%s: left out, for ucx_perftest (package ucx-utils) did not run\n", name);
      return;
    }
    report->Add({.name = name,
                 .what = absl::StrCat(what, ", UCX ", version, " over TCP on loopback"),
                 .against = test,
                 .figure = mib / theirs,
                 .kind = kind,
                 .bar = bar,
                 .detail = absl::StrFormat("%.0f against %.0f MiB/s", mib, theirs)});
  };
  add("pull-am", "pull of 4 MiB segments, verified afterwards",
      "ucx_perftest -e -E sleep -t ucp_am_bw", landed, am, Bar::kAtLeast, 0.85);
  add("pull-am-mixed", "the same, each mixed by a third thread as it lands",
      "ucx_perftest -e -E sleep -t ucp_am_bw", mixed, am, Bar::kReported, 0);
  add("pull-get", "pull of 4 MiB segments, verified afterwards", "ucx_perftest -e -t ucp_get",
      landed, get, Bar::kAtLeast, 2);
}

// What pulls and a trainer's compute take from each other, when every core computes.
void MeasureComputing(const Options& options, UcxPair* pair, Report* report) {
  const uint64_t transfers = options.smoke ? 8 : 400;
  const auto nap = std::chrono::milliseconds(options.smoke ? 10 : 1000);
  const auto pulls = [&] { return pair->MibPerSecond(transfers, kInFlight, false); };
  pulls();
  double idle = 0, computing = 0, alone = 0, beside = 0;
  for (int k = 0; k < (options.smoke ? 1 : 5); ++k) {
    idle = std::max(idle, pulls());
    ComputeLoad load(std::thread::hardware_concurrency());
    const auto passes_a_second = [&](const std::function<void()>& meanwhile) {
      const uint64_t before = load.passes();
      const double seconds = SecondsOf(meanwhile);
      return static_cast<double>(load.passes() - before) / seconds;
    };
    alone = std::max(alone, passes_a_second([&] { std::this_thread::sleep_for(nap); }));
    beside = std::max(beside, passes_a_second([&] { computing = std::max(computing, pulls()); }));
  }
  if (options.Wants("pull-computing")) {
    report->Add({.name = "pull-computing",
                 .what = "pull of 4 MiB segments over UCX while every core computes",
                 .against = "the same on an idle machine",
                 .figure = computing / idle,
                 .detail = absl::StrFormat("%.0f against %.0f MiB/s", computing, idle)});
  }
  if (options.Wants("pull-computing-cost")) {
    report->Add(
        {.name = "pull-computing-cost",
         .what = "the compute of every core while segments are pulled as fast as can be",
         .against = "the same without pulls",
         .figure = beside / alone,
         .detail = absl::StrFormat("%.0f against %.0f passes/ms", beside / 1000, alone / 1000)});
  }
}

// One transport with a link to itself, as a daemon has for its own replicas.
void MeasureLocal(const Options& options, Report* report) {
  Segments source(kSegments, kSegmentBytes);
  Segments reader(kSegments, kSegmentBytes);
  QueuedSink sink;
  QueuedSink::Event event;
  LoopbackHub hub;
  LoopbackTransport transport(hub);
  if (!transport.Start(&sink).ok() ||
      !transport.Register(absl::MakeSpan(source.snapshot), MemoryKind::kHost).ok() ||
      !transport.Register(absl::MakeSpan(reader.snapshot), MemoryKind::kHost).ok()) {
    Fail("the loopback transport does not start");
  }
  transport.Connect({kSourceNode, transport.address(), kSourceToken, kSourceToken});
  // Requests and ends come to one sink here: all requests first, then their data.
  const auto pull_all = [&] {
    for (uint32_t k = 0; k < kSegments; ++k) {
      const SegmentPlace& place = reader.layout.arena.segments[k];
      PullRequest request;
      request.peer = kSourceNode;
      request.request_id = RequestId{k + 1};
      request.round = request.newest_round = Round{1};
      request.segment = SegmentId{k};
      request.remaining_ms = 60'000;
      transport.Pull(request,
                     absl::MakeSpan(reader.snapshot).subspan(place.offset, place.total_bytes));
    }
    for (uint64_t landed = 0, sends = 0; landed < kSegments;) {
      event = sink.Next();
      if (event.ended) {
        if (event.end != PullEnd::kLanded) Fail("a local pull failed");
        ++landed;
        continue;
      }
      const SegmentPlace& place = source.layout.arena.segments[Value(event.request.segment)];
      PullAnswer answer;
      answer.peer = event.request.peer;
      answer.request_id = event.request.request_id;
      answer.run_key = event.request.run_key;
      answer.verdict = wire::Verdict::kData;
      answer.segment = event.request.segment;
      answer.round = answer.newest_round = event.request.round;
      transport.Send(answer,
                     absl::MakeConstSpan(source.snapshot).subspan(place.offset, place.total_bytes),
                     SendId{++sends});
    }
  };
  const auto copy_all = [&] {
    for (uint32_t k = 0; k < kSegments; ++k) {
      const SegmentPlace& place = reader.layout.arena.segments[k];
      std::memcpy(&reader.snapshot[place.offset], &source.snapshot[place.offset],
                  place.total_bytes);
    }
  };
  const std::vector<double> seconds = BestOf(options.smoke ? 1 : 15, {pull_all, copy_all});
  transport.Stop();
  const double gigabytes = 1e-9 * static_cast<double>(reader.layout.arena.snapshot_bytes);
  report->Add({.name = "pull-local",
               .what = "pull between replicas of one daemon, 4 MiB segments",
               .against = "memcpy",
               .figure = seconds[1] / seconds[0],
               .kind = Bar::kAtLeast,
               .bar = 0.8,
               .detail = absl::StrFormat("%.2f against %.2f GB/s", gigabytes / seconds[0],
                                         gigabytes / seconds[1])});
}

int Main(int argc, char** argv) {
  CLI::App app(
      "Pulls of 4 MiB segments between two processes over UCX, against ucx_perftest (package\n"
      "ucx-utils; TCP on loopback), and beside threads that compute; between replicas of one\n"
      "daemon, against memcpy. The best of several tries of each, in turn.");
  Options options;
  Declare(&app, &options);
  CLI11_PARSE(app, argc, argv);
  Report report;
  const bool against_perftest =
      options.Wants("pull-am") || options.Wants("pull-am-mixed") || options.Wants("pull-get");
  const bool beside_compute =
      options.Wants("pull-computing") || options.Wants("pull-computing-cost");
  if (against_perftest || beside_compute) {
    UcxPair pair(kSegments, kSegmentBytes, Site{}, Site{});  // forks: before there are threads
    if (against_perftest) MeasureUcx(options, &pair, &report);
    if (beside_compute) MeasureComputing(options, &pair, &report);
  }
  if (options.Wants("pull-local")) MeasureLocal(options, &report);
  return report.Write(options.json) ? 0 : 1;
}

}  // namespace
}  // namespace weightmesh::bench

int main(int argc, char** argv) { return weightmesh::bench::Main(argc, argv); }
