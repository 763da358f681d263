// link_bench: pulls between two network namespaces that are joined at 1 Gbit/s, against iperf3.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/str_format.h"
#include "tests/bench/command_output.h"
#include "tests/bench/options.h"
#include "tests/bench/report.h"
#include "tests/bench/ucx_pair.h"
#include "tests/testing/star_network.h"

namespace weightmesh::bench {
namespace {

// Mbit/s of payload, or 0.
double IperfMbit(const StarNetwork& network, int seconds) {
  const std::string output = OutputOf(absl::StrFormat(
      "ip netns exec %s timeout 60 iperf3 -s -1 >/dev/null 2>&1 & sleep 0.4; ip netns exec %s "
      "timeout 60 iperf3 -c %s -t %d -f m 2>/dev/null | awk '/receiver/ {print $(NF-2)}'; wait",
      network.NamespaceOf(1), network.NamespaceOf(0), StarNetwork::IpOf(1), seconds));
  return std::atof(output.c_str());
}

int Measure(const Options& options, const StarNetwork& network) {
  UcxPair pair(8, uint64_t{4} << 20, {StarNetwork::IpOf(0), network.NamespaceOf(0)},
               {StarNetwork::IpOf(1), network.NamespaceOf(1)});
  const uint64_t transfers = options.smoke ? 2 : 100;
  const double mebibit = 8.0 * (1 << 20) / 1e6;
  double ours = 0, iperf = 0;
  pair.MibPerSecond(2, 2, false);
  for (int k = 0; k < (options.smoke ? 1 : 3); ++k) {
    ours = std::max(ours, mebibit * pair.MibPerSecond(transfers, 4, false));
    iperf = std::max(iperf, IperfMbit(network, options.smoke ? 1 : 4));
  }
  if (iperf == 0) {
    std::printf("link-1gbit: left out, for iperf3 did not run\n");
    return 0;
  }
  Report report;
  report.Add({.name = "link-1gbit",
              .what = "pull of 4 MiB segments between namespaces joined at 1 Gbit/s",
              .against = "iperf3",
              .figure = ours / iperf,
              .kind = Bar::kAtLeast,
              .bar = 0.95,
              .detail = absl::StrFormat("%.0f against %.0f Mbit/s", ours, iperf)});
  return report.Write(options.json) ? 0 : 1;
}

int Main(int argc, char** argv) {
  CLI::App app(
      "Pulls of 4 MiB segments between two network namespaces joined at 1 Gbit/s (tbf), against\n"
      "iperf3 over the same link. Needs root, iproute2 and iperf3.");
  Options options;
  Declare(&app, &options);
  CLI11_PARSE(app, argc, argv);
  if (!options.Wants("link-1gbit")) return 0;
  const StarNetwork network({1000, 1000});
  if (!network.made()) {
    std::printf("link-1gbit: left out, for the namespaces could not be made (as root only)\n");
    return 0;
  }
  return network.RunInChild([&] { return Measure(options, network); });
}

}  // namespace
}  // namespace weightmesh::bench

int main(int argc, char** argv) { return weightmesh::bench::Main(argc, argv); }
