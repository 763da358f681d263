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
  // Not kNoRound: the newest snapshot that the source has will do, if it is not older than this.
  Round oldest_round{};
  SegmentId segment{};
  uint32_t remaining_ms = 0;  // how long the reader will wait
  Round newest_round{};       // newest round that the sender knows to be published
  // Puller's side only: how far from `round` the data's round may be; both 0 but in async.
  uint64_t rounds_behind_max = 0;
  uint64_t rounds_ahead_max = 0;
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

// Whether data of `round` is what `request` asked for.
inline bool Accepts(const PullRequest& request, Round round) {
  if (request.oldest_round != kNoRound) return round >= request.oldest_round;
  return round <= request.round ? Value(request.round) - Value(round) <= request.rounds_behind_max
                                : Value(round) - Value(request.round) <= request.rounds_ahead_max;
}

// Whether `answer` says something about what `request` asked for. Data of a round that it does not
// accept is another snapshot, however whole it is.
inline bool Fits(const PullAnswer& answer, const PullRequest& request) {
  return answer.run_key == request.run_key && answer.segment == request.segment &&
         (answer.verdict != wire::Verdict::kData || Accepts(request, answer.round));
}

// Why a frame of another daemon was refused: a correct one sends none of these.
enum class FrameRefusal : uint32_t {
  kMalformed,     // none at all, of another version, or one that contradicts itself
  kUnknownToken,  // from nobody that this daemon gave a token to
  kUnfitting,     // an answer to something else than was asked, or data of another length
  kTooMany,       // more answers to one request than a source has to give
  kOverrun,       // more unasked frames than this daemon keeps at once
};
constexpr uint32_t kFrameRefusalCount = 5;

constexpr const char* FrameRefusalName(FrameRefusal refusal) {
  constexpr const char* kNames[kFrameRefusalCount] = {"malformed", "unknown token",
                                                      "unfitting answer", "too many answers",
                                                      "too many requests at once"};
  const auto index = static_cast<uint32_t>(refusal);
  return index < kFrameRefusalCount ? kNames[index] : "unknown";
}

// How the transport's part of a pull ended. After it the landing memory is never written again.
enum class PullEnd {
  kLanded,     // all bytes are in the landing memory
  kNoData,     // a final verdict came instead
  kCancelled,  // cancelled before the data began
  kFailed,     // the link broke, or the data did not fit
  kNoRoom,     // a limit of this daemon's transport was reached; nothing was asked
};

}  // namespace weightmesh
