// PullsEndOnce: each pull that a core starts ends once, and each round is delivered once; at the
// end each has exactly one outcome, the one that the trainer saw.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "daemon/core/statistics.h"
#include "tests/sim/ledger.h"
#include "tests/sim/observer.h"

namespace weightmesh::sim {

class PullsEndOnce final : public Observer {
 public:
  // `ledger` must outlive the check.
  explicit PullsEndOnce(Ledger* ledger) : ledger_(ledger) {}

  void OnStep(absl::Time now, uint32_t node, const Event& event,
              absl::Span<const Action> actions) override;
  void OnNode(absl::Time now, uint32_t node, ProcessChange change) override;

 private:
  void Start(uint32_t node, const StartPull& action);
  void Deliver(uint32_t node, const weightmesh::Deliver& action);
  void Free(uint32_t node, AttachId attach);

  Ledger* const ledger_;
  std::map<std::pair<uint32_t, RequestId>, AttachId> open_;
  std::map<uint32_t, RequestId> newest_;                      // by node
  std::map<std::pair<uint32_t, AttachId>, Round> delivered_;  // the newest
};

// What the core of a trainer that has ended counted, against what the trainer saw itself: empty, or
// what is wrong. `left`: it left in order.
std::string CheckOutcomes(const ReplicaStatistics& counted, const OutcomeCounts& seen, bool left);

}  // namespace weightmesh::sim
