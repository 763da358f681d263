// Tables and the words and units in them.
#include "client/ctl/table.h"

#include <gtest/gtest.h>

#include "client/ctl/units.h"

namespace weightmesh::ctl {
namespace {

TEST(Table, AlignsColumns) {
  Table table({{"NAME"}, {"BYTES", Align::kRight}, {"WHY"}});
  table.AddRow({"a", "17", "because"});
  table.AddRow({"longer", "123456", ""});
  EXPECT_EQ(table.ToText(),
            "NAME     BYTES  WHY\n"
            "a           17  because\n"
            "longer  123456\n");
  EXPECT_EQ(table.rows(), 2u);
}

TEST(Table, SaysWhenThereIsNothing) { EXPECT_EQ(Table({{"A"}, {"B"}}).ToText(), "A  B\n(none)\n"); }

TEST(Table, CountsCharactersNotBytes) {
  Table table({{"TIME", Align::kRight}, {"X"}});
  table.AddRow({"9 µs", "1"});
  table.AddRow({"12 ms", "2"});
  EXPECT_EQ(table.ToText(),
            " TIME  X\n"
            " 9 µs  1\n"
            "12 ms  2\n");
}

TEST(Table, TakesAnyCells) {
  Table table({{"A"}, {"B"}});
  table.AddRow({"1", "2", "3"});
  table.AddRow({});
  table.AddRow({"a\x1b[2J\n", "\xff"});
  EXPECT_EQ(table.ToText(), "A       B\n1       2\n\na?[2J?  ?\n");
}

TEST(Units, Bytes) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(1023), "1023 B");
  EXPECT_EQ(FormatBytes(1536), "1.50 KiB");
  EXPECT_EQ(FormatBytes(15.25 * 1048576), "15.2 MiB");
  EXPECT_EQ(FormatBytes(3e12), "2.73 TiB");
  EXPECT_EQ(FormatBytes(1e30), "888178419700125 PiB");
}

TEST(Units, Times) {
  EXPECT_EQ(FormatMicroseconds(850), "850 µs");
  EXPECT_EQ(FormatMicroseconds(1540), "1.54 ms");
  EXPECT_EQ(FormatMicroseconds(25000), "25.0 ms");
  EXPECT_EQ(FormatMicroseconds(2.5e6), "2.50 s");
  EXPECT_EQ(FormatMicroseconds(3723e6), "62.0 min");
  EXPECT_EQ(FormatMicroseconds(94000e6), "26.1 h");
}

TEST(Units, Shares) {
  EXPECT_EQ(FormatShare(0, 0), "-");
  EXPECT_EQ(FormatShare(1, 3), "33.3 %");
  EXPECT_EQ(FormatShare(7, 7), "100.0 %");
}

TEST(Units, Ids) {
  v1::Id id;
  EXPECT_EQ(ShortId(id), "-");
  id.set_low(1);
  EXPECT_EQ(ShortId(id), "00000000");
  id.set_high(0x0a1b2c3d4e5f6071);
  EXPECT_EQ(ShortId(id), "0a1b2c3d");
}

TEST(Units, EnumWords) {
  EXPECT_EQ(EnumWord("SCHEDULE_HASH_CYCLE", "SCHEDULE_"), "hash_cycle");
  EXPECT_EQ(EnumWord("", "SCHEDULE_"), "");
}

TEST(Units, MedianLiesInsideItsBucket) {
  v1::Histogram histogram;
  EXPECT_EQ(Median(histogram), 0);
  EXPECT_EQ(Mean(histogram), 0);
  for (int count : {1, 0, 2, 1}) histogram.add_buckets(count);  // [0,2) [2,4) [4,8) [8,16)
  histogram.set_count(4);
  histogram.set_sum(22);
  EXPECT_EQ(Median(histogram), 6);  // the second of four: half way through [4, 8)
  EXPECT_EQ(Mean(histogram), 5.5);
}

}  // namespace
}  // namespace weightmesh::ctl
