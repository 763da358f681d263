// Remembers who was gone for whom.
#include "tests/sim/check/resurrection.h"

#include "absl/strings/str_cat.h"

namespace weightmesh::sim {

void Resurrection::Believes(uint64_t observer, const ReplicaSnapshot& replica) {
  const auto key = std::tuple(observer, replica.node, replica.info.replica_id, replica.info.life);
  if (!IsLive(replica.info.state)) {
    dead_.insert(key);
  } else if (dead_.count(key) > 0) {
    ledger_->Violate(absl::StrCat(replica.info.name, " was gone, and is ",
                                  ReplicaStateName(replica.info.state), " again"));
  }
}

void Resurrection::Believes(uint64_t observer, const NodeSnapshot& node, bool is_over) {
  const auto key = std::tuple(observer, node.info.node_id, node.info.session);
  if (!is_over) return;
  if (!node.reachable) {
    silent_.insert(key);
  } else if (silent_.count(key) > 0) {
    ledger_->Violate(absl::StrCat("the process at ", node.info.control_address,
                                  " has ended and was silent, and answers again"));
  }
}

}  // namespace weightmesh::sim
