// Status: what a call of the client came to, with the message that the C ABI shows.
#pragma once

#include <string>
#include <utility>

#include "client/include/weightmesh/weightmesh.h"

namespace weightmesh::client {

// An OK status holds no message and allocates nothing.
struct [[nodiscard]] Status {
  weightmesh_status code = WEIGHTMESH_OK;
  std::string message;  // names the thing and the cure; empty when OK

  bool ok() const { return code == WEIGHTMESH_OK; }
};

inline Status Invalid(std::string message) { return {WEIGHTMESH_INVALID, std::move(message)}; }
inline Status Alone(std::string message) { return {WEIGHTMESH_ALONE, std::move(message)}; }
inline Status Refused(std::string message) { return {WEIGHTMESH_REFUSED, std::move(message)}; }
inline Status Resources(std::string message) { return {WEIGHTMESH_RESOURCES, std::move(message)}; }

// "Permission denied (errno 13)".
std::string ErrnoText(int error);

}  // namespace weightmesh::client
