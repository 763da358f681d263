// SinkTest: replica 0 of a core, which pulls one segment from others.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <vector>

#include "tests/testing/core_harness.h"

namespace weightmesh {

using testing_support::CoreHarness;

inline RunConfig Config(Mode mode) {
  RunConfig config;
  config.mode = mode;
  config.seed = 1;
  config.round_deadline = absl::Seconds(1);  // probe_timeout 200 ms, overlap_grace 100 ms at most
  return config;
}

// Replica 0 among `peers` others, one segment.
class SinkTest : public testing::Test {
 protected:
  explicit SinkTest(Mode mode = Mode::kLockstep, uint32_t peers = 3) : harness_(Config(mode)) {
    harness_.StartRun(peers);
  }

  // Publishes `round`; the pull that this starts.
  StartPull Begin(uint64_t round) {
    harness_.Publish(round, round % 3);
    return harness_.Only<StartPull>();
  }
  // The replica that is asked.
  static uint32_t Asked(const StartPull& pull) {
    return static_cast<uint32_t>(pull.request.peer.low - 1);
  }
  // Posts a collect; the outcome that comes at once, or nothing.
  std::optional<FrozenSegment> Collect(uint64_t round) {
    harness_.Collect(round);
    return Delivered();
  }
  std::optional<FrozenSegment> Delivered() {
    const std::vector<Deliver> all = harness_.All<Deliver>();
    if (all.size() != 1) return std::nullopt;
    EXPECT_EQ(all[0].segments.size(), harness_.founding.segments);
    return all[0].segments[0];
  }
  Outcome CollectedOutcome(uint64_t round) {
    const auto frozen = Collect(round);
    return frozen.has_value() ? frozen->outcome : Outcome::kNone;
  }
  void Mix(uint64_t round, Outcome outcome = Outcome::kArrived, double difference = 0) {
    std::vector<MixedSegmentResult> results(harness_.founding.segments);
    for (MixedSegmentResult& result : results) result = {outcome, difference};
    harness_.Step(Mixed{CoreHarness::kAttach, Round{round}, results});
  }
  void Arrive(uint64_t round) {
    harness_.Land(Begin(round));
    ASSERT_TRUE(Collect(round).has_value());
    Mix(round);
  }
  // The next round at or after `from` in which replica 0's source is `source`.
  uint64_t RoundFrom(uint32_t source, uint64_t from) const {
    while (harness_.SourceOf(0, from) != source) ++from;
    return from;
  }
  // Whether the last actions hold one of this kind for the node.
  template <typename T>
  bool IsAsked(NodeId node) const {
    const std::vector<T> all = harness_.All<T>();
    return std::any_of(all.begin(), all.end(), [node](const T& one) { return one.node == node; });
  }
  uint64_t AllOutcomes() {
    const OutcomeCounts counts = harness_.Statistics().pulls;
    return std::accumulate(counts.begin(), counts.end(), uint64_t{0});
  }

  CoreHarness harness_;
};

}  // namespace weightmesh
