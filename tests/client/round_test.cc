// Rounds against a fake daemon that plays the control page's protocol: what is mixed, what is
// counted, and that nothing hangs whatever the daemon does.
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <thread>

#include "client/include/weightmesh/weightmesh.h"
#include "client/src/kernels.h"
#include "tests/client/fake_daemon.h"
#include "tests/client/test_model.h"

namespace weightmesh::client {
namespace {

using control_page::Command;
using control_page::CommandKind;
using control_page::SlotState;
using control_page::SlotWord;
using control_page::SlotWordState;

constexpr uint32_t kSegments = 3;

class RoundTest : public testing::Test {
 protected:
  RoundTest() : model_({30'000, 5, 20'001}, 1), peer_(SeededValues(model_.Parameters(), 77)) {
    options_.socket_path = daemon_.socket_path().c_str();
    options_.run_id = "run";
    options_.replica_name = "a";
    options_.segments = kSegments;
    DeliverAll();
  }
  ~RoundTest() override { weightmesh_detach(handle_); }

  void Attach() {
    ASSERT_EQ(weightmesh_attach(&options_, model_.described.data(), model_.Pointers().data(), 3,
                                &handle_),
              WEIGHTMESH_OK)
        << message();
  }
  std::string message() const { return weightmesh_message(handle_); }

  // Every collect delivers `peer_` in all segments.
  void DeliverAll() {
    daemon_.on_collect = [this](uint64_t round) {
      for (uint32_t k = 0; k < kSegments; ++k) daemon_.Deliver(k, round % 2, round, 5, peer_);
      return true;
    };
  }

  weightmesh_status Exchange() {
    result_ = WEIGHTMESH_INIT(weightmesh_round);
    return weightmesh_exchange(handle_, model_.Pointers().data(), 3, &result_);
  }
  weightmesh_status Step() {
    result_ = WEIGHTMESH_INIT(weightmesh_round);
    return weightmesh_step(handle_, model_.Pointers().data(), 3, &result_);
  }

  WireFormat wire() const {
    return options_.wire == WEIGHTMESH_BF16 ? WireFormat::kBf16 : WireFormat::kFp32;
  }

  // `own` with segments [first, last) of peer_ mixed in.
  std::vector<float> Mixed(const std::vector<float>& own, uint32_t first, uint32_t last,
                           float alpha = 0.5f) const {
    const std::vector<uint64_t> bounds = EqualSegmentBounds(own.size(), kSegments);
    std::vector<float> mixed = own;
    for (uint32_t k = first; k < last; ++k) {
      const uint64_t count = bounds[k + 1] - bounds[k];
      std::vector<uint32_t> own_wire(count);
      std::vector<uint32_t> peer_wire(count);
      EncodeWeights(wire(), own.data() + bounds[k], count, own_wire.data());
      EncodeWeights(wire(), peer_.data() + bounds[k], count, peer_wire.data());
      MixWeights(wire(), alpha, peer_wire.data(), own_wire.data(), count, mixed.data() + bounds[k]);
    }
    return mixed;
  }

  std::vector<std::pair<uint32_t, uint64_t>> CommandsSeen() {
    std::vector<std::pair<uint32_t, uint64_t>> seen;
    for (const Command& command : daemon_.Commands())
      seen.emplace_back(command.kind, command.round);
    return seen;
  }

  TestModel model_;
  std::vector<float> peer_;
  FakeDaemon daemon_;
  weightmesh_options options_ = WEIGHTMESH_INIT(weightmesh_options);
  weightmesh_handle* handle_ = nullptr;
  weightmesh_round result_ = WEIGHTMESH_INIT(weightmesh_round);
};

constexpr uint32_t kPublish = static_cast<uint32_t>(CommandKind::kPublish);
constexpr uint32_t kSkip = static_cast<uint32_t>(CommandKind::kSkip);
constexpr uint32_t kCollect = static_cast<uint32_t>(CommandKind::kCollect);
constexpr uint32_t kMixed = static_cast<uint32_t>(CommandKind::kMixed);

using Seen = std::vector<std::pair<uint32_t, uint64_t>>;

TEST_F(RoundTest, ExchangeMixesBitForBitForAnyWireAndThreads) {
  for (const uint32_t wire : {WEIGHTMESH_FP32, WEIGHTMESH_BF16}) {
    for (const uint32_t threads : {1u, 2u, 8u}) {
      options_.wire = wire;
      options_.mix_threads = threads;
      options_.alpha = 0.3;
      Attach();
      for (uint64_t round = 1; round <= 6; ++round) {
        model_.tensors[0][round] += 0.125f;
        const std::vector<float> expected = Mixed(model_.Flat(), 0, kSegments, 0.3f);
        ASSERT_EQ(Exchange(), WEIGHTMESH_OK) << message();
        ASSERT_EQ(model_.Flat(), expected) << "round " << round;
        ASSERT_EQ(result_.round, round);
        ASSERT_EQ(result_.segments, kSegments);
        ASSERT_EQ(result_.published, 1u);
        ASSERT_EQ(result_.pulls[WEIGHTMESH_ARRIVED], kSegments);
        ASSERT_GT(result_.difference_squared, 0);
        double sum = 0;
        for (uint32_t k = 0; k < kSegments; ++k) {
          ASSERT_EQ(daemon_.mixed(k).outcome, static_cast<uint32_t>(Outcome::kArrived));
          sum += daemon_.mixed(k).difference_squared;
        }
        ASSERT_EQ(sum, result_.difference_squared);
      }
      weightmesh_detach(handle_);
      handle_ = nullptr;
      ASSERT_TRUE(daemon_.WaitForHangUp());
    }
  }
}

TEST_F(RoundTest, LockstepHoldsItsSnapshotAndPostsEachCommandOnce) {
  std::vector<SlotState> state_at_publish;
  daemon_.frees_slots = false;
  daemon_.on_command = [&](const Command& command) {
    if (command.kind != kPublish) return;
    state_at_publish.push_back(SlotWordState(daemon_.page().slot_words[command.slot]));
    daemon_.page().slot_words[command.slot] = SlotWord(command.round, SlotState::kReadable);
  };
  Attach();
  for (int round = 0; round < 4; ++round) ASSERT_EQ(Exchange(), WEIGHTMESH_OK) << message();
  ASSERT_EQ(weightmesh_leave(handle_), WEIGHTMESH_OK) << message();
  Seen expected;
  for (uint64_t round = 1; round <= 4; ++round) {
    expected.insert(expected.end(), {{kPublish, round}, {kCollect, round}, {kMixed, round}});
  }
  EXPECT_EQ(CommandsSeen(), expected);
  EXPECT_EQ(state_at_publish, std::vector<SlotState>(4, SlotState::kHeld));
  // Oldest first: the three slots, then the first again.
  std::vector<uint32_t> slots;
  for (const Command& command : daemon_.Commands()) {
    if (command.kind == kPublish) slots.push_back(command.slot);
    EXPECT_EQ(command.elapsed_ns > 0, command.kind == kMixed);
  }
  EXPECT_EQ(slots, (std::vector<uint32_t>{0, 1, 2, 0}));
}

TEST_F(RoundTest, OverlapMixesTheRoundBefore) {
  options_.mode = WEIGHTMESH_OVERLAP;
  std::vector<SlotState> state_at_publish;
  daemon_.frees_slots = false;
  daemon_.on_command = [&](const Command& command) {
    if (command.kind != kPublish) return;
    state_at_publish.push_back(SlotWordState(daemon_.page().slot_words[command.slot]));
  };
  Attach();
  ASSERT_EQ(Step(), WEIGHTMESH_OK) << message();
  EXPECT_EQ(result_.round, 0u);
  EXPECT_EQ(result_.published, 1u);
  std::vector<float> published = model_.Flat();
  for (uint64_t round = 1; round <= 5; ++round) {
    // A local step between publish and mix: the own term stays that of the snapshot.
    std::vector<float> expected = Mixed(published, 0, kSegments);
    for (uint64_t i = 0; i < expected.size(); ++i) expected[i] -= published[i];
    for (float& value : model_.tensors[2]) value += 0.25f;
    const std::vector<float> before = model_.Flat();
    ASSERT_EQ(Step(), WEIGHTMESH_OK) << message();
    EXPECT_EQ(result_.round, round);
    EXPECT_EQ(result_.pulls[WEIGHTMESH_ARRIVED], kSegments);
    published = model_.Flat();
    for (uint64_t i = 0; i < before.size(); ++i) {
      ASSERT_NEAR(published[i] - before[i], expected[i], 1e-5) << i;
    }
  }
  EXPECT_EQ(weightmesh_mix(handle_, model_.Pointers().data(), 3, nullptr), WEIGHTMESH_OK);
  ASSERT_EQ(weightmesh_leave(handle_), WEIGHTMESH_OK);
  Seen expected = {{kPublish, 1}};
  for (uint64_t round = 1; round <= 5; ++round) {
    expected.insert(expected.end(), {{kCollect, round}, {kMixed, round}, {kPublish, round + 1}});
  }
  expected.insert(expected.end(), {{kCollect, 6}, {kMixed, 6}});
  EXPECT_EQ(CommandsSeen(), expected);
  EXPECT_EQ(state_at_publish, std::vector<SlotState>(6, SlotState::kReadable));
}

TEST_F(RoundTest, TheDaemonsNextRoundIsTaken) {
  options_.mode = WEIGHTMESH_OVERLAP;
  options_.start_round = 40;
  daemon_.on_collect = [&](uint64_t) {
    daemon_.page().next_round = 60;
    return true;
  };
  Attach();
  ASSERT_EQ(Step(), WEIGHTMESH_OK);
  ASSERT_EQ(Step(), WEIGHTMESH_OK);
  EXPECT_EQ(result_.round, 41u);
  weightmesh_totals totals = WEIGHTMESH_INIT(weightmesh_totals);
  ASSERT_EQ(weightmesh_stats(handle_, &totals), WEIGHTMESH_OK);
  EXPECT_EQ(totals.last_round, 60u);
}

TEST_F(RoundTest, OutcomesAreCountedAndLeaveTheirSegmentsAlone) {
  daemon_.on_collect = [this](uint64_t round) {
    daemon_.Deliver(0, 1, round, 5, peer_);
    daemon_.SetOutcome(1, WEIGHTMESH_DEAD);
    daemon_.SetOutcome(2, WEIGHTMESH_NONE);
    return true;
  };
  Attach();
  const std::vector<float> expected = Mixed(model_.Flat(), 0, 1);
  ASSERT_EQ(Exchange(), WEIGHTMESH_OK);
  EXPECT_EQ(model_.Flat(), expected);
  EXPECT_EQ(result_.segments, 2u);
  EXPECT_EQ(result_.pulls[WEIGHTMESH_ARRIVED], 1u);
  EXPECT_EQ(result_.pulls[WEIGHTMESH_DEAD], 1u);
}

TEST_F(RoundTest, AloneInTheViewNothingIsDue) {
  daemon_.on_collect = [this](uint64_t) {
    for (uint32_t k = 0; k < kSegments; ++k) daemon_.SetOutcome(k, WEIGHTMESH_NONE);
    return true;
  };
  Attach();
  const std::vector<float> before = model_.Flat();
  ASSERT_EQ(Exchange(), WEIGHTMESH_OK);
  EXPECT_EQ(model_.Flat(), before);
  EXPECT_EQ(result_.segments, 0u);
  EXPECT_EQ(result_.round, 1u);
}

TEST_F(RoundTest, ACorruptBlockKeepsItsValueAndIsReported) {
  daemon_.on_collect = [this](uint64_t round) {
    for (uint32_t k = 0; k < kSegments; ++k) daemon_.Deliver(k, 0, round, 5, peer_);
    daemon_.inbox(0)[daemon_.layout().segments[1].offset + 100] ^= std::byte{4};
    return true;
  };
  Attach();
  const std::vector<float> before = model_.Flat();
  const std::vector<float> all = Mixed(before, 0, kSegments);
  ASSERT_EQ(Exchange(), WEIGHTMESH_OK);
  EXPECT_EQ(result_.pulls[WEIGHTMESH_ARRIVED], 2u);
  EXPECT_EQ(result_.pulls[WEIGHTMESH_CORRUPT], 1u);
  EXPECT_EQ(daemon_.mixed(1).outcome, static_cast<uint32_t>(WEIGHTMESH_CORRUPT));
  EXPECT_EQ(daemon_.mixed(1).blocks_bad, 1u);
  const SegmentPlace& bad = daemon_.layout().segments[1];
  const std::vector<float> after = model_.Flat();
  for (uint64_t i = 0; i < after.size(); ++i) {
    const bool kept = i >= bad.first_parameter &&
                      i < bad.first_parameter + std::min<uint64_t>(kBlockBytes / 4, bad.parameters);
    ASSERT_EQ(after[i], kept ? before[i] : all[i]) << i;
  }
}

TEST_F(RoundTest, ANonFinitePeerIsRefused) {
  peer_[0] = std::numeric_limits<float>::quiet_NaN();
  Attach();
  const std::vector<float> expected = Mixed(model_.Flat(), 1, kSegments);
  ASSERT_EQ(Exchange(), WEIGHTMESH_OK);
  EXPECT_EQ(model_.Flat(), expected);
  EXPECT_EQ(result_.pulls[WEIGHTMESH_PEER_REFUSED], 1u);
  EXPECT_EQ(daemon_.mixed(0).outcome, static_cast<uint32_t>(Outcome::kRefused));
}

TEST_F(RoundTest, AnImpossibleTableMixesNothing) {
  daemon_.on_collect = [this](uint64_t round) {
    daemon_.Deliver(0, 0, round, 5, peer_);
    daemon_.collected(0).buffer = 7;
    daemon_.SetOutcome(1, 1000);
    daemon_.SetOutcome(2, WEIGHTMESH_ARRIVED);
    return true;
  };
  Attach();
  const std::vector<float> before = model_.Flat();
  ASSERT_EQ(Exchange(), WEIGHTMESH_OK);
  EXPECT_EQ(model_.Flat(), before);
  EXPECT_EQ(result_.pulls[WEIGHTMESH_CORRUPT], kSegments);
}

TEST_F(RoundTest, AScribbledSlotWordGivesNoOwnTerm) {
  daemon_.frees_slots = false;
  daemon_.on_collect = [this](uint64_t round) {
    for (uint32_t k = 0; k < kSegments; ++k) daemon_.Deliver(k, 0, round, 5, peer_);
    daemon_.page().slot_words[0] = SlotWord(round + 1, SlotState::kHeld);
    return true;
  };
  Attach();
  const std::vector<float> before = model_.Flat();
  ASSERT_EQ(Exchange(), WEIGHTMESH_OK);
  EXPECT_EQ(model_.Flat(), before);
  EXPECT_EQ(result_.pulls[WEIGHTMESH_CORRUPT], kSegments);
}

// The table speaks for one round; a daemon that has gone on is still writing it.
TEST_F(RoundTest, TheTableOfAnotherRoundIsNotMixed) {
  daemon_.on_collect = [this](uint64_t round) {
    for (uint32_t k = 0; k < kSegments; ++k) daemon_.Deliver(k, 0, round, 5, peer_);
    daemon_.Freeze(round + 1);
    return false;
  };
  Attach();
  const std::vector<float> before = model_.Flat();
  ASSERT_EQ(Exchange(), WEIGHTMESH_OK);
  EXPECT_EQ(model_.Flat(), before);
  EXPECT_EQ(result_.pulls[WEIGHTMESH_LATE], kSegments);
}

TEST_F(RoundTest, ACollectThatTakesTooLongIsAbandoned) {
  daemon_.collect_wait_us = 2000;
  daemon_.on_collect = [](uint64_t) { return false; };
  Attach();
  const std::vector<float> before = model_.Flat();
  for (uint64_t round = 1; round <= 3; ++round) {
    ASSERT_EQ(Exchange(), WEIGHTMESH_OK);
    EXPECT_EQ(result_.round, round);
    EXPECT_EQ(result_.segments, kSegments);
    EXPECT_EQ(result_.pulls[WEIGHTMESH_LATE], kSegments);
    EXPECT_EQ(result_.published, 1u);
  }
  EXPECT_EQ(model_.Flat(), before);
  ASSERT_EQ(weightmesh_leave(handle_), WEIGHTMESH_OK);
  const Seen expected = {{kPublish, 1}, {kCollect, 1}, {kPublish, 2},
                         {kCollect, 2}, {kPublish, 3}, {kCollect, 3}};
  EXPECT_EQ(CommandsSeen(), expected) << "an abandoned round has no kMixed";
}

TEST_F(RoundTest, StaleAndSpuriousRingsDoNotEndAWait) {
  daemon_.on_collect = [this](uint64_t round) {
    for (int ring = 0; ring < 3; ++ring) daemon_.RingTrainer();
    for (uint32_t k = 0; k < kSegments; ++k) daemon_.Deliver(k, 0, round, 5, peer_);
    return true;
  };
  Attach();
  for (uint64_t round = 1; round <= 20; ++round) {
    daemon_.RingTrainer();
    ASSERT_EQ(Exchange(), WEIGHTMESH_OK);
    ASSERT_EQ(result_.pulls[WEIGHTMESH_ARRIVED], kSegments) << round;
  }
}

TEST_F(RoundTest, WithoutAFreeSlotTheRoundIsSkipped) {
  daemon_.frees_slots = false;
  daemon_.publish_wait_us = 2000;
  Attach();
  for (int round = 1; round <= 3; ++round) {
    ASSERT_EQ(Exchange(), WEIGHTMESH_OK);
    ASSERT_EQ(result_.published, 1u);
  }
  const std::vector<float> before = model_.Flat();
  ASSERT_EQ(Exchange(), WEIGHTMESH_OK);
  EXPECT_EQ(result_.published, 0u);
  EXPECT_EQ(result_.round, 0u);
  EXPECT_EQ(result_.segments, 0u);
  EXPECT_GT(result_.wait_seconds, 0);
  EXPECT_EQ(model_.Flat(), before);
  EXPECT_EQ(daemon_.page().slot_wanted.load(), 0u);
  // The halves see the same.
  weightmesh_round half = WEIGHTMESH_INIT(weightmesh_round);
  EXPECT_EQ(weightmesh_publish(handle_, model_.Pointers().data(), 3, &half), WEIGHTMESH_OK);
  EXPECT_EQ(half.published, 0u);
  EXPECT_EQ(weightmesh_mix(handle_, model_.Pointers().data(), 3, &half), WEIGHTMESH_OK);
  weightmesh_totals totals = WEIGHTMESH_INIT(weightmesh_totals);
  ASSERT_EQ(weightmesh_stats(handle_, &totals), WEIGHTMESH_OK);
  EXPECT_EQ(totals.rounds_published, 3u);
  EXPECT_EQ(totals.rounds_mixed, 3u);
  EXPECT_EQ(totals.publishes_skipped, 2u);
  EXPECT_EQ(totals.pulls[WEIGHTMESH_ARRIVED], 3u * kSegments);
  EXPECT_EQ(totals.replicas, 3u);
  EXPECT_EQ(totals.last_round, 3u);
  ASSERT_EQ(weightmesh_leave(handle_), WEIGHTMESH_OK);
  const Seen seen = CommandsSeen();
  EXPECT_EQ(Seen(seen.end() - 3, seen.end()), (Seen{{kMixed, 3}, {kSkip, 4}, {kSkip, 5}}));
}

TEST_F(RoundTest, AWaitingPublishTakesTheSlotThatComesFree) {
  daemon_.frees_slots = false;
  Attach();
  for (int round = 1; round <= 3; ++round) ASSERT_EQ(Exchange(), WEIGHTMESH_OK);
  std::thread freer([this] {
    while (daemon_.page().slot_wanted.load() == 0) std::this_thread::yield();
    daemon_.RingTrainer();  // for nothing yet
    daemon_.page().slot_words[1] = SlotWord(2, SlotState::kReadable);
    daemon_.RingTrainer();
  });
  const weightmesh_status status = Exchange();
  freer.join();
  ASSERT_EQ(status, WEIGHTMESH_OK);
  EXPECT_EQ(result_.published, 1u);
  EXPECT_EQ(result_.round, 4u);
  EXPECT_EQ(daemon_.page().slot_wanted.load(), 0u);
}

TEST_F(RoundTest, ADaemonThatDiesInACollectLeavesTheTrainerAlone) {
  daemon_.on_collect = [this](uint64_t) {
    daemon_.HangUp();
    return false;
  };
  Attach();
  const std::vector<float> before = model_.Flat();
  EXPECT_EQ(Exchange(), WEIGHTMESH_ALONE);
  EXPECT_NE(message().find("until it is back"), std::string::npos) << message();
  EXPECT_EQ(model_.Flat(), before);
  EXPECT_EQ(Exchange(), WEIGHTMESH_ALONE);
  EXPECT_EQ(weightmesh_leave(handle_), WEIGHTMESH_ALONE);
}

TEST_F(RoundTest, ADaemonThatDiesWhileASlotIsAwaitedLeavesTheTrainerAlone) {
  daemon_.frees_slots = false;
  daemon_.on_command = [this](const Command& command) {
    if (command.kind == kMixed && command.round == 3) daemon_.HangUp();
  };
  Attach();
  for (int round = 1; round <= 3; ++round) ASSERT_EQ(Exchange(), WEIGHTMESH_OK);
  std::atomic<bool> ended = false;
  std::thread killer([&] {
    // The daemon may also have seen kMixed by itself: then no slot is awaited any more.
    while (daemon_.page().slot_wanted.load() == 0 && !ended) std::this_thread::yield();
    daemon_.RingDaemon();  // it sees kMixed, and hangs up
  });
  EXPECT_EQ(Exchange(), WEIGHTMESH_ALONE);
  ended = true;
  killer.join();
}

TEST_F(RoundTest, ADaemonThatDiedBetweenRoundsLeavesTheTrainerAlone) {
  options_.mode = WEIGHTMESH_OVERLAP;
  daemon_.on_command = [this](const Command& command) {
    if (command.kind == kPublish && command.round == 2) daemon_.HangUp();
  };
  Attach();
  ASSERT_EQ(Step(), WEIGHTMESH_OK);
  ASSERT_EQ(Step(), WEIGHTMESH_OK);
  ASSERT_TRUE(daemon_.WaitForHangUp());
  EXPECT_EQ(Step(), WEIGHTMESH_ALONE);
}

TEST_F(RoundTest, ADaemonThatTakesNoCommandsNeverBlocksTheTrainer) {
  daemon_.takes_commands = false;
  daemon_.collect_wait_us = 0;
  daemon_.frees_slots = true;
  Attach();
  int rounds = 0;
  weightmesh_status status;
  while ((status = Exchange()) == WEIGHTMESH_OK) {
    ASSERT_LT(++rounds, 64);
    // Slots come free all the same, or the trainer would skip for want of one.
    for (uint32_t k = 0; k < 3; ++k) {
      daemon_.page().slot_words[k] = SlotWord(static_cast<uint64_t>(rounds), SlotState::kReadable);
    }
  }
  EXPECT_EQ(status, WEIGHTMESH_ALONE);
  EXPECT_NE(message().find("commands"), std::string::npos) << message();
  EXPECT_GE(rounds, 20);
  // The halves agree: nothing is an error of the trainer's.
  EXPECT_EQ(weightmesh_publish(handle_, model_.Pointers().data(), 3, nullptr), WEIGHTMESH_ALONE);
  EXPECT_EQ(weightmesh_mix(handle_, model_.Pointers().data(), 3, nullptr), WEIGHTMESH_OK);
  // The daemon recovers, and so does the exchange.
  daemon_.page().collect_wait_us = 10'000'000;
  daemon_.takes_commands = true;
  do {
    status = Exchange();
  } while (status == WEIGHTMESH_ALONE);
  EXPECT_EQ(status, WEIGHTMESH_OK);
  EXPECT_EQ(result_.pulls[WEIGHTMESH_ARRIVED], kSegments);
}

}  // namespace
}  // namespace weightmesh::client
