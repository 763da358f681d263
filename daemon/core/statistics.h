// Counters and histograms of replicas, segments, sources and links; plain data.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <map>
#include <vector>

#include "absl/time/time.h"
#include "daemon/core/ids.h"
#include "daemon/core/pull.h"
#include "proto/outcome.h"

namespace weightmesh {

// Counts by power of two: bucket k counts 2^k <= value < 2^(k+1); bucket 0 also value 0.
struct Histogram {
  std::array<uint64_t, 40> buckets{};
  uint64_t count = 0;
  uint64_t sum = 0;

  void Add(uint64_t value) {
    const size_t bucket = value == 0 ? 0 : std::bit_width(value) - 1;
    ++buckets[bucket < buckets.size() ? bucket : buckets.size() - 1];
    ++count;
    sum += value;
  }
};

using OutcomeCounts = std::array<uint64_t, kOutcomeCount>;  // by Outcome

// Frames refused, by FrameRefusal.
using FrameRefusals = std::array<uint64_t, kFrameRefusalCount>;

// Why a request was not served although its frame was well formed.
enum class RequestRefusal : uint32_t {
  kImplausibleRound,  // far beyond the newest round known
  kForeignReader,     // for a replica that is no founder, or lives on another daemon
  kUnknownSegment,
  kBeyondShare,  // more than that peer, or that replica, may ask for at once
};
constexpr uint32_t kRequestRefusalCount = 4;

constexpr const char* RequestRefusalName(RequestRefusal refusal) {
  constexpr const char* kNames[kRequestRefusalCount] = {
      "a round far beyond the newest", "a reader that is not its own", "a segment that is none",
      "more than its share"};
  const auto index = static_cast<uint32_t>(refusal);
  return index < kRequestRefusalCount ? kNames[index] : "unknown";
}

// Whether a thing that happens for the nth time is worth a line in the log: 1, 10, 100, …
constexpr bool IsPowerOfTen(uint64_t count) {
  while (count >= 10 && count % 10 == 0) count /= 10;
  return count == 1;
}

struct SegmentStatistics {
  OutcomeCounts pulls{};
  uint64_t bytes_received = 0;
};

struct SourceStatistics {
  uint64_t arrived = 0;
  uint64_t failed = 0;
  uint64_t bytes = 0;
};

// Meanings and units: ReplicaStats of proto/weightmesh/v1/mesh.proto.
struct ReplicaStatistics {
  uint64_t rounds_published = 0;
  uint64_t publishes_skipped = 0;
  uint64_t rounds_collected = 0;
  OutcomeCounts pulls{};
  uint64_t redirects = 0;
  uint64_t bytes_received = 0;
  uint64_t bytes_sent = 0;
  uint64_t segments_read = 0;
  uint64_t requests_late = 0;
  uint64_t segments_published = 0;
  Histogram pull_time_us;
  Histogram round_time_us;
  Histogram staleness;
  double consensus_distance = 0;
  std::vector<SegmentStatistics> segments;
  std::vector<SourceStatistics> sources;  // by number in the run's roster
};

// Units: Link of mesh.proto.
struct LinkStatistics {
  uint64_t bytes_received = 0;
  uint64_t bytes_sent = 0;
  uint64_t pulls_landed = 0;
  uint64_t sends_ended = 0;
  uint64_t failures = 0;
  std::array<uint64_t, kRequestRefusalCount> requests_refused{};  // by RequestRefusal
  uint64_t cuts = 0;
  Histogram pull_time_us;
  uint64_t busy_us = 0;  // time with at least one pull open, as far as it is over

  void PullOpened(absl::Time now) {
    if (open_pulls_++ == 0) busy_since_ = now;
  }
  void PullClosed(absl::Time now) {
    if (--open_pulls_ == 0) busy_us += absl::ToInt64Microseconds(now - busy_since_);
  }

 private:
  uint32_t open_pulls_ = 0;
  absl::Time busy_since_;
};

}  // namespace weightmesh
