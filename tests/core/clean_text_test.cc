// Text from outside made safe.
#include "daemon/core/clean_text.h"

#include <gtest/gtest.h>

namespace weightmesh {
namespace {

TEST(CleanText, KeepsTextAndMarksTheRest) {
  EXPECT_EQ(CleanText("plain · ünïcode 网", 100), "plain · ünïcode 网");
  EXPECT_EQ(CleanText("a\nb\x1b\x7f", 100), "a?b??");
  EXPECT_EQ(CleanText("\xc0\xaf\xed\xa0\x80\xf5\x80\xe7\xbd", 100), "?????????");  // not UTF-8
  EXPECT_EQ(CleanText("\xc2\x9b", 100), "??");                                     // a C1 control
  EXPECT_EQ(CleanText("abcdef", 4), "abcd…");
  EXPECT_EQ(CleanText("abc网", 5), "abc…");
  EXPECT_TRUE(IsCleanText("node/0 网"));
  EXPECT_FALSE(IsCleanText("node\t0"));
}

}  // namespace
}  // namespace weightmesh
