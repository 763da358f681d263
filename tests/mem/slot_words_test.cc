// Slot words: the steps that the protocol allows, and that no other word is touched.
#include "daemon/mem/slot_words.h"

#include <gtest/gtest.h>

#include "tests/mem/test_arena.h"

namespace weightmesh {
namespace {

using control_page::SlotState;
using control_page::SlotWord;

class SlotWordsTest : public testing::Test {
 protected:
  TestArena arena_;
  int rings_ = 0;
  SlotWords words_{&arena_.page(), 3, [this] { ++rings_; }};
  std::atomic<uint64_t>& word_ = arena_.page().slot_words[1];
};

TEST_F(SlotWordsTest, HoldsWhatIsReadableOfThatRound) {
  word_ = SlotWord(7, SlotState::kReadable);
  EXPECT_TRUE(words_.Hold(SlotId{1}, Round{7}));
  EXPECT_EQ(word_, SlotWord(7, SlotState::kHeld));
}

TEST_F(SlotWordsTest, HoldsNothingElse) {
  for (const uint64_t word : {SlotWord(8, SlotState::kReadable), SlotWord(7, SlotState::kWriting),
                              SlotWord(7, SlotState::kHeld), uint64_t{0}, UINT64_MAX}) {
    word_ = word;
    EXPECT_FALSE(words_.Hold(SlotId{1}, Round{7})) << word;
    EXPECT_EQ(word_, word);
  }
}

TEST_F(SlotWordsTest, ReleasesAndRingsOnlyWhoWantsASlot) {
  word_ = SlotWord(7, SlotState::kHeld);
  words_.Release(SlotId{1}, Round{7});
  EXPECT_EQ(word_, SlotWord(7, SlotState::kReadable));
  EXPECT_EQ(rings_, 0);

  word_ = SlotWord(8, SlotState::kHeld);
  arena_.page().slot_wanted = 1;
  words_.Release(SlotId{1}, Round{8});
  EXPECT_EQ(rings_, 1);
  EXPECT_EQ(words_.scribbled(), 0u);
}

TEST_F(SlotWordsTest, LeavesAScribbledWordAloneAndCountsIt) {
  arena_.page().slot_wanted = 1;
  uint64_t scribbled = 0;
  for (const uint64_t word :
       {SlotWord(8, SlotState::kHeld), SlotWord(7, SlotState::kWriting), uint64_t{0}, UINT64_MAX}) {
    word_ = word;
    words_.Release(SlotId{1}, Round{7});
    EXPECT_EQ(word_, word);
    EXPECT_EQ(words_.scribbled(), ++scribbled);
  }
  EXPECT_EQ(rings_, 0);
}

}  // namespace
}  // namespace weightmesh
