// Over which path UCX runs an endpoint, and why over no faster one: pure functions of what UCX and
// the host say.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace weightmesh {

// What carries an endpoint's bulk data.
struct UcxLane {
  std::string transport;  // "tcp", "rc_mlx5"; empty: not found
  std::string device;     // "lo", "mlx5_0:1"
};

// Reads the text of ucp_ep_print_info: the lane that does rma_bw, or else am_bw, or else am.
UcxLane BulkLane(absl::string_view print_info);

// What bears on the choice of a path.
struct PathFacts {
  std::vector<std::string> rdma_devices;  // of this host
  std::string network_devices;            // allowed to UCX; empty: all
  std::string transports;                 // UCX_TLS; empty: UCX's default
  std::string ucx_version;                // "1.13.1"
  bool same_host = false;                 // both ends are on this host
};

// Why `lane` is not faster, for people; empty for RDMA and shared memory.
std::string WhyNotFaster(const UcxLane& lane, const PathFacts& facts);

}  // namespace weightmesh
