// What counts as a frame, and what it says: every way in which a message is none is refused.
#include "daemon/transport/received_frame.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <variant>

namespace weightmesh {
namespace {

using wire::FrameType;
using wire::Verdict;

constexpr uint64_t kToken = 4242;

template <typename Frame>
Frame Make(FrameType type) {
  Frame frame{};
  frame.header = {wire::kMagic, wire::kVersion, static_cast<uint16_t>(type), kToken};
  return frame;
}

// Reads `frame` from memory of no alignment and of exactly its size, so that a sanitizer sees a
// byte too many.
template <typename Frame>
std::optional<ReceivedFrame> Read(FrameType type, const Frame& frame, uint64_t data_bytes = 0,
                                  bool rendezvous = false, size_t header_bytes = sizeof(Frame)) {
  std::string bytes(1 + header_bytes, '\0');
  std::memcpy(&bytes[1], &frame, std::min(header_bytes, sizeof frame));
  return ReadFrame({type, &bytes[1], header_bytes, data_bytes, rendezvous});
}

TEST(ReadFrame, TakesEachKind) {
  auto request = Make<wire::PullRequestFrame>(FrameType::kPullRequest);
  request.remaining_ms = 7;
  const auto read = Read(FrameType::kPullRequest, request);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(std::get<wire::PullRequestFrame>(*read).remaining_ms, 7u);
  EXPECT_EQ(TokenOf(*read), kToken);
  EXPECT_TRUE(Read(FrameType::kPullCancel, Make<wire::PullCancelFrame>(FrameType::kPullCancel))
                  .has_value());
  EXPECT_TRUE(
      Read(FrameType::kIdleClose, Make<wire::IdleCloseFrame>(FrameType::kIdleClose)).has_value());
}

TEST(ReadFrame, RefusesAnotherSizeMagicVersionOrType) {
  const auto good = Make<wire::PullRequestFrame>(FrameType::kPullRequest);
  for (const size_t bytes : {size_t{0}, size_t{1}, sizeof good - 1, sizeof good + 1}) {
    EXPECT_FALSE(Read(FrameType::kPullRequest, good, 0, false, bytes).has_value()) << bytes;
  }
  auto wrong = good;
  wrong.header.magic ^= 1;
  EXPECT_FALSE(Read(FrameType::kPullRequest, wrong).has_value());
  wrong = good;
  wrong.header.version += 1;
  EXPECT_FALSE(Read(FrameType::kPullRequest, wrong).has_value());
  wrong = good;
  wrong.header.type = static_cast<uint16_t>(FrameType::kPullAnswer);
  EXPECT_FALSE(Read(FrameType::kPullRequest, wrong).has_value());
  EXPECT_FALSE(Read(static_cast<FrameType>(0), good).has_value());
  EXPECT_FALSE(Read(static_cast<FrameType>(5), good).has_value());
}

TEST(ReadFrame, OnlyAnAnswerBringsData) {
  const auto request = Make<wire::PullRequestFrame>(FrameType::kPullRequest);
  EXPECT_FALSE(Read(FrameType::kPullRequest, request, 1).has_value());
  EXPECT_FALSE(Read(FrameType::kPullRequest, request, 1, true).has_value());
  const auto cancel = Make<wire::PullCancelFrame>(FrameType::kPullCancel);
  EXPECT_FALSE(Read(FrameType::kPullCancel, cancel, 1, true).has_value());
}

TEST(ReadFrame, AnAnswersDataIsWhatItSays) {
  auto answer = Make<wire::PullAnswerFrame>(FrameType::kPullAnswer);
  answer.verdict = static_cast<uint32_t>(Verdict::kData);
  answer.bytes = 1000;
  EXPECT_TRUE(Read(FrameType::kPullAnswer, answer, 1000, true).has_value());
  EXPECT_FALSE(Read(FrameType::kPullAnswer, answer, 1000, false).has_value());
  EXPECT_FALSE(Read(FrameType::kPullAnswer, answer, 999, true).has_value());

  answer.verdict = static_cast<uint32_t>(Verdict::kGone);
  EXPECT_FALSE(Read(FrameType::kPullAnswer, answer, 1000, true).has_value());
  EXPECT_FALSE(Read(FrameType::kPullAnswer, answer, 1000, false).has_value());
  EXPECT_FALSE(Read(FrameType::kPullAnswer, answer, 0, false).has_value());
  answer.bytes = 0;
  EXPECT_TRUE(Read(FrameType::kPullAnswer, answer, 0, false).has_value());
}

TEST(ReadFrame, AVerdictIsOneThatThereIs) {
  auto answer = Make<wire::PullAnswerFrame>(FrameType::kPullAnswer);
  for (const uint32_t verdict : {0u, 8u, 0xffffffffu}) {
    answer.verdict = verdict;
    EXPECT_FALSE(Read(FrameType::kPullAnswer, answer).has_value()) << verdict;
  }
}

}  // namespace
}  // namespace weightmesh
