// ErrnoText: errno values for people.
#include "client/src/status.h"

#include <system_error>

namespace weightmesh::client {

std::string ErrnoText(int error) {
  return std::generic_category().message(error) + " (errno " + std::to_string(error) + ")";
}

}  // namespace weightmesh::client
