// A trainer's port, with a trainer that maps the arena through the descriptors it is given.
#include "daemon/runtime/trainer_port.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <string>

#include "cuda/host_device.h"

namespace weightmesh {
namespace {

using control_page::CommandKind;
using control_page::SlotState;
using control_page::SlotWord;
using ::testing::HasSubstr;

bool IsRung(int doorbell) {
  pollfd poll{.fd = doorbell, .events = POLLIN, .revents = 0};
  return ::poll(&poll, 1, 0) == 1;
}

class TrainerPortTest : public testing::Test {
 protected:
  TrainerPortTest() {
    auto made = TrainerPort::Create(AttachId{9}, spec_, &device_, &budget_);
    EXPECT_TRUE(made.ok()) << made.status();
    port_ = *std::move(made);
    const attach::AttachReply reply = port_->MakeReply(ReplicaId{1, 2});
    arena_bytes_ = reply.arena_bytes;
    void* mapped = ::mmap(nullptr, arena_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED,
                          port_->descriptors()[attach::kArenaDescriptor], 0);
    EXPECT_NE(mapped, MAP_FAILED);
    page_ = static_cast<control_page::ControlPage*>(mapped);
  }
  ~TrainerPortTest() override { ::munmap(page_, arena_bytes_); }

  // Posts from the trainer's own mapping, and rings.
  void Post(CommandKind kind, uint64_t round, uint32_t slot = 0) {
    const uint64_t posted = page_->commands_posted.load();
    page_->commands[posted % control_page::kCommandsMax] = {round, static_cast<uint32_t>(kind),
                                                            slot, 0, 0};
    page_->commands_posted.store(posted + 1, std::memory_order_release);
    const uint64_t one = 1;
    EXPECT_EQ(::write(port_->descriptors()[attach::kDaemonDoorbellDescriptor], &one, sizeof one),
              ssize_t{sizeof one});
  }

  const ArenaSpec spec_{{0, 10, 20}, WireFormat::kFp32, 3};
  HostDevice device_;
  ArenaBudget budget_{{uint64_t{1} << 30, "the test"}};
  std::unique_ptr<TrainerPort> port_;
  control_page::ControlPage* page_ = nullptr;
  uint64_t arena_bytes_ = 0;
};

TEST_F(TrainerPortTest, RepliesWhatTheTrainerNeedsToFindItsWay) {
  const attach::AttachReply reply = port_->MakeReply(ReplicaId{1, 2});
  EXPECT_EQ(reply.code, attach::ReplyCode::kOk);
  EXPECT_EQ(reply.replica_high, 1u);
  EXPECT_EQ(reply.replica_low, 2u);
  const ArenaLayout layout =
      MakeArenaLayout(spec_.bounds, spec_.wire, spec_.slots, reply.control_bytes);
  EXPECT_EQ(layout.arena_bytes, reply.arena_bytes);
  EXPECT_EQ(page_->magic, control_page::kMagic);
}

TEST_F(TrainerPortTest, TurnsADoorbellIntoEvents) {
  EXPECT_FALSE(IsRung(port_->daemon_doorbell()));
  Post(CommandKind::kPublish, 1, 2);
  Post(CommandKind::kCollect, 1);
  EXPECT_TRUE(IsRung(port_->daemon_doorbell()));
  std::vector<size_t> kinds;
  ASSERT_TRUE(port_->OnDoorbell([&](const Event& event) { kinds.push_back(event.index()); }).ok());
  EXPECT_EQ(kinds,
            (std::vector<size_t>{Event(Published()).index(), Event(CollectRequested()).index()}));
  EXPECT_FALSE(IsRung(port_->daemon_doorbell()));
  ASSERT_TRUE(port_->OnDoorbell([](const Event&) { ADD_FAILURE(); }).ok());
}

TEST_F(TrainerPortTest, DeliversTableThenRoundThenRing) {
  const int doorbell = port_->descriptors()[attach::kTrainerDoorbellDescriptor];
  EXPECT_FALSE(IsRung(doorbell));
  const std::vector<FrozenSegment> rows = {
      {true, Outcome::kNone, 1, Round{4}, ReplicaId{5, 6}},
      {false, Outcome::kGone, 0, kNoRound, ReplicaId()},
  };
  port_->Deliver({AttachId{9}, Round{4}, rows});
  EXPECT_TRUE(IsRung(doorbell));
  EXPECT_EQ(page_->collected_round, 4u);
  const auto* table = reinterpret_cast<const control_page::CollectedSegment*>(
      reinterpret_cast<const char*>(page_) + control_page::CollectedOffset());
  EXPECT_EQ(table[0].delivered, 1u);
  EXPECT_EQ(table[0].buffer, 1u);
  EXPECT_EQ(table[0].source_low, 6u);
  EXPECT_EQ(table[1].delivered, 0u);
  EXPECT_EQ(table[1].outcome, static_cast<uint32_t>(Outcome::kGone));

  auto* mixed = reinterpret_cast<control_page::MixedSegment*>(reinterpret_cast<char*>(page_) +
                                                              control_page::MixedOffset(2));
  mixed[0] = {static_cast<uint32_t>(Outcome::kArrived), 0, 0.5};
  mixed[1] = {static_cast<uint32_t>(Outcome::kArrived), 0, 0.5};
  Post(CommandKind::kMixed, 4);
  ASSERT_TRUE(port_
                  ->OnDoorbell([](const Event& event) {
                    const auto& result = std::get<Mixed>(event);
                    EXPECT_EQ(result.round, Round{4});
                    ASSERT_EQ(result.segments.size(), 2u);
                    EXPECT_EQ(result.segments[0].outcome, Outcome::kArrived);
                    EXPECT_EQ(result.segments[0].difference_squared, 0.5);
                    EXPECT_EQ(result.segments[1].outcome, Outcome::kNone);
                  })
                  .ok());
}

TEST_F(TrainerPortTest, RingsATrainerThatWaitsForASlot) {
  const int doorbell = port_->descriptors()[attach::kTrainerDoorbellDescriptor];
  page_->slot_words[1] = SlotWord(3, SlotState::kReadable);
  EXPECT_TRUE(port_->Hold(SlotId{1}, Round{3}));
  port_->Release(SlotId{1}, Round{3});
  EXPECT_FALSE(IsRung(doorbell));
  page_->slot_wanted = 1;
  EXPECT_TRUE(port_->Hold(SlotId{1}, Round{3}));
  port_->Release(SlotId{1}, Round{3});
  EXPECT_TRUE(IsRung(doorbell));
  EXPECT_EQ(page_->slot_words[1], SlotWord(3, SlotState::kReadable));
  EXPECT_EQ(port_->slot_words_scribbled(), 0u);
}

TEST_F(TrainerPortTest, NeverWaitsForATrainerThatDoesNotListen) {
  const int doorbell = port_->descriptors()[attach::kTrainerDoorbellDescriptor];
  const uint64_t full = UINT64_MAX - 1;
  ASSERT_EQ(::write(doorbell, &full, sizeof full), ssize_t{sizeof full});
  port_->RingTrainer();
  EXPECT_TRUE(IsRung(doorbell));
}

TEST_F(TrainerPortTest, AScribbledRingIsAnError) {
  page_->commands_posted = 1'000'000;
  const absl::Status status = port_->OnDoorbell([](const Event&) { ADD_FAILURE(); });
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_FALSE(IsRung(port_->daemon_doorbell()));
}

TEST_F(TrainerPortTest, ATrainerCannotShrinkTheArena) {
  EXPECT_NE(::ftruncate(port_->descriptors()[attach::kArenaDescriptor], 0), 0);
  EXPECT_EQ(errno, EPERM);
}

TEST_F(TrainerPortTest, ReturnsItsBytesAndLeavesTheTrainersMapping) {
  EXPECT_EQ(budget_.taken(), arena_bytes_);
  port_.reset();
  EXPECT_EQ(budget_.taken(), 0u);
  EXPECT_EQ(page_->magic, control_page::kMagic);
}

TEST_F(TrainerPortTest, ReturnsItsBytesWhenDescriptorsRunOut) {
  const uint64_t before_taken = budget_.taken();
  // Room for one more descriptor: the arena, but not the doorbells.
  const int next = ::dup(0);
  ::close(next);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit one_more{static_cast<rlim_t>(next) + 1, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &one_more), 0);
  const absl::Status status = TrainerPort::Create(AttachId{10}, spec_, &device_, &budget_).status();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("open files"));
  EXPECT_EQ(budget_.taken(), before_taken);
}

}  // namespace
}  // namespace weightmesh
