// LeasedSlots: no slot is written under a lease: while its snapshot is sent, nobody takes it.
#pragma once

#include <cstdint>
#include <map>
#include <tuple>
#include <utility>

#include "tests/sim/ledger.h"
#include "tests/sim/observer.h"

namespace weightmesh::sim {

class LeasedSlots final : public Observer {
 public:
  // `ledger` must outlive the check.
  explicit LeasedSlots(Ledger* ledger) : ledger_(ledger) {}

  void OnStep(absl::Time now, uint32_t node, const Event& event,
              absl::Span<const Action> actions) override;
  void OnNode(absl::Time now, uint32_t node, ProcessChange change) override;
  void OnSlotTaken(absl::Time now, uint32_t node, AttachId attach, SlotId slot) override;

 private:
  using Slot = std::tuple<uint32_t, AttachId, SlotId>;  // node first

  Ledger* const ledger_;
  std::map<std::pair<uint32_t, SendId>, Slot> sends_;
  std::map<Slot, uint32_t> leases_;
};

}  // namespace weightmesh::sim
