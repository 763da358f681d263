// Which UCX devices belong to an address of this host. Reads the system; any thread.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace weightmesh {

// The value for UCX_NET_DEVICES that serves `control_ip`: the interface which owns it, after the
// RDMA ports that share its hardware ("mlx5_0:1,eth0"). Empty when `control_ip` is empty or a
// wildcard. InvalidArgument when it is not an address, NotFound when no interface owns it.
absl::StatusOr<std::string> NetworkDevicesOf(const std::string& control_ip,
                                             const std::string& sys_root = "/sys");

// OK when each device of the comma-separated list exists here as an interface or RDMA port; "all"
// is accepted. NotFound names the one that does not, and those that do.
absl::Status CheckNetworkDevices(absl::string_view devices, const std::string& sys_root = "/sys");

// RDMA devices of this host ("mlx5_0"), sorted; and the ports on the hardware of an interface
// ("mlx5_0:1").
std::vector<std::string> RdmaDevices(const std::string& sys_root = "/sys");
std::vector<std::string> RdmaPortsOf(const std::string& interface,
                                     const std::string& sys_root = "/sys");

}  // namespace weightmesh
