// SlotWords: the daemon's side of the slot words of one arena. Confined to the core thread; the
// words are shared with the trainer.
#pragma once

#include <cstdint>
#include <functional>

#include "daemon/core/ids.h"
#include "proto/control_page.h"

namespace weightmesh {

// Never trusts a word: each step is a compare-and-swap from the one value that allows it, so that a
// scribbled word costs its trainer that snapshot and nobody anything else.
class SlotWords {
 public:
  // `page` must outlive this. `ring_trainer` is called when a slot came free that the trainer may
  // be waiting for. REQUIRES: slots <= kSlotsMax.
  SlotWords(control_page::ControlPage* page, uint32_t slots, std::function<void()> ring_trainer);

  // READABLE of `round` -> HELD. False: the slot no longer holds that round (or its word makes no
  // sense, which comes to the same).
  bool Hold(SlotId slot, Round round);

  // HELD of `round` -> READABLE, and rings a trainer that wants a slot. A word that is not exactly
  // HELD of that round is left alone and counted.
  void Release(SlotId slot, Round round);

  // Words found changed by someone who had no right to.
  uint64_t scribbled() const { return scribbled_; }

 private:
  control_page::ControlPage* const page_;
  const uint32_t slots_;
  const std::function<void()> ring_trainer_;
  uint64_t scribbled_ = 0;
};

}  // namespace weightmesh
