// Finds the devices of an address by the system's interfaces and /sys.
#include "daemon/transport/ucx/network_device.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <system_error>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace weightmesh {
namespace {

// Address bytes without family, port and scope: 4 or 16 of them; empty if `text` is no address.
std::string ParseAddress(const std::string& text) {
  const std::string host = text.substr(0, text.find('%'));
  unsigned char bytes[16];
  for (const auto& [family, size] : {std::pair{AF_INET, 4}, std::pair{AF_INET6, 16}}) {
    if (inet_pton(family, host.c_str(), bytes) == 1) {
      return std::string(reinterpret_cast<char*>(bytes), static_cast<size_t>(size));
    }
  }
  return "";
}

std::string BytesOf(const sockaddr* address) {
  if (address == nullptr) return "";
  if (address->sa_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(address);
    return std::string(reinterpret_cast<const char*>(&v4->sin_addr), 4);
  }
  if (address->sa_family == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(address);
    return std::string(reinterpret_cast<const char*>(&v6->sin6_addr), 16);
  }
  return "";
}

// 127.0.0.0/8 is local as a whole, though the interface has one address of it.
bool IsLoopback(const std::string& bytes) {
  if (bytes.size() == 4) return bytes[0] == 127;
  return bytes == std::string(15, '\0') + '\1';
}

std::vector<std::string> Entries(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

absl::StatusOr<std::string> NetworkDevicesOf(const std::string& control_ip,
                                             const std::string& sys_root) {
  if (control_ip.empty()) return "";
  const std::string wanted = ParseAddress(control_ip);
  if (wanted.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", control_ip, "' is not an IPv4 or IPv6 address; give the control address as numbers"));
  }
  if (wanted.find_first_not_of('\0') == std::string::npos) return "";

  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) {
    return absl::UnavailableError(absl::StrCat(
        "cannot list the network interfaces: ", strerror(errno), "; name the network devices"));
  }
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(list, freeifaddrs);
  std::vector<std::string> known;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    const std::string bytes = BytesOf(entry->ifa_addr);
    if (bytes == wanted || (IsLoopback(wanted) && IsLoopback(bytes))) {
      std::vector<std::string> devices = RdmaPortsOf(entry->ifa_name, sys_root);
      devices.push_back(entry->ifa_name);
      return absl::StrJoin(devices, ",");
    }
    if (!bytes.empty()) known.push_back(entry->ifa_name);
  }
  std::sort(known.begin(), known.end());
  known.erase(std::unique(known.begin(), known.end()), known.end());
  return absl::NotFoundError(
      absl::StrCat("no network interface of this host owns the control address ", control_ip,
                   "; correct that address, or name the network devices (interfaces with an "
                   "address: ",
                   absl::StrJoin(known, ", "), ")"));
}

absl::Status CheckNetworkDevices(absl::string_view devices, const std::string& sys_root) {
  std::vector<std::string> known = Entries(sys_root + "/class/net");
  for (const std::string& device : RdmaDevices(sys_root)) known.push_back(device);
  for (const absl::string_view device : absl::StrSplit(devices, ',')) {
    // An RDMA port is device:port; an interface may hold a colon itself (an alias).
    const std::string name(device.substr(0, device.find(':')));
    const bool exists = device == "all" || absl::c_linear_search(known, std::string(device)) ||
                        absl::c_linear_search(known, name);
    if (!exists) {
      return absl::NotFoundError(absl::StrCat("network device '", device,
                                              "' is not on this host; choose among ",
                                              absl::StrJoin(known, ", ")));
    }
  }
  return absl::OkStatus();
}

std::vector<std::string> RdmaDevices(const std::string& sys_root) {
  return Entries(sys_root + "/class/infiniband");
}

std::vector<std::string> RdmaPortsOf(const std::string& interface, const std::string& sys_root) {
  const std::string folder = sys_root + "/class/net/" + interface;
  unsigned port = 0;  // of the hardware, counted from 0; RDMA counts from 1
  std::ifstream(folder + "/dev_port") >> port;
  std::vector<std::string> ports;
  for (const std::string& device : Entries(folder + "/device/infiniband")) {
    const std::string root = sys_root + "/class/infiniband/" + device + "/ports/";
    const bool has_port = std::filesystem::exists(root + std::to_string(port + 1));
    ports.push_back(absl::StrCat(device, ":", has_port ? port + 1 : 1));
  }
  return ports;
}

}  // namespace weightmesh
