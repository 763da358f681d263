// Commands, mix results and scalars out of a page that anyone may have scribbled on.
#include "daemon/mem/command_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <limits>
#include <thread>

#include "tests/mem/test_arena.h"

namespace weightmesh {
namespace {

using control_page::CommandKind;
using control_page::kCommandsMax;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

constexpr AttachId kAttach{17};

class CommandReaderTest : public testing::Test {
 protected:
  absl::Status Drain() {
    return reader_.Drain([this](const Event& event) {
      if (const auto* published = std::get_if<Published>(&event)) {
        EXPECT_EQ(published->attach, kAttach);
        seen_.push_back("publish " + std::to_string(Value(published->round)) + " in " +
                        std::to_string(Value(published->slot)));
      } else if (const auto* skipped = std::get_if<PublishSkipped>(&event)) {
        EXPECT_EQ(skipped->attach, kAttach);
        seen_.push_back("skip " + std::to_string(Value(skipped->round)));
      } else if (const auto* collect = std::get_if<CollectRequested>(&event)) {
        EXPECT_EQ(collect->attach, kAttach);
        seen_.push_back("collect " + std::to_string(Value(collect->round)));
      } else if (const auto* mixed = std::get_if<Mixed>(&event)) {
        EXPECT_EQ(mixed->attach, kAttach);
        seen_.push_back("mixed " + std::to_string(Value(mixed->round)));
        results_.assign(mixed->segments.begin(), mixed->segments.end());
      } else if (const auto* caught_up = std::get_if<CaughtUp>(&event)) {
        EXPECT_EQ(caught_up->attach, kAttach);
        seen_.push_back("caught up");
      } else if (const auto* wish = std::get_if<AgreementWanted>(&event)) {
        EXPECT_EQ(wish->attach, kAttach);
        seen_.push_back((wish->first ? "first agree " : "agree ") + std::to_string(wish->distance) +
                        " in " + std::to_string(Value(wish->round)));
      } else {
        ADD_FAILURE() << "an event that no trainer can cause";
      }
    });
  }

  void PostAgree(uint64_t round, double distance, uint32_t first) {
    const uint64_t posted = arena_.page().commands_posted.load();
    arena_.Post(CommandKind::kAgree, round, first);
    arena_.page().commands[posted % kCommandsMax].distance_bits = std::bit_cast<uint64_t>(distance);
  }

  // Delivers the first two of the three segments in `round`.
  void DeliverTwo(uint64_t round) {
    FrozenSegment delivered;
    delivered.delivered = true;
    reader_.ExpectMixed(Round{round}, {delivered, delivered, FrozenSegment{}});
  }

  TestArena arena_;
  CommandReader reader_{kAttach, arena_.get()};
  std::vector<std::string> seen_;
  std::vector<MixedSegmentResult> results_;
};

TEST_F(CommandReaderTest, AnAgreementIsWithinADistanceThatCanBe) {
  PostAgree(3, 0.5, 1);
  PostAgree(4, 0, 0);
  PostAgree(5, INFINITY, 0);
  EXPECT_TRUE(Drain().ok());
  EXPECT_THAT(seen_,
              ElementsAre("first agree 0.500000 in 3", "agree 0.000000 in 4", "agree inf in 5"));
  PostAgree(6, -0.5, 0);
  PostAgree(6, NAN, 0);
  PostAgree(6, 0.5, 2);
  EXPECT_TRUE(Drain().ok());
  EXPECT_EQ(seen_.size(), 3u);
  EXPECT_EQ(reader_.commands_dropped(), 3u);
}

TEST_F(CommandReaderTest, GivesEachCommandOnceInOrder) {
  EXPECT_TRUE(Drain().ok());
  EXPECT_THAT(seen_, IsEmpty());
  arena_.Post(CommandKind::kPublish, 1, 2);
  arena_.Post(CommandKind::kCollect, 1);
  EXPECT_TRUE(Drain().ok());
  arena_.Post(CommandKind::kMixed, 1);
  arena_.Post(CommandKind::kSkip, 2);
  EXPECT_TRUE(Drain().ok());
  EXPECT_TRUE(Drain().ok());
  EXPECT_THAT(seen_, ElementsAre("publish 1 in 2", "collect 1", "mixed 1", "skip 2"));
  EXPECT_EQ(arena_.page().commands_taken, 4u);
  EXPECT_EQ(reader_.commands_dropped(), 0u);
}

TEST_F(CommandReaderTest, TakesAFullRingAndGoesRoundIt) {
  for (uint64_t lap = 0; lap < 3; ++lap) {
    seen_.clear();
    for (uint64_t i = 1; i <= kCommandsMax; ++i) arena_.Post(CommandKind::kSkip, lap * 100 + i);
    EXPECT_TRUE(Drain().ok());
    ASSERT_EQ(seen_.size(), kCommandsMax);
    EXPECT_EQ(seen_.back(), "skip " + std::to_string(lap * 100 + kCommandsMax));
  }
}

TEST_F(CommandReaderTest, EndsWhenTheCountIsOverwritten) {
  arena_.Post(CommandKind::kSkip, 1);
  EXPECT_TRUE(Drain().ok());
  for (const uint64_t posted : {uint64_t{0}, uint64_t{2 + kCommandsMax}, UINT64_MAX}) {
    arena_.page().commands_posted = posted;
    const absl::Status status = Drain();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
    EXPECT_THAT(std::string(status.message()), HasSubstr("overwritten"));
  }
  arena_.page().commands_posted = 2;  // plausible again, but nobody knows what else was hit
  EXPECT_EQ(Drain().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(seen_, ElementsAre("skip 1"));
}

TEST_F(CommandReaderTest, CountsForItselfWhatItTook) {
  arena_.Post(CommandKind::kSkip, 1);
  EXPECT_TRUE(Drain().ok());
  arena_.page().commands_taken = 0;  // scribbled by the trainer
  arena_.Post(CommandKind::kSkip, 2);
  EXPECT_TRUE(Drain().ok());
  EXPECT_THAT(seen_, ElementsAre("skip 1", "skip 2"));
}

TEST_F(CommandReaderTest, DropsCommandsThatMakeNoSense) {
  arena_.Post(CommandKind{0}, 1);
  arena_.Post(CommandKind{7}, 1);
  arena_.Post(CommandKind{UINT32_MAX}, 1);
  arena_.Post(CommandKind::kPublish, 1, 3);  // there are slots 0 to 2
  arena_.Post(CommandKind::kPublish, 1, UINT32_MAX);
  arena_.Post(CommandKind::kPublish, 0, 1);        // round 0 is none
  arena_.Post(CommandKind::kCollect, UINT64_MAX);  // fits into no slot word
  arena_.Post(CommandKind::kPublish, 9, 1);
  EXPECT_TRUE(Drain().ok());
  EXPECT_THAT(seen_, ElementsAre("publish 9 in 1"));
  EXPECT_EQ(reader_.commands_dropped(), 7u);
}

TEST_F(CommandReaderTest, ReadsResultsOfDeliveredSegmentsOnly) {
  DeliverTwo(4);
  arena_.mixed(0) = {static_cast<uint32_t>(Outcome::kArrived), 0, 1.5};
  arena_.mixed(1) = {static_cast<uint32_t>(Outcome::kRefused), 0, 0};
  arena_.mixed(2) = {static_cast<uint32_t>(Outcome::kArrived), 0, 9.0};  // was not delivered
  arena_.Post(CommandKind::kMixed, 4);
  EXPECT_TRUE(Drain().ok());
  ASSERT_EQ(results_.size(), 3u);
  EXPECT_EQ(results_[0].outcome, Outcome::kArrived);
  EXPECT_EQ(results_[0].difference_squared, 1.5);
  EXPECT_EQ(results_[1].outcome, Outcome::kRefused);
  EXPECT_EQ(results_[2].outcome, Outcome::kNone);
  EXPECT_EQ(results_[2].difference_squared, 0);
}

TEST_F(CommandReaderTest, HasNoResultsOfAnotherRound) {
  DeliverTwo(4);
  arena_.mixed(0) = {static_cast<uint32_t>(Outcome::kArrived), 0, 1.5};
  arena_.Post(CommandKind::kMixed, 3);
  EXPECT_TRUE(Drain().ok());
  ASSERT_EQ(results_.size(), 3u);
  for (const MixedSegmentResult& result : results_) EXPECT_EQ(result.outcome, Outcome::kNone);
}

TEST_F(CommandReaderTest, SanitisesResults) {
  DeliverTwo(4);
  const struct {
    uint32_t outcome;
    double difference;
  } rows[] = {{static_cast<uint32_t>(Outcome::kNone), -1.0},
              {static_cast<uint32_t>(Outcome::kLate), std::numeric_limits<double>::quiet_NaN()},
              {4711, std::numeric_limits<double>::infinity()},
              {UINT32_MAX, -std::numeric_limits<double>::infinity()}};
  for (const auto& row : rows) {
    arena_.mixed(0) = {row.outcome, 0, row.difference};
    arena_.Post(CommandKind::kMixed, 4);
    EXPECT_TRUE(Drain().ok());
    EXPECT_EQ(results_[0].outcome, Outcome::kCorrupt);
    EXPECT_EQ(results_[0].difference_squared, 0);
  }
}

TEST_F(CommandReaderTest, ListsScalars) {
  EXPECT_THAT(reader_.Scalars(), IsEmpty());
  control_page::ControlPage& page = arena_.page();
  std::strcpy(page.scalars[0].name, "loss");
  page.scalars[0].value_bits = std::bit_cast<uint64_t>(2.25);
  std::strcpy(page.scalars[1].name, "learning rate");
  page.scalars[1].value_bits = std::bit_cast<uint64_t>(-0.5);
  page.scalar_count = 2;
  EXPECT_THAT(reader_.Scalars(), ElementsAre(Pair("loss", 2.25), Pair("learning rate", -0.5)));
}

TEST_F(CommandReaderTest, LeavesOutScalarsWithBadNames) {
  control_page::ControlPage& page = arena_.page();
  std::memset(page.scalars[0].name, 'x', sizeof page.scalars[0].name);  // no NUL
  std::strcpy(page.scalars[1].name, "");
  std::strcpy(page.scalars[2].name, "a\nb");
  std::strcpy(page.scalars[3].name, "\xff");
  std::strcpy(page.scalars[4].name, "good");
  std::strcpy(page.scalars[15].name, "last");
  page.scalar_count = UINT64_MAX;
  EXPECT_THAT(reader_.Scalars(), ElementsAre(Pair("good", 0.0), Pair("last", 0.0)));
}

TEST_F(CommandReaderTest, TakesFromATrainerThatPostsMeanwhile) {
  constexpr uint64_t kCount = 10'000;
  std::thread trainer([this] {
    for (uint64_t i = 1; i <= kCount; ++i) {
      while (i - 1 - arena_.page().commands_taken.load(std::memory_order_acquire) >= kCommandsMax) {
        std::this_thread::yield();
      }
      arena_.Post(CommandKind::kPublish, i, i % 3);
    }
  });
  uint64_t expected = 1;
  while (expected <= kCount) {
    const absl::Status drained = reader_.Drain([&](const Event& event) {
      const auto& published = std::get<Published>(event);
      EXPECT_EQ(Value(published.round), expected);
      EXPECT_EQ(Value(published.slot), expected % 3);
      ++expected;
    });
    ASSERT_TRUE(drained.ok()) << drained;
    std::this_thread::yield();
  }
  trainer.join();
}

}  // namespace
}  // namespace weightmesh
