// The daemon's words of the page.
#include "daemon/mem/page_writer.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/mem/test_arena.h"

namespace weightmesh {
namespace {

TEST(PageWriterTest, WritesTheWords) {
  TestArena arena;
  PageWriter writer(arena.get());
  UpdatePage update;
  update.next_round = Round{5};
  update.newest_round = Round{9};
  update.view_replicas = 8;
  update.publish_wait = absl::Milliseconds(20) + absl::Nanoseconds(1);
  update.collect_wait = absl::Seconds(5);
  writer.Update(update);
  const control_page::ControlPage& page = arena.page();
  EXPECT_EQ(page.next_round, 5u);
  EXPECT_EQ(page.mesh_newest_round, 9u);
  EXPECT_EQ(page.view_replicas, 8u);
  EXPECT_EQ(page.publish_wait_us, 20'001u);
  EXPECT_EQ(page.collect_wait_us, 5'000'000u);
}

TEST(PageWriterTest, NeverWritesANegativeWait) {
  TestArena arena;
  PageWriter writer(arena.get());
  UpdatePage update;
  update.publish_wait = -absl::Seconds(1);
  writer.Update(update);
  EXPECT_EQ(arena.page().publish_wait_us, 0u);
}

TEST(PageWriterTest, ATrainerThatSeesTheRoundSeesItsTable) {
  TestArena arena;
  PageWriter writer(arena.get());
  constexpr uint64_t kRounds = 1000;
  std::atomic<uint64_t> mixed{0};
  std::thread trainer([&] {
    for (uint64_t round = 1; round <= kRounds; ++round) {
      while (arena.page().collected_round.load(std::memory_order_acquire) != round) {
        std::this_thread::yield();
      }
      for (const control_page::CollectedSegment& row : arena->collected()) {
        EXPECT_EQ(row.source_round, round);
        EXPECT_EQ(row.delivered, round % 2);
        EXPECT_EQ(row.outcome, static_cast<uint32_t>(Outcome::kLate));
        EXPECT_EQ(row.buffer, round % 2);
        EXPECT_EQ(row.source_high, 3u);
        EXPECT_EQ(row.source_low, 4u);
      }
      mixed.store(round, std::memory_order_release);
    }
  });
  for (uint64_t round = 1; round <= kRounds; ++round) {
    while (mixed.load(std::memory_order_acquire) != round - 1) std::this_thread::yield();
    FrozenSegment frozen;
    frozen.delivered = round % 2 == 1;
    frozen.outcome = Outcome::kLate;
    frozen.buffer = static_cast<uint32_t>(round % 2);
    frozen.source_round = Round{round};
    frozen.source = {3, 4};
    writer.WriteCollected(Round{round}, std::vector<FrozenSegment>(3, frozen));
  }
  trainer.join();
}

}  // namespace
}  // namespace weightmesh
