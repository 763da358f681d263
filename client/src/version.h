// The version of the client library.
#pragma once

namespace weightmesh::client {

inline constexpr char kClientVersion[] = "0.1.0";

}  // namespace weightmesh::client
