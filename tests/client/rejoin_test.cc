// A replica whose daemon died: it trains on alone, looks for the daemon again, and joins once that
// is back; whoever left, or does not want to, stays alone.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "client/include/weightmesh/weightmesh.h"
#include "tests/client/fake_daemon.h"
#include "tests/client/test_model.h"

namespace weightmesh::client {
namespace {

using attach::MessageType;
using attach::ReplyCode;
using control_page::CommandKind;

constexpr uint32_t kSegments = 3;
constexpr uint64_t kSource = 500;
constexpr std::chrono::seconds kLimit{20};

class RejoinTest : public testing::TestWithParam<weightmesh_mode> {
 protected:
  RejoinTest() : model_({5, 40, 7}, 1), others_(SeededValues(52, 9)) {
    options_.socket_path = daemon_.socket_path().c_str();
    options_.run_id = "run";
    options_.segments = kSegments;
    options_.mode = GetParam();
    daemon_.on_request = [this](const attach::AttachRequest& request) {
      ++requests_;
      joins_ = request.joins;
      if (refusals_ > 0) {
        --refusals_;
        return daemon_.Send(MessageType::kAttachReply,
                            Encode(attach::AttachReply{ReplyCode::kNoRun, "no run", 0, 0, 0, 0}));
      }
      daemon_.Accept();
      if (request.joins != 0) daemon_.page().mesh_newest_round = 7;
    };
    daemon_.on_collect = [this](uint64_t round) {
      if (dies_.exchange(false)) {
        daemon_.HangUp();
        return false;
      }
      const bool catches_up = joins_ != 0 && daemon_.page().active_from == 0;
      for (uint32_t k = 0; k < kSegments; ++k) {
        daemon_.Deliver(k, round % 2, catches_up ? 7 : round, kSource, others_);
      }
      return true;
    };
    daemon_.on_command = [this](const control_page::Command& command) {
      if (static_cast<CommandKind>(command.kind) != CommandKind::kCaughtUp) return;
      if (dies_anew_) return daemon_.HangUp();
      daemon_.page().next_round = 10;
      daemon_.page().active_from = 10;
      daemon_.page().mesh_newest_round = 9;
      daemon_.RingTrainer();
    };
  }
  ~RejoinTest() override { weightmesh_detach(handle_); }

  void AttachAndTrain() {
    ASSERT_EQ(weightmesh_attach(&options_, model_.described.data(), model_.Pointers().data(), 3,
                                &handle_),
              WEIGHTMESH_OK);
    ASSERT_EQ(Exchange(), WEIGHTMESH_OK);
    ASSERT_EQ(Exchange(), WEIGHTMESH_OK);
  }
  weightmesh_status Exchange() {
    result_ = WEIGHTMESH_INIT(weightmesh_round);
    const auto call = GetParam() == WEIGHTMESH_LOCKSTEP ? weightmesh_exchange : weightmesh_step;
    return call(handle_, model_.Pointers().data(), 3, &result_);
  }
  // Exchanges, as one that trains, for `time` or until it has joined again.
  bool TrainUntilRejoined(std::chrono::milliseconds time) {
    const auto end = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < end) {
      const weightmesh_status status = Exchange();
      if (status == WEIGHTMESH_OK) return result_.rejoined == 1;
      EXPECT_EQ(status, WEIGHTMESH_ALONE);
      EXPECT_EQ(result_.rejoined, 0u);
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }

  TestModel model_;
  const std::vector<float> others_;
  std::atomic<int> requests_ = 0;
  std::atomic<int> refusals_ = 0;
  std::atomic<uint32_t> joins_ = 0;
  std::atomic<bool> dies_ = false;       // in the next collect
  std::atomic<bool> dies_anew_ = false;  // when the replica has caught up
  weightmesh_options options_ = WEIGHTMESH_INIT(weightmesh_options);
  weightmesh_handle* handle_ = nullptr;
  weightmesh_round result_ = WEIGHTMESH_INIT(weightmesh_round);
  FakeDaemon daemon_;  // its thread uses what stands above, so it goes first
};
INSTANTIATE_TEST_SUITE_P(Modes, RejoinTest,
                         testing::Values(WEIGHTMESH_LOCKSTEP, WEIGHTMESH_OVERLAP));

TEST_P(RejoinTest, OnceItsDaemonIsBackTheReplicaJoinsAgain) {
  AttachAndTrain();
  refusals_ = 1;  // the daemon has not heard of the run yet
  dies_ = true;
  EXPECT_EQ(Exchange(), WEIGHTMESH_ALONE);
  const std::vector<float> alone = model_.Flat();
  EXPECT_EQ(Exchange(), WEIGHTMESH_ALONE);
  EXPECT_EQ(model_.Flat(), alone);
  ASSERT_TRUE(TrainUntilRejoined(kLimit)) << weightmesh_message(handle_);
  EXPECT_EQ(requests_, 3) << "the attach, a vain look, and the join";
  EXPECT_EQ(joins_, 1u);
  EXPECT_EQ(result_.published, 1u) << "it takes part at once";
  EXPECT_EQ(model_.Flat(), others_);
  EXPECT_EQ(Exchange(), WEIGHTMESH_OK);
  EXPECT_EQ(result_.rejoined, 0u) << "told once";
  EXPECT_EQ(weightmesh_report(handle_, "loss", 1), WEIGHTMESH_OK);
}

TEST_P(RejoinTest, ADaemonThatIsBackIsGivenTheBlobAgain) {
  AttachAndTrain();
  ASSERT_EQ(weightmesh_set_blob(handle_, "seven", 5), WEIGHTMESH_OK);
  EXPECT_EQ(daemon_.WaitForBlob(5), "seven");
  dies_ = true;
  EXPECT_EQ(Exchange(), WEIGHTMESH_ALONE);
  EXPECT_EQ(weightmesh_set_blob(handle_, "step eight", 10), WEIGHTMESH_ALONE);
  ASSERT_TRUE(TrainUntilRejoined(kLimit)) << weightmesh_message(handle_);
  EXPECT_EQ(daemon_.WaitForBlob(10), "step eight") << "the newest, also of the time without it";
}

TEST_P(RejoinTest, WhoDoesNotWantToStaysAlone) {
  options_.rejoin_timeout_ms = WEIGHTMESH_NEVER_REJOIN;
  AttachAndTrain();
  dies_ = true;
  EXPECT_FALSE(TrainUntilRejoined(std::chrono::milliseconds(1500)));
  EXPECT_EQ(requests_, 1);
}

TEST_P(RejoinTest, WhoHasLeftStaysAlone) {
  AttachAndTrain();
  EXPECT_EQ(weightmesh_leave(handle_), WEIGHTMESH_OK);
  EXPECT_FALSE(TrainUntilRejoined(std::chrono::milliseconds(1500)));
  EXPECT_EQ(requests_, 1);
}

TEST_P(RejoinTest, WhoLeavesWhileItIsAloneStaysSo) {
  AttachAndTrain();
  dies_ = true;
  EXPECT_EQ(Exchange(), WEIGHTMESH_ALONE);
  EXPECT_EQ(weightmesh_leave(handle_), WEIGHTMESH_ALONE);
  EXPECT_FALSE(TrainUntilRejoined(std::chrono::milliseconds(1500)));
  EXPECT_EQ(requests_, 1);
}

// Between the weights and the first round.
TEST_P(RejoinTest, WhereTheDaemonDiesAnewTheTrainerIsToldWhoseWeightsItHas) {
  AttachAndTrain();
  dies_ = true;
  EXPECT_EQ(Exchange(), WEIGHTMESH_ALONE);
  dies_anew_ = true;
  const auto end = std::chrono::steady_clock::now() + kLimit;
  while (result_.rejoined == 0 && std::chrono::steady_clock::now() < end) {
    EXPECT_EQ(Exchange(), WEIGHTMESH_ALONE);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(result_.rejoined, 1u);
  EXPECT_EQ(model_.Flat(), others_);
}

TEST_P(RejoinTest, WhoseDaemonDrainedStaysAlone) {
  AttachAndTrain();
  daemon_.page().leaves_at = 1;
  EXPECT_EQ(Exchange(), WEIGHTMESH_DRAINED);
  EXPECT_FALSE(TrainUntilRejoined(std::chrono::milliseconds(1500)));
  EXPECT_EQ(requests_, 1);
}

}  // namespace
}  // namespace weightmesh::client
