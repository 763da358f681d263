// Checks of what arrives as an active message.
#include "daemon/transport/received_frame.h"

#include <cstring>
#include <type_traits>

namespace weightmesh {
namespace {

using wire::FrameType;
using wire::Verdict;

// A frame of the size and kind that its active-message id promises.
template <typename Frame>
std::optional<Frame> ReadAs(const ArrivedMessage& message) {
  static_assert(std::is_trivially_copyable_v<Frame>);
  Frame frame;
  if (message.header_bytes != sizeof frame) return std::nullopt;
  std::memcpy(&frame, message.header, sizeof frame);
  const wire::FrameHeader& common = frame.header;
  if (common.magic != wire::kMagic || common.version != wire::kVersion ||
      common.type != static_cast<uint16_t>(message.type)) {
    return std::nullopt;
  }
  return frame;
}

// The same for a frame that brings no data.
template <typename Frame>
std::optional<ReceivedFrame> ReadAlone(const ArrivedMessage& message) {
  if (message.data_bytes > 0 || message.rendezvous) return std::nullopt;
  return ReadAs<Frame>(message);
}

bool IsKnown(uint32_t verdict) {
  return verdict >= static_cast<uint32_t>(Verdict::kData) &&
         verdict <= static_cast<uint32_t>(Verdict::kDead);
}

std::optional<ReceivedFrame> ReadAnswer(const ArrivedMessage& message) {
  const auto frame = ReadAs<wire::PullAnswerFrame>(message);
  if (!frame.has_value() || !IsKnown(frame->verdict)) return std::nullopt;
  const bool with_data = frame->verdict == static_cast<uint32_t>(Verdict::kData);
  if (with_data != message.rendezvous || frame->bytes != message.data_bytes) return std::nullopt;
  if (!with_data && message.data_bytes > 0) return std::nullopt;
  return frame;
}

}  // namespace

std::optional<ReceivedFrame> ReadFrame(const ArrivedMessage& message) {
  switch (message.type) {
    case FrameType::kPullRequest:
      return ReadAlone<wire::PullRequestFrame>(message);
    case FrameType::kPullAnswer:
      return ReadAnswer(message);
    case FrameType::kPullCancel:
      return ReadAlone<wire::PullCancelFrame>(message);
    case FrameType::kIdleClose:
      return ReadAlone<wire::IdleCloseFrame>(message);
  }
  return std::nullopt;
}

uint64_t TokenOf(const ReceivedFrame& frame) {
  return std::visit([](const auto& kind) { return kind.header.token; }, frame);
}

PullRequest ToPullRequest(NodeId peer, const wire::PullRequestFrame& frame) {
  PullRequest request;
  request.peer = peer;
  request.request_id = RequestId{frame.request_id};
  request.run_key = frame.run_key;
  request.source = {frame.source_high, frame.source_low};
  request.reader = {frame.reader_high, frame.reader_low};
  request.round = Round{frame.round};
  request.oldest_round = Round{frame.oldest_round};
  request.segment = SegmentId{frame.segment};
  request.remaining_ms = frame.remaining_ms;
  request.newest_round = Round{frame.newest_round};
  return request;
}

PullAnswer ToPullAnswer(NodeId peer, const wire::PullAnswerFrame& frame) {
  return {peer,
          RequestId{frame.request_id},
          frame.run_key,
          static_cast<Verdict>(frame.verdict),
          SegmentId{frame.segment},
          Round{frame.round},
          Round{frame.newest_round}};
}

bool IsFinal(Verdict verdict) {
  switch (verdict) {
    case Verdict::kGone:
    case Verdict::kSkipped:
    case Verdict::kBusy:
    case Verdict::kDead:
      return true;
    case Verdict::kData:
    case Verdict::kQueued:
    case Verdict::kWaiting:
      return false;
  }
  return false;
}

}  // namespace weightmesh
