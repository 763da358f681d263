// Compare-and-swap on the slot words.
#include "daemon/mem/slot_words.h"

#include <utility>

#include "daemon/core/check.h"

namespace weightmesh {

using control_page::SlotState;
using control_page::SlotWord;

SlotWords::SlotWords(control_page::ControlPage* page, uint32_t slots,
                     std::function<void()> ring_trainer)
    : page_(page), slots_(slots), ring_trainer_(std::move(ring_trainer)) {
  WEIGHTMESH_CHECK(slots_ <= control_page::kSlotsMax, "more slots than the control page has words");
}

bool SlotWords::Hold(SlotId slot, Round round) {
  WEIGHTMESH_CHECK(Value(slot) < slots_, "no such slot in the arena");
  uint64_t expected = SlotWord(Value(round), SlotState::kReadable);
  return page_->slot_words[Value(slot)].compare_exchange_strong(
      expected, SlotWord(Value(round), SlotState::kHeld), std::memory_order_seq_cst);
}

void SlotWords::Release(SlotId slot, Round round) {
  WEIGHTMESH_CHECK(Value(slot) < slots_, "no such slot in the arena");
  uint64_t expected = SlotWord(Value(round), SlotState::kHeld);
  if (!page_->slot_words[Value(slot)].compare_exchange_strong(
          expected, SlotWord(Value(round), SlotState::kReadable), std::memory_order_seq_cst)) {
    ++scribbled_;
    return;
  }
  // Sequentially consistent with the trainer, which raises slot_wanted and then looks at the words
  // again: one of the two sees what the other wrote.
  if (page_->slot_wanted.load(std::memory_order_seq_cst) != 0) ring_trainer_();
}

}  // namespace weightmesh
