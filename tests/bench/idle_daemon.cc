// idle-cpu and idle-memory: what a daemon takes that has a peer and nothing to do.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <thread>

#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "tests/bench/best_of.h"
#include "tests/bench/process_bench.h"
#include "tests/bench/process_usage.h"
#include "tests/process/mesh.h"

namespace weightmesh::bench {
namespace {

constexpr int kDaemons = 2;

// Both daemons know each other and have heard of each other.
bool HaveMet(const Mesh& mesh) {
  for (int k = 0; k < kDaemons; ++k) {
    const v1::Topology topology = mesh.Topology(k, "");
    if (topology.nodes_size() != kDaemons) return false;
    for (const v1::Node& node : topology.nodes()) {
      if (!node.reachable()) return false;
    }
  }
  return true;
}

}  // namespace

absl::Status MeasureIdleDaemon(Length length, Report* report) {
  const bool smoke = length == Length::kSmoke;
  const auto settling = std::chrono::milliseconds(smoke ? 0 : 3000);
  const auto watched = std::chrono::milliseconds(smoke ? 500 : 10'000);
  Mesh mesh(kDaemons);
  if (!Mesh::Await([&] { return HaveMet(mesh); }, absl::Seconds(30))) {
    return absl::InternalError("the daemons do not find each other");
  }
  std::this_thread::sleep_for(settling);
  double before[kDaemons];
  double used[kDaemons];
  for (int k = 0; k < kDaemons; ++k) before[k] = CpuSeconds(mesh.daemon(k).pid());
  const double seconds = SecondsOf([&] { std::this_thread::sleep_for(watched); });
  for (int k = 0; k < kDaemons; ++k) used[k] = CpuSeconds(mesh.daemon(k).pid()) - before[k];
  if (std::isnan(used[0] + used[1])) return absl::InternalError("a daemon has ended");

  const double most = std::max(used[0], used[1]);
  report->Add({.name = "idle-cpu",
               .what = "processor time of the busier of 2 daemons without trainers",
               .against = "a core",
               .figure = 100 * most / seconds,
               .unit = "%",
               .kind = Bar::kAtMost,
               .bar = 1,
               .detail = absl::StrFormat("%.1f ms and %.1f ms in %.1f s", 1e3 * used[0],
                                         1e3 * used[1], seconds)});

  constexpr double kMiB = 1 << 20;
  const auto largest = [&](const char* field) {
    return std::max(StatusBytes(mesh.daemon(0).pid(), field),
                    StatusBytes(mesh.daemon(1).pid(), field)) /
           kMiB;
  };
  report->Add({.name = "idle-memory",
               .what = "resident memory of the larger of 2 daemons without trainers",
               .figure = largest("VmRSS"),
               .unit = "MiB",
               .kind = Bar::kAtMost,
               .bar = 64,
               .detail = absl::StrFormat("%.1f MiB of it its own, %.1f MiB of files",
                                         largest("RssAnon"), largest("RssFile"))});
  return absl::OkStatus();
}

}  // namespace weightmesh::bench
