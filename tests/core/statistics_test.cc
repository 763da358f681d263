// The counters: buckets of a histogram, and a link's busy time.
#include "daemon/core/statistics.h"

#include <gtest/gtest.h>

#include <limits>

namespace weightmesh {
namespace {

TEST(Histogram, CountsByPowerOfTwo) {
  Histogram histogram;
  for (uint64_t value : {0, 1, 2, 3, 4, 1023, 1024}) histogram.Add(value);
  EXPECT_EQ(histogram.buckets[0], 2u);
  EXPECT_EQ(histogram.buckets[1], 2u);
  EXPECT_EQ(histogram.buckets[2], 1u);
  EXPECT_EQ(histogram.buckets[9], 1u);
  EXPECT_EQ(histogram.buckets[10], 1u);
  EXPECT_EQ(histogram.count, 7u);
  EXPECT_EQ(histogram.sum, 2057u);
}

TEST(Histogram, TakesWhatIsBeyondItsLastBucket) {
  Histogram histogram;
  histogram.Add(std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(histogram.buckets.back(), 1u);
}

// Pulls that overlap are busy time once; time without any is none.
TEST(LinkStatistics, IsBusyWhileAnyPullIsOpen) {
  const auto at = [](int us) { return absl::UnixEpoch() + absl::Microseconds(us); };
  LinkStatistics link;
  link.PullOpened(at(10));
  link.PullOpened(at(20));
  link.PullClosed(at(30));
  EXPECT_EQ(link.busy_us, 0u);
  link.PullClosed(at(50));
  EXPECT_EQ(link.busy_us, 40u);
  link.PullOpened(at(100));
  link.PullClosed(at(105));
  EXPECT_EQ(link.busy_us, 45u);
}

}  // namespace
}  // namespace weightmesh
