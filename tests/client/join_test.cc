// weightmesh_join against a fake daemon: what it asks until all segments are there, and what it
// makes of late, old, bad and missing ones.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "client/include/weightmesh/weightmesh.h"
#include "client/src/kernels.h"
#include "tests/client/fake_daemon.h"
#include "tests/client/test_model.h"

namespace weightmesh::client {
namespace {

using attach::MessageType;
using attach::ReplyCode;
using control_page::CommandKind;

constexpr uint32_t kSegments = 3;
constexpr uint64_t kSource = 500;

class JoinTest : public testing::Test {
 protected:
  JoinTest() : model_({5, 40, 7}, 1), others_(SeededValues(52, 9)) {
    options_.socket_path = daemon_.socket_path().c_str();
    options_.run_id = "run";
    options_.segments = kSegments;
    options_.start_timeout_ms = 60'000;
    for (std::vector<float>& tensor : model_.tensors) {
      std::fill(tensor.begin(), tensor.end(), std::numeric_limits<float>::quiet_NaN());
    }
    // All segments in each pass, of the mesh's newest round.
    daemon_.on_collect = [this](uint64_t) {
      DeliverAll(++passes_, newest_, others_);
      return true;
    };
    daemon_.on_command = [this](const control_page::Command& command) {
      if (static_cast<CommandKind>(command.kind) == CommandKind::kCaughtUp) Announce(newest_ + 3);
    };
  }
  ~JoinTest() override { weightmesh_detach(handle_); }

  // On the daemon's thread. `pass` counts from 1; passes take turns with the two inbox buffers.
  void DeliverAll(int pass, uint64_t round, const std::vector<float>& flat) {
    daemon_.page().mesh_newest_round = newest_.load();
    for (uint32_t k = 0; k < kSegments; ++k) daemon_.Deliver(k, pass % 2, round, kSource, flat);
  }
  // The first round, and that the mesh is about to reach it.
  void Announce(uint64_t round) {
    daemon_.page().next_round = round;
    daemon_.page().active_from = round;
    daemon_.page().mesh_newest_round = round - 1;
    daemon_.RingTrainer();
  }
  void Refuse(ReplyCode code) {
    daemon_.Send(MessageType::kAttachReply,
                 Encode(attach::AttachReply{code, "because", 0, 0, 0, 0}));
  }

  weightmesh_status Join() {
    return weightmesh_join(&options_, model_.described.data(), model_.Pointers().data(),
                           model_.tensors.size(), &joined_, &handle_);
  }
  size_t Posted(CommandKind kind) {
    const std::vector<control_page::Command> all = daemon_.Commands();
    return static_cast<size_t>(std::count_if(all.begin(), all.end(), [kind](const auto& command) {
      return static_cast<CommandKind>(command.kind) == kind;
    }));
  }

  TestModel model_;
  std::vector<float> others_;  // the others' weights
  std::atomic<uint64_t> newest_{7};
  int passes_ = 0;     // of the daemon's thread
  FakeDaemon daemon_;  // its thread uses what stands above, so it goes first
  weightmesh_options options_ = WEIGHTMESH_INIT(weightmesh_options);
  weightmesh_joined joined_ = WEIGHTMESH_INIT(weightmesh_joined);
  weightmesh_handle* handle_ = nullptr;
};

TEST_F(JoinTest, TheOthersWeightsTakeTheOwnOnesPlace) {
  ASSERT_EQ(Join(), WEIGHTMESH_OK) << weightmesh_message(handle_);
  EXPECT_EQ(daemon_.request().joins, 1u);
  EXPECT_EQ(model_.Flat(), others_);
  EXPECT_EQ(joined_.round, 10u);
  EXPECT_EQ(joined_.replicas, 3u);
  EXPECT_EQ(Posted(CommandKind::kCollect), 1u);
  EXPECT_EQ(Posted(CommandKind::kMixed), 1u);
  EXPECT_EQ(Posted(CommandKind::kCaughtUp), 1u);
  for (uint32_t k = 0; k < kSegments; ++k) {
    EXPECT_EQ(daemon_.mixed(k).outcome, static_cast<uint32_t>(Outcome::kArrived));
  }
  weightmesh_round round = WEIGHTMESH_INIT(weightmesh_round);
  EXPECT_EQ(weightmesh_publish(handle_, model_.Pointers().data(), model_.tensors.size(), &round),
            WEIGHTMESH_OK);
  EXPECT_EQ(daemon_.page().slot_words[0] >> 2, joined_.round);
}

TEST_F(JoinTest, WhatTheOthersHaveGivenComesAlong) {
  daemon_.gives_blob = std::string("step\0seven", 10);
  ASSERT_EQ(Join(), WEIGHTMESH_OK);
  ASSERT_EQ(joined_.blob_bytes, 10u);
  EXPECT_EQ(std::string(static_cast<const char*>(joined_.blob), 10), daemon_.gives_blob);
}

TEST_F(JoinTest, WhereNobodyHasGivenAnythingThereIsNoBlob) {
  ASSERT_EQ(Join(), WEIGHTMESH_OK);
  EXPECT_EQ(joined_.blob, nullptr);
  EXPECT_EQ(joined_.blob_bytes, 0u);
}

TEST_F(JoinTest, AnAttachDoesNotSayThatItJoins) {
  EXPECT_EQ(weightmesh_attach(&options_, model_.described.data(), model_.Pointers().data(),
                              model_.tensors.size(), &handle_),
            WEIGHTMESH_OK);
  EXPECT_EQ(daemon_.request().joins, 0u);
}

TEST_F(JoinTest, ABadOrMissingSegmentIsAskedForAgain) {
  daemon_.on_collect = [this](uint64_t) {
    DeliverAll(++passes_, newest_, others_);
    if (passes_ == 1) {
      daemon_.inbox(1)[daemon_.layout().segments[1].offset] ^= std::byte{1};
      daemon_.SetOutcome(2, WEIGHTMESH_DEAD);
    }
    return true;
  };
  ASSERT_EQ(Join(), WEIGHTMESH_OK) << weightmesh_message(handle_);
  EXPECT_EQ(model_.Flat(), others_);
  EXPECT_EQ(Posted(CommandKind::kCollect), 2u);
}

TEST_F(JoinTest, WhatHasGrownOldIsTakenAgain) {
  const std::vector<float> old(52, 3.0f);
  daemon_.on_collect = [this, old](uint64_t) {
    ++passes_;
    DeliverAll(passes_, passes_ == 1 ? newest_ - 2 : newest_ - 1, passes_ == 1 ? old : others_);
    return true;
  };
  ASSERT_EQ(Join(), WEIGHTMESH_OK) << weightmesh_message(handle_);
  EXPECT_EQ(model_.Flat(), others_) << "one round old is near enough, two are not";
  EXPECT_EQ(Posted(CommandKind::kCollect), 2u);
}

TEST_F(JoinTest, AMeshThatIsFasterThanAPassIsNotChasedForEver) {
  daemon_.on_collect = [this](uint64_t) {
    newest_ += 10;
    DeliverAll(++passes_, newest_ - 5, others_);
    return true;
  };
  ASSERT_EQ(Join(), WEIGHTMESH_OK) << weightmesh_message(handle_);
  EXPECT_EQ(model_.Flat(), others_);
  EXPECT_EQ(Posted(CommandKind::kCollect), 4u) << "one pass, and three that refresh";
}

// Its first round is further off than two deadlines (4 s); the others come nearer to it all the
// time.
TEST_F(JoinTest, ARoundThatComesNearerIsWaitedFor) {
  daemon_.collect_wait_us = 2'000'000;
  constexpr uint64_t kFirst = 13;
  std::atomic<bool> caught_up = false;
  daemon_.on_command = [&](const control_page::Command& command) {
    if (static_cast<CommandKind>(command.kind) != CommandKind::kCaughtUp) return;
    daemon_.page().next_round = kFirst;
    daemon_.page().active_from = kFirst;
    daemon_.RingTrainer();
    caught_up = true;
  };
  std::thread others([&] {
    while (!caught_up) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    while (daemon_.page().mesh_newest_round + 1 < kFirst) {
      std::this_thread::sleep_for(std::chrono::seconds(1));
      ++daemon_.page().mesh_newest_round;
    }
  });
  EXPECT_EQ(Join(), WEIGHTMESH_OK) << weightmesh_message(handle_);
  EXPECT_EQ(daemon_.page().mesh_newest_round + 1, kFirst);
  caught_up = true;
  others.join();
  EXPECT_EQ(joined_.round, kFirst);
}

TEST_F(JoinTest, ADaemonThatDoesNotKnowTheRunYetIsAskedAgain) {
  int asked = 0;
  daemon_.on_request = [this, &asked](const attach::AttachRequest&) {
    ++asked < 3 ? Refuse(ReplyCode::kNoRun) : daemon_.Accept();
  };
  ASSERT_EQ(Join(), WEIGHTMESH_OK) << weightmesh_message(handle_);
  EXPECT_EQ(asked, 3);
  EXPECT_EQ(model_.Flat(), others_);
}

TEST_F(JoinTest, WithoutARunInTimeItSaysSo) {
  options_.start_timeout_ms = 1;
  daemon_.on_request = [this](const attach::AttachRequest&) { Refuse(ReplyCode::kNoRun); };
  EXPECT_EQ(Join(), WEIGHTMESH_START_TIMEOUT);
  EXPECT_NE(std::string(weightmesh_message(handle_)).find("because"), std::string::npos);
}

TEST_F(JoinTest, OtherRefusalsAreFinal) {
  int asked = 0;
  daemon_.on_request = [this, &asked](const attach::AttachRequest&) {
    ++asked;
    Refuse(ReplyCode::kMismatch);
  };
  EXPECT_EQ(Join(), WEIGHTMESH_REFUSED);
  EXPECT_TRUE(daemon_.WaitForHangUp());
  EXPECT_EQ(asked, 1);
}

TEST_F(JoinTest, SegmentsThatNobodyHasInTimeAreCountedAndTheOwnWeightsStay) {
  options_.start_timeout_ms = 100;
  model_.tensors = TestModel({5, 40, 7}, 1).tensors;
  const std::vector<float> own = model_.Flat();
  daemon_.on_collect = [this](uint64_t) {
    DeliverAll(++passes_, newest_, others_);
    daemon_.SetOutcome(0, WEIGHTMESH_DEAD);
    return true;
  };
  EXPECT_EQ(Join(), WEIGHTMESH_START_TIMEOUT);
  EXPECT_NE(std::string(weightmesh_message(handle_)).find("1 of 3 segments"), std::string::npos)
      << weightmesh_message(handle_);
  EXPECT_EQ(model_.Flat(), own);
  EXPECT_TRUE(daemon_.WaitForHangUp()) << "the mesh must not wait for it";
  EXPECT_EQ(Posted(CommandKind::kCaughtUp), 0u);
}

TEST_F(JoinTest, WhatItKeepsIsLookedAtOnceMore) {
  model_.tensors = TestModel({5, 40, 7}, 1).tensors;
  const std::vector<float> own = model_.Flat();
  // After the collect its slot holds segment 0 already; the second collect brings the others.
  daemon_.on_collect = [this](uint64_t) {
    DeliverAll(++passes_, newest_, others_);
    if (passes_ == 1) daemon_.SetOutcome(1, WEIGHTMESH_DEAD);
    if (passes_ == 2) {
      daemon_.SetOutcome(0, WEIGHTMESH_DEAD);
      daemon_.slot(1)[daemon_.layout().segments[0].offset] ^= std::byte{1};
    }
    return true;
  };
  EXPECT_EQ(Join(), WEIGHTMESH_REFUSED);
  EXPECT_NE(std::string(weightmesh_message(handle_)).find("overwritten"), std::string::npos);
  EXPECT_EQ(model_.Flat(), own);
}

TEST_F(JoinTest, ADaemonThatDiesMeanwhileLeavesItAlone) {
  daemon_.on_collect = [this](uint64_t) {
    daemon_.HangUp();
    return false;
  };
  EXPECT_EQ(Join(), WEIGHTMESH_ALONE);
  EXPECT_EQ(weightmesh_exchange(handle_, model_.Pointers().data(), 3, nullptr), WEIGHTMESH_ALONE);
}

// The two waits of a join, each ended by a detach on another thread.
TEST_F(JoinTest, ADetachEndsIt) {
  for (const bool while_refused : {true, false}) {
    std::atomic<bool> waits{false};
    daemon_.on_request = [&, this](const attach::AttachRequest&) {
      while_refused ? Refuse(ReplyCode::kNoRun) : daemon_.Accept();
      waits = waits || while_refused;
    };
    daemon_.on_collect = [&](uint64_t) {
      waits = true;
      return false;
    };
    weightmesh_status status = WEIGHTMESH_OK;
    std::thread joining([&] { status = Join(); });
    while (!waits) std::this_thread::yield();
    weightmesh_detach(handle_);
    joining.join();
    handle_ = nullptr;
    EXPECT_EQ(status, WEIGHTMESH_INVALID) << while_refused;
    EXPECT_TRUE(daemon_.WaitForHangUp());
  }
}

TEST_F(JoinTest, TheResultMayBeLeftOutButNotHalfDeclared) {
  joined_.struct_size = 0;
  EXPECT_EQ(Join(), WEIGHTMESH_INVALID);
  EXPECT_NE(std::string(weightmesh_message(handle_)).find("joined"), std::string::npos);
  weightmesh_detach(handle_);
  EXPECT_EQ(weightmesh_join(&options_, model_.described.data(), model_.Pointers().data(),
                            model_.tensors.size(), nullptr, &handle_),
            WEIGHTMESH_OK);
  EXPECT_EQ(model_.Flat(), others_);
  EXPECT_EQ(weightmesh_join(&options_, model_.described.data(), model_.Pointers().data(), 3,
                            nullptr, nullptr),
            WEIGHTMESH_INVALID);
}

TEST_F(JoinTest, InBf16WhatIsTakenOverIsWhatWasPublished) {
  options_.wire = WEIGHTMESH_BF16;
  const std::vector<float> representable(52, 1.5f);
  others_ = representable;
  ASSERT_EQ(Join(), WEIGHTMESH_OK) << weightmesh_message(handle_);
  EXPECT_EQ(model_.Flat(), representable);
}

}  // namespace
}  // namespace weightmesh::client
