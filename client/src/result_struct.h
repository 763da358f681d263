// The structs that a caller of weightmesh.h passes to be filled in.
#pragma once

#include <string>

#include "client/src/status.h"

namespace weightmesh::client {

// Empties a caller's struct but for its size, as far as this library knows it.
template <typename Result>
Status Clear(const char* name, Result* result) {
  const size_t struct_size = result->struct_size;
  if (struct_size < sizeof(Result)) {
    return Invalid(std::string(name) + ".struct_size is " + std::to_string(struct_size) +
                   ": set it to " + std::to_string(sizeof(Result)) + " (WEIGHTMESH_INIT does)");
  }
  *result = {};
  result->struct_size = struct_size;
  return {};
}

// For callers that pass no result.
template <typename Result>
Result* OrScratch(Result* result, Result* scratch) {
  *scratch = {};
  scratch->struct_size = sizeof *scratch;
  return result != nullptr ? result : scratch;
}

}  // namespace weightmesh::client
