// A transfer that stops in the middle, from the core's decisions down to the bytes: the real core
// over FaultTransport and the loopback.
#include <gtest/gtest.h>

#include <condition_variable>
#include <deque>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "daemon/core/mutex.h"
#include "daemon/transport/fault.h"
#include "daemon/transport/loopback.h"
#include "tests/testing/core_harness.h"
#include "tests/transport/transport_node.h"

namespace weightmesh {
namespace {

using testing_support::CoreHarness;

constexpr size_t kSegmentBytes = 1000;  // CoreHarness's

RunConfig Config() {
  RunConfig config;
  config.seed = 1;
  config.round_deadline = absl::Seconds(1);
  return config;
}

// The core of node 0, in virtual time, drives a real transport; node 1 is played by the test.
class StoppedTransferTest : public testing::Test, private TransportSink {
 protected:
  StoppedTransferTest() {
    FaultOptions options;
    options.stop_pull.nth = 1;
    faults_ = std::make_unique<FaultTransport>(std::make_unique<LoopbackTransport>(hub_), options);
    EXPECT_TRUE(faults_->Start(this).ok());
    EXPECT_TRUE(faults_->Register(absl::MakeSpan(memory_), MemoryKind::kHost).ok());
    source_ = std::make_unique<TransportNode>(2, std::make_unique<LoopbackTransport>(hub_), 65536);
    Connect();
    harness_.StartRun(1);
  }
  ~StoppedTransferTest() override { faults_->Stop(); }

  absl::Span<std::byte> Inbox(uint32_t buffer) {
    return absl::MakeSpan(memory_).subspan(buffer * kSegmentBytes, kSegmentBytes);
  }

  // Runs what the core has asked for last, and notes it.
  void RunActions() {
    const Actions actions = harness_.actions;
    for (const Action& action : actions) {
      if (const auto* pull = std::get_if<StartPull>(&action)) {
        happened_.push_back("pull into " + std::to_string(pull->buffer));
        faults_->Pull(pull->request, Inbox(pull->buffer));
      } else if (const auto* cancel = std::get_if<CancelPull>(&action)) {
        happened_.push_back("cancel");
        faults_->Cancel(cancel->request_id);
      } else if (std::holds_alternative<CutLink>(action)) {
        happened_.push_back("cut");
        faults_->Disconnect(CoreHarness::NodeOf(1), /*force=*/true);
      } else if (std::holds_alternative<struct Connect>(action)) {
        Connect();
        harness_.Step(LinkReady{CoreHarness::NodeOf(1), harness_.InfoOf(1).session});
      } else if (const auto* deliver = std::get_if<Deliver>(&action)) {
        const FrozenSegment& segment = deliver->segments[0];
        happened_.push_back(segment.delivered ? "delivered in " + std::to_string(segment.buffer)
                                              : OutcomeName(segment.outcome));
      }
    }
  }
  void Publish(uint64_t round) {
    harness_.Publish(round, round % 3);
    RunActions();
  }
  void Collect(uint64_t round) {
    harness_.Collect(round);
    RunActions();
  }
  void Advance(absl::Duration time) {
    harness_.Advance(time);
    RunActions();
  }
  void Mix(uint64_t round) {
    const std::vector<MixedSegmentResult> results = {{Outcome::kArrived, 0}};
    harness_.Step(Mixed{CoreHarness::kAttach, Round{round}, results});
  }
  // Node 1 answers the pull of `round`, the nth that it hears of.
  void Send(size_t nth, uint64_t round) {
    source_->Send(source_->WaitForRequest(nth), source_->AllocatePattern(kSegmentBytes, round));
  }
  // Tells the core what the transport says next; waits for it.
  void Pump() {
    Event event;
    {
      std::unique_lock<std::mutex> lock(mutex_.native());
      ASSERT_TRUE(arrived_.wait_for(lock, kPatience, [this] { return !events_.empty(); }));
      event = events_.front();
      events_.pop_front();
    }
    if (const auto* answer = std::get_if<PullAnswered>(&event)) {
      happened_.push_back(answer->answer.verdict == wire::Verdict::kData ? "data begins" : "?");
    } else if (const auto* ended = std::get_if<PullEnded>(&event)) {
      happened_.push_back(ended->end == PullEnd::kLanded ? "landed" : "ended");
    }
    harness_.Step(event);
    RunActions();
  }
  bool IsQuiet() {
    MutexLock lock(&mutex_);
    return events_.empty();
  }

  LoopbackHub hub_;
  CoreHarness harness_{Config()};
  std::vector<std::byte> memory_ = std::vector<std::byte>(2 * kSegmentBytes, kUntouched);
  std::unique_ptr<FaultTransport> faults_;
  std::unique_ptr<TransportNode> source_;
  std::vector<std::string> happened_;

 private:
  void Connect() {
    const uint64_t there = ++token_;
    const uint64_t back = ++token_;
    faults_->Connect({CoreHarness::NodeOf(1), source_->transport().address(), there, back});
    source_->transport().Connect({CoreHarness::NodeOf(0), faults_->address(), back, there});
  }
  void Post(Event event) {
    {
      MutexLock lock(&mutex_);
      events_.push_back(std::move(event));
    }
    arrived_.notify_all();
  }
  void OnPullRequest(const PullRequest&) override {}
  void OnPullCancel(NodeId, RequestId) override {}
  void OnPullAnswer(const PullAnswer& answer) override { Post(PullAnswered{answer}); }
  void OnPullEnded(RequestId id, PullEnd end) override { Post(PullEnded{id, end}); }
  void OnSendEnded(SendId, bool) override {}
  void OnLinkDown(NodeId, absl::string_view) override {}
  void OnFrameRefused(NodeId, FrameRefusal) override {}

  uint64_t token_ = 0;
  Mutex mutex_;
  std::condition_variable arrived_;
  std::deque<Event> events_;
};

TEST_F(StoppedTransferTest, ItsBufferIsUsedAgainOnlyAfterTheCutLinkHasEndedIt) {
  Publish(1);
  Send(0, 1);
  Pump();
  Collect(1);
  Advance(absl::Seconds(1));

  // The other buffer serves meanwhile.
  Publish(2);
  Send(1, 2);
  Pump();
  Pump();
  Collect(2);
  EXPECT_TRUE(HoldsPattern(Inbox(1), 2));
  Mix(2);
  Advance(absl::Milliseconds(1999));
  EXPECT_EQ(faults_->counts().pulls_stopped, 1u);
  EXPECT_TRUE(IsQuiet()) << "the cancel does not end it";
  EXPECT_TRUE(HoldsPattern(Inbox(0).first(kSegmentBytes / 2), 1));
  EXPECT_TRUE(IsUntouched(Inbox(0).subspan(kSegmentBytes / 2)));

  // Two deadlines after it was LATE.
  Advance(absl::Milliseconds(1));
  Pump();
  EXPECT_TRUE(HoldsPattern(Inbox(0), 1)) << "its late bytes land before it is told to have ended";
  Advance(absl::Milliseconds(250));
  Publish(3);
  Send(2, 3);
  Pump();
  Pump();
  Collect(3);
  EXPECT_TRUE(HoldsPattern(Inbox(0), 3));
  EXPECT_TRUE(HoldsPattern(Inbox(1), 2));

  EXPECT_EQ(happened_,
            (std::vector<std::string>{"pull into 0", "data begins", "cancel", "LATE",  //
                                      "pull into 1", "data begins", "landed", "delivered in 1",
                                      "cut", "ended",  //
                                      "pull into 0", "data begins", "landed", "delivered in 0"}));
}

}  // namespace
}  // namespace weightmesh
