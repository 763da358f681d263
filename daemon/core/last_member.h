// LastMember: what a daemon keeps on disk of another one, to find it again; plain data.
#pragma once

#include <string>

#include "daemon/core/ids.h"

namespace weightmesh {

struct LastMember {
  NodeId node_id;
  std::string control_address;

  friend bool operator==(const LastMember&, const LastMember&) = default;
};

}  // namespace weightmesh
