// The daemon's configuration: defaults, ranges and print-out of a DaemonConfig; pure, any thread.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "proto/weightmesh/v1/daemon_config.pb.h"

namespace weightmesh {

// Fills in every default that daemon_config.proto names, except:
//   advertise_address       stays empty until the port is known;
//   limits.arena_bytes_max  becomes `arena_bytes_default`, which the caller asks of the machine; 0
//                           leaves it open.
v1::DaemonConfig ApplyDefaults(v1::DaemonConfig config, uint64_t arena_bytes_default = 0);

// Checks a config that went through ApplyDefaults. InvalidArgument names the field's path, its
// value and what is allowed; only the first fault is named.
absl::Status ValidateConfig(const v1::DaemonConfig& config);

// As a file that LoadConfig takes.
std::string ToTextproto(const v1::DaemonConfig& config);

// The times that follow from `config`, as comments of a textproto. Those of a run follow from its
// round_deadline, and are logged when it starts.
std::string DerivedTimesAsComments(const v1::DaemonConfig& config);

}  // namespace weightmesh
