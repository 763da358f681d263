// The newest events, in order, and what is told of those that are gone.
#include "daemon/runtime/journal.h"

#include <gtest/gtest.h>

#include <string>

namespace weightmesh {
namespace {

TEST(Journal, TellsWhatIsNewSinceTheLastTime) {
  Journal journal;
  EXPECT_TRUE(journal.After(0).events.empty());
  EXPECT_EQ(journal.After(0).last_sequence, 0u);
  const absl::Time now = absl::FromUnixSeconds(1000);
  journal.Add(now, false, "a came");
  journal.Add(now, true, "b died");
  const EventsReport all = journal.After(0);
  ASSERT_EQ(all.events.size(), 2u);
  EXPECT_EQ(all.events[0].sequence, 1u);
  EXPECT_EQ(all.events[0].at, now);
  EXPECT_FALSE(all.events[0].warning);
  EXPECT_EQ(all.events[1].text, "b died");
  EXPECT_TRUE(all.events[1].warning);
  EXPECT_EQ(all.lost, 0u);
  EXPECT_EQ(journal.After(1).events.size(), 1u);
  EXPECT_TRUE(journal.After(2).events.empty());
  EXPECT_TRUE(journal.After(99).events.empty()) << "of a process before";
  EXPECT_EQ(journal.After(99).lost, 0u);
}

TEST(Journal, KeepsTheNewestAndCountsTheOthers) {
  Journal journal;
  for (size_t k = 0; k < Journal::kEventsKept + 5; ++k) {
    journal.Add(absl::UnixEpoch(), false, std::string(5000, 'x'));
  }
  const EventsReport all = journal.After(0);
  ASSERT_EQ(all.events.size(), Journal::kEventsKept);
  EXPECT_EQ(all.events[0].sequence, 6u);
  EXPECT_EQ(all.events[0].text.size(), Journal::kTextBytesMax);
  EXPECT_EQ(all.lost, 5u);
  EXPECT_EQ(journal.After(3).lost, 2u);
  EXPECT_EQ(journal.After(5).lost, 0u);
}

}  // namespace
}  // namespace weightmesh
