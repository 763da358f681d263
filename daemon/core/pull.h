// A pull as it crosses the data plane: what is asked, what is answered, how it ends; plain data.
#pragma once

#include <cstdint>

#include "daemon/core/ids.h"
#include "proto/wire.h"

namespace weightmesh {

// What a puller asks a source for.
struct PullRequest {
  NodeId peer;           // to whom (puller's side) or from whom (source's side)
  RequestId request_id;  // the puller's
  RunKey run_key = 0;
  ReplicaId source;  // the replica that is asked
  ReplicaId reader;  // the replica that asks
  Round round{};
  SegmentId segment{};
  uint32_t remaining_ms = 0;  // how long the reader will wait
  Round newest_round{};       // newest round that the sender knows to be published
};

// What a source answers.
struct PullAnswer {
  NodeId peer;  // to whom (source's side) or from whom (puller's side)
  RequestId request_id;
  RunKey run_key = 0;
  wire::Verdict verdict{};
  SegmentId segment{};
  Round round{};  // kData: the data's round; otherwise the source's newest published round
  Round newest_round{};
};

// How the transport's part of a pull ended. After it the landing memory is never written again.
enum class PullEnd {
  kLanded,     // all bytes are in the landing memory
  kNoData,     // a final verdict came instead
  kCancelled,  // cancelled before the data began
  kFailed,     // the link broke, or the data did not fit
  kNoRoom,     // a limit of this daemon's transport was reached; nothing was asked
};

}  // namespace weightmesh
