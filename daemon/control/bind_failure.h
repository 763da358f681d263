// Why a port cannot be listened on, which gRPC does not tell; any thread.
#pragma once

#include <string>

#include "daemon/control/address.h"

namespace weightmesh {

// Tries to bind `address` once and says what went wrong, with the cure: "the port is in use: …".
// May block to resolve a host name.
std::string DescribeBindFailure(const HostPort& address);

}  // namespace weightmesh
