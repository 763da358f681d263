// The faults that a daemon is told to inject: from its configuration to the transport, and what
// came of them for the log; pure, any thread.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "daemon/transport/fault.h"
#include "proto/weightmesh/v1/daemon_config.pb.h"

namespace weightmesh {

// InvalidArgument names the field's path under transport.faults, its value and what is allowed.
absl::Status CheckFaults(const v1::FaultConfig& config);

// `config` went through CheckFaults.
FaultOptions FaultOptionsOf(const v1::FaultConfig& config);

// "pulls_failed=0 requests_dropped=3 …": all counts, zeros too.
std::string DescribeFaults(const FaultCounts& counts);

}  // namespace weightmesh
