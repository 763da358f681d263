// weightmesh_consensus against a fake daemon: what it posts, when it stops, what it refuses.
#include <gtest/gtest.h>

#include <atomic>
#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "client/include/weightmesh/weightmesh.h"
#include "tests/client/fake_daemon.h"
#include "tests/client/test_model.h"

namespace weightmesh::client {
namespace {

using control_page::Command;
using control_page::CommandKind;

constexpr uint32_t kSegments = 3;
constexpr double kEpsilon = 0.25;

class ConsensusTest : public testing::TestWithParam<weightmesh_mode> {
 protected:
  ConsensusTest() : model_({300, 5, 201}, 1), peer_(SeededValues(model_.Parameters(), 77)) {
    daemon_.collect_wait_us = 200'000;
    daemon_.on_collect = [this](uint64_t round) {
      if (round == dies_in_) {
        daemon_.HangUp();
        return false;
      }
      for (uint32_t k = 0; k < kSegments; ++k) daemon_.Deliver(k, round % 2, round, 5, peer_);
      if (round == settled_in_) {
        daemon_.page().agreed_distance_bits = std::bit_cast<uint64_t>(distance_.load());
        daemon_.page().agreed_at = agreed_at_.load();
      }
      return round != hangs_in_;
    };
    weightmesh_options options = WEIGHTMESH_INIT(weightmesh_options);
    options.socket_path = daemon_.socket_path().c_str();
    options.run_id = "run";
    options.segments = kSegments;
    options.mode = GetParam();
    EXPECT_EQ(
        weightmesh_attach(&options, model_.described.data(), model_.Pointers().data(), 3, &handle_),
        WEIGHTMESH_OK);
  }
  ~ConsensusTest() override { weightmesh_detach(handle_); }

  bool IsLockstep() const { return GetParam() == WEIGHTMESH_LOCKSTEP; }
  weightmesh_status Train() {
    const auto call = IsLockstep() ? weightmesh_exchange : weightmesh_step;
    return call(handle_, model_.Pointers().data(), 3, nullptr);
  }
  weightmesh_status Agree(double epsilon = kEpsilon, uint64_t timeout_ms = 60'000) {
    result_ = WEIGHTMESH_INIT(weightmesh_agreement);
    return weightmesh_consensus(handle_, model_.Pointers().data(), 3, epsilon, timeout_ms,
                                &result_);
  }
  // While it collects `round` it is settled that all stop after `stop`.
  void Settle(uint64_t round, uint64_t stop, double distance = 0.125) {
    distance_ = distance;
    agreed_at_ = stop;
    settled_in_ = round;
  }
  std::string message() const { return weightmesh_message(handle_); }
  std::vector<Command> Wishes() {
    std::vector<Command> wishes = daemon_.Commands();
    std::erase_if(wishes, [](const Command& command) {
      return static_cast<CommandKind>(command.kind) != CommandKind::kAgree;
    });
    return wishes;
  }

  TestModel model_;
  std::vector<float> peer_;
  std::atomic<uint64_t> settled_in_ = 0;
  std::atomic<uint64_t> agreed_at_ = 0;
  std::atomic<double> distance_ = 0;
  std::atomic<uint64_t> dies_in_ = 0;
  std::atomic<uint64_t> hangs_in_ = 0;
  weightmesh_handle* handle_ = nullptr;
  weightmesh_agreement result_ = WEIGHTMESH_INIT(weightmesh_agreement);
  FakeDaemon daemon_;  // its thread uses what stands above, so it goes first
};
INSTANTIATE_TEST_SUITE_P(Modes, ConsensusTest,
                         testing::Values(WEIGHTMESH_LOCKSTEP, WEIGHTMESH_OVERLAP,
                                         WEIGHTMESH_ASYNC));

TEST_P(ConsensusTest, ItExchangesUntilTheRoundThatWasSettled) {
  ASSERT_EQ(Train(), WEIGHTMESH_OK);
  const std::vector<float> before = model_.Flat();
  Settle(3, 5);
  EXPECT_EQ(Agree(), WEIGHTMESH_OK) << message();
  EXPECT_EQ(result_.rounds, 4u) << "2 to 5";
  EXPECT_EQ(result_.last_round, 5u);
  EXPECT_EQ(result_.replicas, 3u);
  EXPECT_EQ(result_.consensus_distance, 0.125);
  EXPECT_NE(model_.Flat(), before) << "it mixes";
  const std::vector<Command> wishes = Wishes();
  ASSERT_EQ(wishes.size(), 4u);
  for (size_t k = 0; k < wishes.size(); ++k) {
    EXPECT_EQ(wishes[k].round, 2 + k);
    EXPECT_EQ(wishes[k].slot, k == 0 ? 1u : 0u);
    EXPECT_EQ(std::bit_cast<double>(wishes[k].distance_bits), kEpsilon);
  }
}

TEST_P(ConsensusTest, EachWishStandsBeforeItsPublish) {
  Settle(1, 2);
  ASSERT_EQ(Agree(), WEIGHTMESH_OK);
  ASSERT_EQ(Train(), WEIGHTMESH_OK);
  ASSERT_EQ(weightmesh_leave(handle_), WEIGHTMESH_OK);  // all is taken by then
  std::vector<CommandKind> kinds;
  for (const Command& command : daemon_.Commands()) {
    const auto kind = static_cast<CommandKind>(command.kind);
    if (kind == CommandKind::kAgree || kind == CommandKind::kPublish) kinds.push_back(kind);
  }
  EXPECT_EQ(kinds, (std::vector{CommandKind::kAgree, CommandKind::kPublish, CommandKind::kAgree,
                                CommandKind::kPublish, CommandKind::kPublish}))
      << "the last round trains";
}

TEST_P(ConsensusTest, WhatWasSettledBeforeEndsNoLaterAgreement) {
  Settle(1, 2);
  ASSERT_EQ(Agree(), WEIGHTMESH_OK);
  ASSERT_EQ(Train(), WEIGHTMESH_OK);
  Settle(6, 7);
  EXPECT_EQ(Agree(), WEIGHTMESH_OK);
  EXPECT_EQ(result_.last_round, 7u);
  EXPECT_EQ(result_.rounds, 4u);
}

TEST_P(ConsensusTest, AStopThatIsHeardOfLateIsAtOnce) {
  Settle(4, 2);
  EXPECT_EQ(Agree(), WEIGHTMESH_OK);
  EXPECT_EQ(result_.last_round, 4u);
}

TEST_P(ConsensusTest, WhoWaitsInVainGivesUpAndSaysSo) {
  const weightmesh_status status = Agree(kEpsilon, 50);
  EXPECT_EQ(status, WEIGHTMESH_NO_CONSENSUS);
  EXPECT_STREQ(weightmesh_status_name(status), "NO_CONSENSUS");
  EXPECT_NE(message().find("do not agree"), std::string::npos);
  ASSERT_FALSE(Wishes().empty());
  EXPECT_TRUE(std::isinf(std::bit_cast<double>(Wishes().back().distance_bits)));
  EXPECT_EQ(Train(), WEIGHTMESH_OK) << "and may train on";
}

// Another one has given up, and what it said last is far away.
TEST_P(ConsensusTest, AMeanThatIsTooFarIsNoConsensus) {
  Settle(1, 2, 2 * kEpsilon);
  EXPECT_EQ(Agree(), WEIGHTMESH_NO_CONSENSUS);
  EXPECT_EQ(result_.consensus_distance, 2 * kEpsilon);
}

TEST_P(ConsensusTest, ADaemonThatDiesLeavesItAlone) {
  dies_in_ = 3;
  EXPECT_EQ(Agree(), WEIGHTMESH_ALONE);
  EXPECT_EQ(result_.rounds, 2u);
  EXPECT_EQ(Agree(), WEIGHTMESH_ALONE);
  EXPECT_EQ(result_.rounds, 0u);
}

TEST_P(ConsensusTest, ARoundThatIsNotAnsweredIsGivenUpAfterTheDaemonsWait) {
  hangs_in_ = 2;
  Settle(3, 4);
  EXPECT_EQ(Agree(), WEIGHTMESH_OK);
  EXPECT_EQ(result_.last_round, 4u);
}

TEST_P(ConsensusTest, ADrainedReplicaHasLeft) {
  ASSERT_EQ(Train(), WEIGHTMESH_OK);
  daemon_.page().leaves_at = 2;
  EXPECT_EQ(Agree(), WEIGHTMESH_DRAINED);
  EXPECT_EQ(Agree(), WEIGHTMESH_ALONE);
}

TEST_P(ConsensusTest, WrongArgumentsAreRefusedAndNothingIsPosted) {
  const std::vector<float> before = model_.Flat();
  for (double epsilon :
       {-1.0, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_EQ(Agree(epsilon), WEIGHTMESH_INVALID);
    EXPECT_NE(message().find("epsilon is"), std::string::npos);
  }
  EXPECT_EQ(Agree(0, 86'400'001), WEIGHTMESH_INVALID);
  EXPECT_NE(message().find("timeout_ms is 86400001"), std::string::npos);
  result_.struct_size = 8;
  EXPECT_EQ(weightmesh_consensus(handle_, model_.Pointers().data(), 3, 1, 0, &result_),
            WEIGHTMESH_INVALID);
  EXPECT_EQ(weightmesh_consensus(handle_, model_.Pointers().data(), 2, 1, 0, nullptr),
            WEIGHTMESH_INVALID);
  EXPECT_TRUE(daemon_.Commands().empty());
  EXPECT_EQ(model_.Flat(), before);
}

}  // namespace
}  // namespace weightmesh::client
