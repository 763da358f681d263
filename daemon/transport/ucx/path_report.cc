// Reads the lane out of what UCX prints of an endpoint, and puts the reason into words.
#include "daemon/transport/ucx/path_report.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace weightmesh {
namespace {

// How well a lane's uses, the words after "->", mark it as the one for bulk data.
int Rank(absl::string_view uses) {
  int rank = 0;
  for (const absl::string_view use : absl::StrSplit(uses, ' ', absl::SkipEmpty())) {
    if (use == "rma_bw#0") rank = std::max(rank, 3);
    if (use == "am_bw#0") rank = std::max(rank, 2);
    if (use == "am") rank = std::max(rank, 1);
  }
  return rank;
}

// "1:tcp/lo.0" is resource, transport, device and the number of the path.
UcxLane ParseResource(absl::string_view resource) {
  const size_t colon = resource.find(':');
  if (colon == absl::string_view::npos) return {};
  resource.remove_prefix(colon + 1);
  const size_t slash = resource.find('/');
  const size_t dot = resource.rfind('.');
  if (slash == absl::string_view::npos || dot == absl::string_view::npos || dot < slash) return {};
  return {std::string(resource.substr(0, slash)),
          std::string(resource.substr(slash + 1, dot - slash - 1))};
}

bool IsRdma(absl::string_view transport) {
  for (const absl::string_view prefix : {"rc", "dc", "ud", "gga", "srd", "gdr"}) {
    if (absl::StartsWith(transport, prefix)) return true;
  }
  return false;
}

// Whether a value of UCX_TLS lets RDMA transports in.
bool AllowsRdma(absl::string_view transports) {
  if (absl::StartsWith(transports, "^")) {
    for (const absl::string_view name : absl::StrSplit(transports.substr(1), ',')) {
      if (name == "ib" || name == "rc") return false;
    }
    return true;
  }
  for (const absl::string_view name : absl::StrSplit(transports, ',')) {
    if (name == "all" || name == "ib" || IsRdma(name)) return true;
  }
  return false;
}

}  // namespace

UcxLane BulkLane(absl::string_view print_info) {
  UcxLane best;
  int best_rank = -1;
  for (const absl::string_view line : absl::StrSplit(print_info, '\n')) {
    const size_t lane = line.find("lane[");
    const size_t arrow = line.find("->");
    if (lane == absl::string_view::npos || arrow == absl::string_view::npos) continue;
    const std::vector<absl::string_view> words =
        absl::StrSplit(line.substr(lane, arrow - lane), ' ', absl::SkipEmpty());
    if (words.size() < 2) continue;
    const int rank = Rank(line.substr(arrow + 2));
    if (rank > best_rank) {
      best_rank = rank;
      best = ParseResource(words[1]);
    }
  }
  return best;
}

std::string WhyNotFaster(const UcxLane& lane, const PathFacts& facts) {
  if (lane.transport.empty()) return "UCX did not tell which path it uses";
  if (lane.transport != "tcp") return "";
  if (facts.same_host) {
    return absl::StrCat("both daemons are on this host, and UCX ", facts.ucx_version,
                        " ran no shared memory transport with error handling");
  }
  if (!facts.transports.empty() && !AllowsRdma(facts.transports)) {
    return absl::StrCat("UCX_TLS=", facts.transports, " excludes RDMA");
  }
  if (facts.rdma_devices.empty()) return "no RDMA device on this host";
  const bool allowed =
      facts.network_devices.empty() || facts.network_devices == "all" ||
      std::any_of(facts.rdma_devices.begin(), facts.rdma_devices.end(), [&](const auto& device) {
        return absl::StrContains(facts.network_devices, device);
      });
  if (!allowed) {
    return absl::StrCat("the network devices ", facts.network_devices,
                        " do not include this host's RDMA devices ",
                        absl::StrJoin(facts.rdma_devices, ","));
  }
  return absl::StrCat("UCX found no RDMA path from ", absl::StrJoin(facts.rdma_devices, ","),
                      " to the peer");
}

}  // namespace weightmesh
