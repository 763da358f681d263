// What a watcher gets that reads at once, late, or hardly at all.
#include "daemon/control/event_log.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace weightmesh {
namespace {

EventBody Body(const std::string& text) { return std::make_shared<const std::string>(text); }

TEST(EventLog, BeginsWithAFullStateAndGoesOnWithChanges) {
  EventLog log(4, 1000);
  log.Append(Body("before it came"));
  EventPlace place;
  std::optional<NextEvent> next = log.Next(&place);
  ASSERT_TRUE(next.has_value());
  EXPECT_EQ(next->sequence, 1u);
  EXPECT_EQ(next->change, nullptr);
  EXPECT_FALSE(log.Next(&place).has_value());
  log.Append(Body("a"));
  log.Append(Body("b"));
  for (const std::string expected : {"a", "b"}) {
    next = log.Next(&place);
    ASSERT_TRUE(next.has_value() && next->change != nullptr);
    EXPECT_EQ(*next->change, expected);
    EXPECT_EQ(next->events_lost, 0u);
  }
  EXPECT_EQ(next->sequence, 3u);
  EXPECT_FALSE(log.Next(&place).has_value());
}

TEST(EventLog, AllThatFitsIsNotLost) {
  EventLog log(4, 1000);
  EventPlace place;
  log.Next(&place);
  for (int k = 0; k < 4; ++k) log.Append(Body(std::to_string(k)));
  for (int k = 0; k < 4; ++k) EXPECT_EQ(*log.Next(&place)->change, std::to_string(k));
}

TEST(EventLog, OneTooManyIsALossAndGivesTheFullState) {
  EventLog log(4, 1000);
  EventPlace place;
  log.Next(&place);
  for (int k = 0; k < 5; ++k) log.Append(Body(std::to_string(k)));
  std::optional<NextEvent> next = log.Next(&place);
  ASSERT_TRUE(next.has_value());
  EXPECT_EQ(next->change, nullptr);
  EXPECT_EQ(next->events_lost, 5u);
  EXPECT_EQ(next->sequence, 7u);  // 1, five lost ones, this one
  EXPECT_FALSE(log.Next(&place).has_value());
  log.Append(Body("after"));
  next = log.Next(&place);
  EXPECT_EQ(*next->change, "after");
  EXPECT_EQ(next->sequence, 8u);
  EXPECT_EQ(next->events_lost, 0u);
}

TEST(EventLog, BytesAreLimitedAndTheNewestStays) {
  EventLog log(100, 10);
  EventPlace slow;
  EventPlace quick;
  log.Next(&slow);
  log.Next(&quick);
  const EventBody big = Body(std::string(50, 'x'));
  log.Append(big);
  EXPECT_EQ(log.Next(&quick)->change, big);
  EXPECT_EQ(big.use_count(), 2);
  log.Append(Body("12345"));
  EXPECT_EQ(big.use_count(), 1) << "the log must have dropped it";
  log.Append(Body("67890"));
  EXPECT_EQ(*log.Next(&quick)->change, "12345");
  EXPECT_EQ(log.Next(&slow)->events_lost, 3u);
}

// Any pace: numbers have no gap but the lost ones, and what is not lost comes in order.
TEST(EventLog, LostAndReadAddUp) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE(seed);
  std::mt19937 random(seed);
  EventLog log(8, 64);
  EventPlace place;
  uint64_t appended = 0;
  uint64_t known = 0;     // the newest event that the watcher's state includes
  uint64_t sequence = 0;  // of the last one that it got
  uint64_t lost = 0;
  for (int step = 0; step < 20000; ++step) {
    if (random() % 3 != 0) {
      log.Append(Body(std::to_string(++appended)));
      continue;
    }
    for (uint32_t reads = random() % 12; reads > 0; --reads) {
      const std::optional<NextEvent> next = log.Next(&place);
      if (!next.has_value()) {
        ASSERT_EQ(known, appended);
        break;
      }
      ASSERT_EQ(next->sequence, sequence + next->events_lost + 1);
      sequence = next->sequence;
      lost += next->events_lost;
      if (next->change != nullptr) {
        ASSERT_EQ(*next->change, std::to_string(known + 1));
        ++known;
      } else {
        ASSERT_TRUE(next->events_lost > 0 || sequence == 1);
        known = appended;
      }
    }
  }
  EXPECT_GT(lost, 0u);
}

}  // namespace
}  // namespace weightmesh
