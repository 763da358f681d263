// Frames that a correct peer never sends are refused and counted, and touch nothing.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "daemon/transport/ucx/ucx_transport.h"
#include "proto/wire.h"
#include "tests/transport/transport_node.h"
#include "tests/transport/ucx_forger.h"

namespace weightmesh {
namespace {

using wire::FrameType;

constexpr uint64_t kToken = 4242;
constexpr NodeId kForger{9, 9};
constexpr auto kAnswerId = static_cast<unsigned>(FrameType::kPullAnswer);

template <typename Frame>
Frame Make(FrameType type) {
  return MakeFrame<Frame>(type, kToken);
}

class UcxFramesTest : public testing::Test {
 protected:
  UcxFramesTest() {
    auto made = NewUcxTransport({.network_devices = "", .control_ip = "127.0.0.1"});
    EXPECT_TRUE(made.ok()) << made.status();
    transport_ = made->get();
    node_ = std::make_unique<TransportNode>(1, *std::move(made));
    forger_ = std::make_unique<UcxForger>(transport_->address());
    transport_->Connect({kForger, forger_->address(), 1, kToken});
  }

  // Expects the message to be refused and counted.
  void Refused(FrameType id, const std::string& header, const std::string& data = "",
               uint32_t flags = UCP_AM_SEND_FLAG_EAGER) {
    forger_->Send(static_cast<unsigned>(id), header, data, flags);
    ++refused_;
    EXPECT_TRUE(forger_->ProgressUntil([&] { return transport_->frames_refused() >= refused_; }));
    EXPECT_EQ(transport_->frames_refused(), refused_);
  }

  // How many frames were refused for `reason`, of `peer`.
  size_t RefusedFor(NodeId peer, FrameRefusal reason) {
    size_t count = 0;
    node_->sink().WaitFor([&](const RecordingSink& sink) {
      count = std::count(sink.refusals.begin(), sink.refusals.end(), std::pair(peer, reason));
      return true;
    });
    return count;
  }

  uint64_t refused_ = 0;
  UcxTransport* transport_;
  std::unique_ptr<TransportNode> node_;
  std::unique_ptr<UcxForger> forger_;
};

TEST_F(UcxFramesTest, RefusesFramesOfAnotherSizeOrKind) {
  const auto request = Make<wire::PullRequestFrame>(FrameType::kPullRequest);
  Refused(FrameType::kPullRequest, Bytes(request).substr(1));
  Refused(FrameType::kPullRequest, Bytes(request) + "x");
  Refused(FrameType::kPullRequest, "");
  Refused(FrameType::kPullCancel, Bytes(request));
  Refused(FrameType::kPullRequest, Bytes(request), "data");
  Refused(FrameType::kPullRequest, Bytes(request), std::string(100000, 'x'), UCP_AM_SEND_FLAG_RNDV);
  Refused(FrameType::kPullRequest, std::string(8000, 'x'));
  Refused(FrameType::kPullRequest, Bytes(request), std::string(16u << 20, 'x'));
  Refused(FrameType::kPullRequest, Bytes(request), std::string(16u << 20, 'x'),
          UCP_AM_SEND_FLAG_RNDV);

  for (const unsigned id : {0u, 5u, 1000u, 65535u}) {
    Refused(static_cast<FrameType>(id), Bytes(request));
    Refused(static_cast<FrameType>(id), "", std::string(100000, 'x'), UCP_AM_SEND_FLAG_RNDV);
  }

  auto wrong = request;
  wrong.header.magic ^= 1;
  Refused(FrameType::kPullRequest, Bytes(wrong));
  wrong = request;
  wrong.header.version += 1;
  Refused(FrameType::kPullRequest, Bytes(wrong));
  wrong = request;
  wrong.header.type = static_cast<uint16_t>(FrameType::kPullCancel);
  Refused(FrameType::kPullRequest, Bytes(wrong));
  wrong = request;
  wrong.header.token = kToken + 1;
  Refused(FrameType::kPullRequest, Bytes(wrong));

  EXPECT_EQ(RefusedFor({}, FrameRefusal::kUnknownToken), 1u);
  EXPECT_EQ(RefusedFor({}, FrameRefusal::kMalformed), refused_ - 1);
  EXPECT_TRUE(node_->sink().WaitFor(
      [](const RecordingSink& sink) { return sink.requests.empty() && sink.cancels.empty(); }));
  forger_->Send(static_cast<unsigned>(FrameType::kPullRequest), Bytes(request), "",
                UCP_AM_SEND_FLAG_EAGER);
  EXPECT_EQ(node_->WaitForRequest().peer, kForger);
}

TEST_F(UcxFramesTest, RefusesAnswersThatContradictThemselves) {
  const auto landing = node_->Allocate(1000);
  const RequestId pull = node_->PullFrom(kForger, landing);
  const std::string data(1000, 'x');
  auto answer = Make<wire::PullAnswerFrame>(FrameType::kPullAnswer);
  answer.request_id = Value(pull);
  answer.run_key = 7;  // as PullFrom asks
  answer.round = 11;

  for (const uint32_t verdict : {0u, 8u, 0xffffffffu}) {
    answer.verdict = verdict;
    Refused(FrameType::kPullAnswer, Bytes(answer));
  }
  answer.verdict = static_cast<uint32_t>(wire::Verdict::kGone);
  answer.bytes = 1000;  // announced, but not there
  Refused(FrameType::kPullAnswer, Bytes(answer));
  Refused(FrameType::kPullAnswer, Bytes(answer), data, UCP_AM_SEND_FLAG_RNDV);

  answer.verdict = static_cast<uint32_t>(wire::Verdict::kData);
  Refused(FrameType::kPullAnswer, Bytes(answer));  // without its data
  Refused(FrameType::kPullAnswer, Bytes(answer), data, UCP_AM_SEND_FLAG_EAGER);
  answer.bytes = 999;
  Refused(FrameType::kPullAnswer, Bytes(answer), data, UCP_AM_SEND_FLAG_RNDV);
  EXPECT_TRUE(IsUntouched(landing));
  EXPECT_EQ(RefusedFor({}, FrameRefusal::kMalformed), refused_);

  answer.bytes = 1000;
  EXPECT_EQ(forger_->Send(static_cast<unsigned>(FrameType::kPullAnswer), Bytes(answer), data,
                          UCP_AM_SEND_FLAG_RNDV),
            UCS_OK);
  EXPECT_EQ(node_->WaitForEnd(pull), PullEnd::kLanded);
}

TEST_F(UcxFramesTest, AReplyThatNobodyAskedForTouchesNothing) {
  const auto landing = node_->Allocate(1000);
  const RequestId pull = node_->PullFrom(kForger, landing);
  auto answer = Make<wire::PullAnswerFrame>(FrameType::kPullAnswer);
  answer.run_key = 7;
  answer.round = 11;
  uint64_t unasked = 0;
  for (const uint64_t id : {uint64_t{0}, Value(pull) + 1, ~uint64_t{0}}) {
    answer.request_id = id;
    answer.verdict = static_cast<uint32_t>(wire::Verdict::kGone);
    answer.bytes = 0;
    forger_->Send(kAnswerId, Bytes(answer), "", UCP_AM_SEND_FLAG_EAGER);
    answer.verdict = static_cast<uint32_t>(wire::Verdict::kData);
    answer.bytes = 1000;
    EXPECT_NE(
        forger_->Send(kAnswerId, Bytes(answer), std::string(1000, 'x'), UCP_AM_SEND_FLAG_RNDV),
        UCS_OK);
    unasked += 2;
    EXPECT_TRUE(forger_->ProgressUntil([&] { return transport_->answers_unasked() == unasked; }));
  }
  EXPECT_EQ(transport_->frames_refused(), 0u);
  EXPECT_TRUE(IsUntouched(landing));
  answer.request_id = Value(pull);
  EXPECT_EQ(forger_->Send(kAnswerId, Bytes(answer), std::string(1000, 'x'), UCP_AM_SEND_FLAG_RNDV),
            UCS_OK);
  EXPECT_EQ(node_->WaitForEnd(pull), PullEnd::kLanded);
  // The same data again: the landing is the mixer's by now.
  EXPECT_NE(forger_->Send(kAnswerId, Bytes(answer), std::string(1000, 'y'), UCP_AM_SEND_FLAG_RNDV),
            UCS_OK);
  EXPECT_EQ(landing[0], std::byte{'x'});
}

TEST_F(UcxFramesTest, HearsFewAnswersToOneRequest) {
  const RequestId pull = node_->PullFrom(kForger, node_->Allocate(1000));
  auto answer = Make<wire::PullAnswerFrame>(FrameType::kPullAnswer);
  answer.request_id = Value(pull);
  answer.run_key = 7;
  answer.round = 11;
  answer.verdict = static_cast<uint32_t>(wire::Verdict::kWaiting);
  constexpr uint64_t kAnswers = 1000;
  for (uint64_t k = 0; k < kAnswers; ++k) {
    forger_->Send(kAnswerId, Bytes(answer), "", UCP_AM_SEND_FLAG_EAGER);
  }
  const uint64_t refused = kAnswers - (kAnswersPerPullMax - 1);
  EXPECT_TRUE(forger_->ProgressUntil([&] { return transport_->frames_refused() == refused; }));
  EXPECT_EQ(RefusedFor(kForger, FrameRefusal::kTooMany), refused);
  answer.verdict = static_cast<uint32_t>(wire::Verdict::kData);
  answer.bytes = 1000;
  EXPECT_EQ(forger_->Send(kAnswerId, Bytes(answer), std::string(1000, 'x'), UCP_AM_SEND_FLAG_RNDV),
            UCS_OK)
      << "the last one is";
  EXPECT_EQ(node_->WaitForEnd(pull), PullEnd::kLanded);
}

// Answers to a peer that never reads pile up; there is still room to ask others.
TEST(UcxFramesOut, APeerThatReadsNothingLeavesRoomForOthers) {
  constexpr int kBatches = 12;
  constexpr int kBatch = 30000;
  auto made = NewUcxTransport({.network_devices = "", .control_ip = "127.0.0.1", .frames_max = 64});
  ASSERT_TRUE(made.ok()) << made.status();
  Transport* const transport = made->get();
  TransportNode node(1, *std::move(made));
  UcxForger deaf(transport->address());
  transport->Connect({kForger, deaf.address(), 1, kToken});
  auto request = Make<wire::PullRequestFrame>(FrameType::kPullRequest);
  deaf.Send(static_cast<unsigned>(FrameType::kPullRequest), Bytes(request), "",
            UCP_AM_SEND_FLAG_EAGER);
  const PullRequest asked = node.WaitForRequest();
  std::vector<std::byte> barrier(4096);
  for (int batch = 0; batch < kBatches; ++batch) {
    for (int k = 0; k < kBatch; ++k) node.Answer(asked, wire::Verdict::kDead);
    // Waits for the transport's thread.
    ASSERT_TRUE(transport->Register(absl::MakeSpan(barrier), MemoryKind::kHost).ok());
    transport->Unregister(absl::MakeSpan(barrier));
  }
  auto other = NewUcxTransport({.network_devices = "", .control_ip = "127.0.0.1"});
  ASSERT_TRUE(other.ok()) << other.status();
  TransportNode source(2, *std::move(other));
  Link(node, source);
  const RequestId pull = node.Pull(source, node.Allocate(1000));
  source.Send(source.WaitForRequest(), source.AllocatePattern(1000, 1));
  EXPECT_EQ(node.WaitForEnd(pull), PullEnd::kLanded);
}

}  // namespace
}  // namespace weightmesh
