// Arenas: layout, first values, and the accounting of their bytes.
#include "daemon/mem/arena.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/status/status.h"
#include "cuda/host_device.h"

namespace weightmesh {
namespace {

using ::testing::HasSubstr;

constexpr uint64_t kPlenty = uint64_t{1} << 30;

// A device that is always out of memory.
class EmptyDevice : public HostDevice {
 public:
  absl::StatusOr<std::unique_ptr<DeviceMemory>> Allocate(uint64_t) override {
    return absl::ResourceExhaustedError("out of memory");
  }
};

TEST(ArenaTest, IsLaidOutAsTheContractSays) {
  HostDevice device;
  ArenaBudget budget({kPlenty, "the test"});
  const std::vector<uint64_t> bounds = {0, 100'000, 100'001, 250'000};
  const auto arena = Arena::Create({bounds, WireFormat::kBf16, 4}, &device, &budget);
  ASSERT_TRUE(arena.ok()) << arena.status();
  const ArenaLayout expected =
      MakeArenaLayout(bounds, WireFormat::kBf16, 4, control_page::ControlPageBytes(3));
  EXPECT_EQ((*arena)->control_bytes(), control_page::ControlPageBytes(3));
  EXPECT_EQ((*arena)->bytes().size(), expected.arena_bytes);
  EXPECT_EQ(budget.taken(), expected.arena_bytes);
  std::byte* const base = (*arena)->bytes().data();
  for (uint32_t segment = 0; segment < 3; ++segment) {
    const SegmentPlace& place = expected.segments[segment];
    for (uint32_t slot = 0; slot < 4; ++slot) {
      const auto span = (*arena)->SlotSegment(SlotId{slot}, SegmentId{segment});
      EXPECT_EQ(span.data(), base + expected.SlotOffset(slot) + place.offset);
      EXPECT_EQ(span.size(), place.total_bytes);
    }
    for (uint32_t buffer = 0; buffer < kInboxBuffers; ++buffer) {
      const auto span = (*arena)->InboxSegment(buffer, SegmentId{segment});
      EXPECT_EQ(span.data(), base + expected.InboxOffset(buffer) + place.offset);
      EXPECT_EQ(span.size(), place.total_bytes);
      EXPECT_LE(span.data() + span.size(), base + expected.arena_bytes);
    }
  }
}

TEST(ArenaTest, BeginsWithAPageThatSaysWhatItIs) {
  HostDevice device;
  ArenaBudget budget({kPlenty, "the test"});
  const auto arena = Arena::Create({{0, 5, 9}, WireFormat::kFp32, 3}, &device, &budget);
  ASSERT_TRUE(arena.ok()) << arena.status();
  const control_page::ControlPage& page = *(*arena)->page();
  EXPECT_EQ(page.magic, control_page::kMagic);
  EXPECT_EQ(page.version, control_page::kVersion);
  EXPECT_EQ(page.segments, 2u);
  EXPECT_EQ(page.slots, 3u);
  EXPECT_EQ(page.page_bytes, control_page::ControlPageBytes(2));
  for (uint32_t slot = 0; slot < 3; ++slot) {
    EXPECT_EQ(page.slot_words[slot].load(),
              control_page::SlotWord(0, control_page::SlotState::kReadable));
  }
  EXPECT_EQ(page.slot_words[3].load(), 0u);
  EXPECT_EQ(page.commands_posted.load(), 0u);
  EXPECT_EQ(page.collected_round.load(), 0u);
}

TEST(ArenaTest, ReturnsItsBytesToTheBudget) {
  HostDevice device;
  ArenaBudget budget({kPlenty, "the test"});
  auto arena = Arena::Create({{0, 5}, WireFormat::kFp32, 2}, &device, &budget);
  ASSERT_TRUE(arena.ok()) << arena.status();
  EXPECT_GT(budget.taken(), 0u);
  arena->reset();
  EXPECT_EQ(budget.taken(), 0u);
}

TEST(ArenaTest, IsNotAllocatedBeyondTheBudget) {
  HostDevice device;
  ArenaBudget budget({4096, "the test"});
  const absl::Status status =
      Arena::Create({{0, 5}, WireFormat::kFp32, 2}, &device, &budget).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("arena_bytes_max"));
  EXPECT_EQ(budget.taken(), 0u);
}

TEST(ArenaTest, ReturnsItsBytesWhenTheDeviceHasNoMemory) {
  EmptyDevice device;
  ArenaBudget budget({kPlenty, "the test"});
  EXPECT_FALSE(Arena::Create({{0, 5}, WireFormat::kFp32, 2}, &device, &budget).ok());
  EXPECT_EQ(budget.taken(), 0u);
}

TEST(ArenaTest, RefusesANumberOfSlotsOutOfRange) {
  HostDevice device;
  ArenaBudget budget({kPlenty, "the test"});
  for (const uint32_t slots : {0u, 1u, control_page::kSlotsMax + 1, UINT32_MAX}) {
    const absl::Status status =
        Arena::Create({{0, 5}, WireFormat::kFp32, slots}, &device, &budget).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << slots;
    EXPECT_THAT(std::string(status.message()), HasSubstr("between 2 and 8"));
  }
  EXPECT_TRUE(Arena::Create({{0, 5}, WireFormat::kFp32, 8}, &device, &budget).ok());
}

}  // namespace
}  // namespace weightmesh
