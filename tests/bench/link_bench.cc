// link_bench: pulls between two network namespaces that are joined at 1 Gbit/s, against iperf3.
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tests/bench/command_output.h"
#include "tests/bench/options.h"
#include "tests/bench/report.h"
#include "tests/bench/ucx_pair.h"

namespace weightmesh::bench {
namespace {

// Two namespaces of this process's own, joined by a pair of interfaces that send no faster than
// `mbit`. They go with the object.
class JoinedNamespaces {
 public:
  explicit JoinedNamespaces(int mbit)
      : a_(absl::StrCat("wmbench", ::getpid(), "a")), b_(absl::StrCat("wmbench", ::getpid(), "b")) {
    const std::string shape = absl::StrFormat(
        "tc qdisc add dev wire root tbf rate %dmbit burst 256kb latency 20ms", mbit);
    made_ =
        std::system(absl::StrCat("set -e; ip netns add ", a_, "; ip netns add ", b_,
                                 "; ip link add name wire netns ", a_,
                                 " type veth peer name wire netns ", b_, "; ip -n ", a_,
                                 " addr add 10.77.0.1/24 dev wire; ip -n ", b_,
                                 " addr add 10.77.0.2/24 dev wire; ip -n ", a_,
                                 " link set wire up; ip -n ", b_, " link set wire up; ip -n ", a_,
                                 " link set lo up; ip -n ", b_, " link set lo up; ip netns exec ",
                                 a_, " ", shape, "; ip netns exec ", b_, " ", shape)
                        .c_str()) == 0;
    // UCX takes only an interface that runs, which the kernel finds out in its own time.
    for (const std::string& space : {a_, b_}) {
      const std::string is_up =
          absl::StrCat("ip -n ", space, " link show wire | grep -q 'state UP'");
      for (int k = 0; made_ && k < 100 && std::system(is_up.c_str()) != 0; ++k) ::usleep(50'000);
    }
  }
  ~JoinedNamespaces() {
    const int gone = std::system(absl::StrCat("ip netns del ", a_, "; ip netns del ", b_).c_str());
    if (gone != 0) std::fprintf(stderr, "link_bench: could not delete %s\n", a_.c_str());
  }

  bool made() const { return made_; }
  Site a() const { return {"10.77.0.1", a_}; }
  Site b() const { return {"10.77.0.2", b_}; }

 private:
  const std::string a_;
  const std::string b_;
  bool made_ = false;
};

// Mbit/s of payload, or 0.
double IperfMbit(const JoinedNamespaces& spaces, int seconds) {
  const std::string output = OutputOf(absl::StrFormat(
      "ip netns exec %s iperf3 -s -1 >/dev/null 2>&1 & sleep 0.4; ip netns exec %s timeout 60 "
      "iperf3 -c 10.77.0.2 -t %d -f m 2>/dev/null | awk '/receiver/ {print $(NF-2)}'; wait",
      spaces.b().network_namespace, spaces.a().network_namespace, seconds));
  return std::atof(output.c_str());
}

int Measure(const Options& options, const JoinedNamespaces& spaces) {
  UcxPair pair(8, uint64_t{4} << 20, spaces.a(), spaces.b());
  const uint64_t transfers = options.smoke ? 2 : 100;
  const double mebibit = 8.0 * (1 << 20) / 1e6;
  double ours = 0, iperf = 0;
  pair.MibPerSecond(2, 2, false);
  for (int k = 0; k < (options.smoke ? 1 : 3); ++k) {
    ours = std::max(ours, mebibit * pair.MibPerSecond(transfers, 4, false));
    iperf = std::max(iperf, IperfMbit(spaces, options.smoke ? 1 : 4));
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
              .unit = "",
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
  const JoinedNamespaces spaces(1000);
  if (!spaces.made()) {
    std::printf("link-1gbit: left out, for the namespaces could not be made (as root only)\n");
    return 0;
  }
  // In a child, which moves into a namespace: this process stays outside, to delete them.
  std::fflush(stdout);
  const pid_t child = ::fork();
  if (child == 0) {
    const int failed = Measure(options, spaces);
    std::fflush(stdout);
    std::_Exit(failed);
  }
  int status = 1;
  ::waitpid(child, &status, 0);
  return status == 0 ? 0 : 1;
}

}  // namespace
}  // namespace weightmesh::bench

int main(int argc, char** argv) { return weightmesh::bench::Main(argc, argv); }
