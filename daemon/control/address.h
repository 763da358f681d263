// "host:port" addresses of the control plane; pure, any thread.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace weightmesh {

struct HostPort {
  std::string host;  // without brackets
  uint16_t port = 0;
};

// Parses "host:port", "1.2.3.4:port" or "[v6]:port". InvalidArgument names the text and what is
// wrong with it. Port 0 is taken.
absl::StatusOr<HostPort> ParseHostPort(absl::string_view address);

// "host:port", with brackets around a v6 host.
std::string FormatHostPort(const HostPort& address);

// Whether `host` is an IP address, and no name.
bool IsNumericHost(absl::string_view host);

// Whether only this machine can reach `host`: "localhost", 127.0.0.0/8, ::1 and its mapped form.
bool IsLoopbackHost(absl::string_view host);

}  // namespace weightmesh
