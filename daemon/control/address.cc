// Parsing of control addresses.
#include "daemon/control/address.h"

#include <arpa/inet.h>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace weightmesh {
namespace {

absl::Status NotAnAddress(absl::string_view address, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("\"", address, "\" is not an address: ", why,
                   "; write host:port, for example 10.0.0.1:7473 or [fe80::1]:7473"));
}

bool IsHostCharacter(char c) { return absl::ascii_isalnum(c) || c == '.' || c == '-' || c == '_'; }

bool IsV6(const std::string& host) {
  in6_addr parsed;
  return inet_pton(AF_INET6, host.substr(0, host.find('%')).c_str(), &parsed) == 1;
}

}  // namespace

absl::StatusOr<HostPort> ParseHostPort(absl::string_view address) {
  const size_t colon = address.rfind(':');
  if (colon == absl::string_view::npos) return NotAnAddress(address, "the port is missing");
  absl::string_view host = address.substr(0, colon);
  const absl::string_view port = address.substr(colon + 1);
  HostPort parsed;
  uint32_t number = 0;
  if (port.empty() || port.find_first_not_of("0123456789") != absl::string_view::npos ||
      !absl::SimpleAtoi(port, &number) || number > 65535) {
    return NotAnAddress(address, "the port must be a number up to 65535");
  }
  parsed.port = static_cast<uint16_t>(number);
  if (absl::StartsWith(host, "[") && absl::EndsWith(host, "]") && host.size() > 2) {
    parsed.host = std::string(host.substr(1, host.size() - 2));
    if (!IsV6(parsed.host)) return NotAnAddress(address, "no IPv6 address stands in the brackets");
    return parsed;
  }
  if (host.empty()) return NotAnAddress(address, "the host is missing");
  for (char c : host) {
    if (c == ':') return NotAnAddress(address, "an IPv6 address needs brackets");
    if (!IsHostCharacter(c)) return NotAnAddress(address, "the host has a wrong character");
  }
  parsed.host = std::string(host);
  return parsed;
}

std::string FormatHostPort(const HostPort& address) {
  if (absl::StrContains(address.host, ':')) {
    return absl::StrCat("[", address.host, "]:", address.port);
  }
  return absl::StrCat(address.host, ":", address.port);
}

bool IsNumericHost(absl::string_view host) {
  const std::string text(host);
  in_addr v4;
  return inet_pton(AF_INET, text.c_str(), &v4) == 1 || IsV6(text);
}

bool IsLoopbackHost(absl::string_view host) {
  if (absl::EqualsIgnoreCase(host, "localhost")) return true;
  const std::string text(host);
  in_addr v4;
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24) == 127;
  in6_addr v6;
  if (inet_pton(AF_INET6, text.c_str(), &v6) != 1) return false;
  return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
}

}  // namespace weightmesh
