// NodeNames: the daemons' numbers in place of their node ids, in what they say of each other. Pure.
#pragma once

#include <map>
#include <string>

#include "daemon/core/ids.h"
#include "proto/weightmesh/v1/peer.pb.h"

namespace weightmesh::demo {

class NodeNames {
 public:
  // Daemon `node` has this id.
  void Learn(int node, const v1::Id& id);

  // "node 0123… at 127.0.0.1:4711 is dead" becomes "daemon 3 is dead"; unknown ids stay.
  std::string Apply(const std::string& text) const;

 private:
  std::map<std::string, int> numbers_;  // by id, as it is written
};

}  // namespace weightmesh::demo
