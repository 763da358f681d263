// What transports report: nothing solicited is lost, floods stay bounded and fair, and are counted.
#include "daemon/runtime/data_events.h"

#include <gtest/gtest.h>

#include <memory>
#include <variant>
#include <vector>

namespace weightmesh {
namespace {

constexpr NodeId kFlooder{1, 1};
constexpr NodeId kHonest{2, 2};

PullRequest RequestOf(NodeId peer, uint64_t id) {
  PullRequest request;
  request.peer = peer;
  request.request_id = RequestId{id};
  return request;
}

class DataEventsTest : public testing::Test {
 protected:
  // All that has been gathered, as the core gets it.
  std::vector<Event> Drain() {
    executor_->Stop();
    executor_->RunUntilStopped();
    return std::move(fed_);
  }
  template <typename T>
  static std::vector<T> All(const std::vector<Event>& events) {
    std::vector<T> found;
    for (const Event& event : events) {
      if (const T* one = std::get_if<T>(&event)) found.push_back(*one);
    }
    return found;
  }

  std::vector<Event> fed_;
  std::unique_ptr<Executor> executor_ = *Executor::Create();
  DataEvents events_{executor_.get(), [this](const Event& event) { fed_.push_back(event); }};
};

TEST_F(DataEventsTest, AFloodOfRequestsLeavesRoomForOthersAndForAllEnds) {
  constexpr uint64_t kFlood = 2 * DataEvents::kUnsolicitedMax;
  for (uint64_t k = 0; k < kFlood / 2; ++k) {
    events_.OnPullRequest(RequestOf(kFlooder, k));
    events_.OnPullCancel(kFlooder, RequestId{k});
  }
  for (uint64_t k = 0; k < 1000; ++k) events_.OnPullRequest(RequestOf(kHonest, k));
  for (uint64_t k = 0; k < 1000; ++k) events_.OnPullEnded(RequestId{k}, PullEnd::kLanded);
  const uint64_t overrun =
      events_.refused().at(kFlooder)[static_cast<size_t>(FrameRefusal::kOverrun)];
  EXPECT_EQ(overrun, kFlood - DataEvents::kUnsolicitedMax / 2);
  EXPECT_EQ(events_.refused().count(kHonest), 0u);

  const std::vector<Event> fed = Drain();
  size_t honest = 0;
  for (const PullRequested& event : All<PullRequested>(fed)) {
    honest += event.request.peer == kHonest;
  }
  EXPECT_EQ(honest, 1000u);
  EXPECT_EQ(All<PullEnded>(fed).size(), 1000u);
  EXPECT_EQ(All<FramesRefused>(fed).size(), 5u) << "1, 10, 100, 1000 and 10,000 of them";
}

TEST_F(DataEventsTest, RefusedFramesAreCountedByPeerAndToldNowAndThen) {
  for (int k = 0; k < 99; ++k) events_.OnFrameRefused(kFlooder, FrameRefusal::kMalformed);
  events_.OnFrameRefused({}, FrameRefusal::kUnknownToken);
  EXPECT_EQ(events_.refused().at(kFlooder)[static_cast<size_t>(FrameRefusal::kMalformed)], 99u);
  const std::vector<FramesRefused> told = All<FramesRefused>(Drain());
  ASSERT_EQ(told.size(), 3u);
  EXPECT_EQ(told[0].peer, kFlooder);
  EXPECT_EQ(told[0].count, 1u);
  EXPECT_EQ(told[1].count, 10u);
  EXPECT_EQ(told[2].reason, FrameRefusal::kUnknownToken);
  EXPECT_TRUE(told[2].peer.IsZero());
}

TEST_F(DataEventsTest, TheCoreIsWokenAtTheEndOfABatchAndOnce) {
  const uint64_t before = executor_->wake_ups();
  events_.OnBatchBegan();
  events_.OnPullRequest(RequestOf(kHonest, 1));
  events_.OnPullEnded(RequestId{1}, PullEnd::kLanded);
  EXPECT_EQ(executor_->wake_ups(), before);
  events_.OnBatchEnded();
  EXPECT_EQ(executor_->wake_ups(), before + 1);
  EXPECT_EQ(Drain().size(), 2u);
}

TEST_F(DataEventsTest, ABatchOfNothingWakesNobody) {
  const uint64_t before = executor_->wake_ups();
  events_.OnBatchBegan();
  events_.OnBatchEnded();
  EXPECT_EQ(executor_->wake_ups(), before);
}

TEST_F(DataEventsTest, PeersBeyondTheLimitAreCountedTogether) {
  for (uint64_t k = 1; k <= DataEvents::kPeersCountedMax + 10; ++k) {
    events_.OnFrameRefused({k, k}, FrameRefusal::kUnfitting);
  }
  EXPECT_EQ(events_.refused().size(), DataEvents::kPeersCountedMax + 1);
  EXPECT_EQ(events_.refused().at({})[static_cast<size_t>(FrameRefusal::kUnfitting)], 10u);
}

}  // namespace
}  // namespace weightmesh
