// A trainer whose daemon drains: it takes part until its last round, and has left then.
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <vector>

#include "client/include/weightmesh/weightmesh.h"
#include "tests/client/fake_daemon.h"
#include "tests/client/test_model.h"

namespace weightmesh::client {
namespace {

constexpr uint32_t kSegments = 3;

class DrainingTest : public testing::TestWithParam<weightmesh_mode> {
 protected:
  DrainingTest() : model_({300, 5, 201}, 1), peer_(SeededValues(model_.Parameters(), 77)) {
    daemon_.on_collect = [this](uint64_t round) {
      for (uint32_t k = 0; k < kSegments; ++k) daemon_.Deliver(k, round % 2, round, 5, peer_);
      return true;
    };
    daemon_.on_leave = [this] {
      ++left_;
      daemon_.Send(attach::MessageType::kLeaveReply, "");
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
  ~DrainingTest() override { weightmesh_detach(handle_); }

  bool IsLockstep() const { return GetParam() == WEIGHTMESH_LOCKSTEP; }
  weightmesh_status Exchange() {
    result_ = WEIGHTMESH_INIT(weightmesh_round);
    const auto call = IsLockstep() ? weightmesh_exchange : weightmesh_step;
    return call(handle_, model_.Pointers().data(), 3, &result_);
  }
  std::string message() const { return weightmesh_message(handle_); }

  TestModel model_;
  std::vector<float> peer_;
  std::atomic<int> left_ = 0;
  weightmesh_handle* handle_ = nullptr;
  weightmesh_round result_ = WEIGHTMESH_INIT(weightmesh_round);
  FakeDaemon daemon_;  // its thread uses what stands above, so it goes first
};
INSTANTIATE_TEST_SUITE_P(Modes, DrainingTest,
                         testing::Values(WEIGHTMESH_LOCKSTEP, WEIGHTMESH_OVERLAP));

TEST_P(DrainingTest, TheTrainerTakesPartUntilItsLastRoundAndHasLeftThen) {
  EXPECT_EQ(Exchange(), WEIGHTMESH_OK);
  daemon_.page().leaves_at = 3;
  EXPECT_EQ(Exchange(), WEIGHTMESH_OK) << "round 2 is its last";
  EXPECT_EQ(left_, 0);
  EXPECT_EQ(Exchange(), WEIGHTMESH_DRAINED);
  EXPECT_NE(message().find("drains, and this replica has left the run"), std::string::npos);
  EXPECT_EQ(result_.published, 0u);
  EXPECT_EQ(result_.round, IsLockstep() ? 0u : 2u) << "what was pulled before is mixed";
  EXPECT_EQ(left_, 1);
  EXPECT_EQ(Exchange(), WEIGHTMESH_ALONE);
  EXPECT_NE(message().find("drains"), std::string::npos) << "and says why";
  EXPECT_EQ(left_, 1);
}

TEST_P(DrainingTest, WhoComesTooLateLeavesAtOnce) {
  daemon_.page().leaves_at = 1;
  const std::vector<float> before = model_.Flat();
  EXPECT_EQ(Exchange(), WEIGHTMESH_DRAINED);
  EXPECT_EQ(model_.Flat(), before);
  EXPECT_STREQ(weightmesh_status_name(WEIGHTMESH_DRAINED), "DRAINED");
}

}  // namespace
}  // namespace weightmesh::client
