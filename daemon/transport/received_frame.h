// ReceivedFrame: an active message that arrived from a peer, checked. Pure, any thread.
//
// All that can be said of a frame without knowing the links and pulls of the transport: whether it
// is one, and what it says in the core's words. Nothing in it is trusted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <variant>

#include "daemon/core/ids.h"
#include "daemon/core/pull.h"
#include "proto/wire.h"

namespace weightmesh {

using ReceivedFrame = std::variant<wire::PullRequestFrame, wire::PullAnswerFrame,
                                   wire::PullCancelFrame, wire::IdleCloseFrame>;

// One active message: the id it was sent to, its header (at any alignment), and how much data came
// with it, and how.
struct ArrivedMessage {
  wire::FrameType type{};
  const void* header = nullptr;
  size_t header_bytes = 0;
  uint64_t data_bytes = 0;
  bool rendezvous = false;
};

// The frame, if the message is one: of the size, magic, version and type that its id promises, with
// a verdict that there is, and with data only where it says so (an answer of kData, by rendezvous,
// of exactly the bytes that it names).
std::optional<ReceivedFrame> ReadFrame(const ArrivedMessage& message);

// The token on a frame: it tells which peer sent it.
uint64_t TokenOf(const ReceivedFrame& frame);

// What the frame of `peer` asks, or answers. Every number is as it came.
PullRequest ToPullRequest(NodeId peer, const wire::PullRequestFrame& frame);
// REQUIRES: the frame came from ReadFrame.
PullAnswer ToPullAnswer(NodeId peer, const wire::PullAnswerFrame& frame);

// No answer to the same request follows this one, and no data.
bool IsFinal(wire::Verdict verdict);

}  // namespace weightmesh
