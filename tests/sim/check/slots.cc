// Counts the sends out of each slot.
#include "tests/sim/check/slots.h"

#include <variant>

#include "absl/strings/str_cat.h"

namespace weightmesh::sim {

void LeasedSlots::OnStep(absl::Time, uint32_t node, const Event& event,
                         absl::Span<const Action> actions) {
  if (const auto* ended = std::get_if<SendEnded>(&event)) {
    if (const auto send = sends_.extract({node, ended->send_id})) --leases_[send.mapped()];
  }
  for (const Action& action : actions) {
    const auto* send = std::get_if<StartSend>(&action);
    if (send == nullptr) continue;
    const Slot slot{node, send->attach, send->slot};
    sends_[{node, send->send_id}] = slot;
    ++leases_[slot];
  }
}

void LeasedSlots::OnNode(absl::Time, uint32_t node, ProcessChange change) {
  if (change != ProcessChange::kKilled) return;
  std::erase_if(sends_, [node](const auto& entry) { return entry.first.first == node; });
  std::erase_if(leases_, [node](const auto& entry) { return std::get<0>(entry.first) == node; });
}

void LeasedSlots::OnSlotTaken(absl::Time, uint32_t node, AttachId attach, SlotId slot) {
  const auto leases = leases_.find({node, attach, slot});
  if (leases == leases_.end() || leases->second == 0) return;
  ledger_->Violate(absl::StrCat("slot ", Value(slot), " of node ", node,
                                " is written while its snapshot is sent"));
}

}  // namespace weightmesh::sim
