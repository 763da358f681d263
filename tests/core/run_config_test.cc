// What founders agree on: validation, digest, the difference in words, the derived times.
#include "daemon/core/run_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <string>

#include "daemon/core/round_clock.h"
#include "daemon/core/run.h"

namespace weightmesh {
namespace {

using testing::HasSubstr;

FoundingRecord Record() {
  FoundingRecord record;
  record.config.seed = 42;
  record.config.replicas_min = 4;
  record.parameters = 1000;
  record.segments = 18;
  record.schema_digest = Digest{1, 2};
  record.weights_digest = Digest{3, 4};
  record.start_round = Round{5};
  return record;
}

TEST(RunConfig, RangesAreChecked) {
  EXPECT_TRUE(ValidateRunConfig({}).ok());
  struct Case {
    std::function<void(RunConfig*)> change;
    const char* field;
  };
  const Case cases[] = {
      {[](RunConfig* config) { config->alpha = 0; }, "RunConfig.alpha is 0"},
      {[](RunConfig* config) { config->alpha = 1.5; }, "RunConfig.alpha is 1.5"},
      {[](RunConfig* config) { config->alpha = std::nan(""); }, "RunConfig.alpha is nan"},
      {[](RunConfig* config) { config->round_deadline = absl::Milliseconds(9); },
       "RunConfig.round_deadline_ms is 9"},
      {[](RunConfig* config) { config->round_deadline = absl::Hours(2); },
       "RunConfig.round_deadline_ms is 7200000"},
      {[](RunConfig* config) { config->replicas_min = 0; }, "RunConfig.replicas_min is 0"},
      {[](RunConfig* config) { config->replicas_min = 5000; }, "RunConfig.replicas_min is 5000"},
      {[](RunConfig* config) { config->staleness_rounds_max = 8; },
       "RunConfig.staleness_rounds_max is 8 and RunConfig.mode is lockstep; it belongs to mode "
       "async"},
      {[](RunConfig* config) {
         config->mode = Mode::kOverlap;
         config->staleness_rounds_max = 1;
       },
       "RunConfig.staleness_rounds_max is 1 and RunConfig.mode is overlap"},
      {[](RunConfig* config) { config->mode = Mode::kAsync; },
       "RunConfig.staleness_rounds_max is 0; in mode async it must be between 1 and 1024"},
      {[](RunConfig* config) {
         config->mode = Mode::kAsync;
         config->staleness_rounds_max = 1025;
       },
       "RunConfig.staleness_rounds_max is 1025"},
  };
  for (const Case& c : cases) {
    RunConfig config;
    c.change(&config);
    const absl::Status status = ValidateRunConfig(config);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.field));
  }
  RunConfig config;
  config.alpha = 1;
  config.round_deadline = absl::Milliseconds(10);
  config.replicas_min = 4096;
  EXPECT_TRUE(ValidateRunConfig(config).ok());
  config.mode = Mode::kAsync;
  for (const uint32_t rounds : {1u, kStalenessRoundsMax}) {
    config.staleness_rounds_max = rounds;
    EXPECT_TRUE(ValidateRunConfig(config).ok()) << rounds;
  }
}

TEST(FoundingRecord, DigestVectors) {
  EXPECT_EQ(FoundingDigest(Record()).ToString(), "17adfebd23b82fe908321542ce1b64dc");
  EXPECT_EQ(FoundingDigest({}).ToString(), "a2edd2b5a626d4c25b807efb24822a1f");
}

TEST(FoundingRecord, EveryFieldCountsAndIsNamed) {
  struct Case {
    std::function<void(FoundingRecord*)> change;
    const char* difference;
  };
  const Case cases[] = {
      {[](FoundingRecord* r) { r->config.seed = 7; }, "RunConfig.seed is 7 here and 42 in the run"},
      {[](FoundingRecord* r) { r->config.schedule = ScheduleKind::kExponential; },
       "RunConfig.schedule is exponential here and hash_cycle in the run"},
      {[](FoundingRecord* r) { r->config.mode = Mode::kOverlap; },
       "RunConfig.mode is overlap here and lockstep in the run"},
      {[](FoundingRecord* r) { r->config.wire = WireFormat::kBf16; },
       "RunConfig.wire is bf16 here and fp32 in the run"},
      {[](FoundingRecord* r) { r->config.alpha = 0.25; },
       "RunConfig.alpha is 0.25 here and 0.5 in the run"},
      {[](FoundingRecord* r) { r->config.round_deadline = absl::Milliseconds(1500); },
       "RunConfig.round_deadline is 1.5s here and 5s in the run"},
      {[](FoundingRecord* r) { r->config.replicas_min = 5; },
       "RunConfig.replicas_min is 5 here and 4 in the run"},
      {[](FoundingRecord* r) { r->config.staleness_rounds_max = 8; },
       "RunConfig.staleness_rounds_max is 8 here and 0 in the run"},
      {[](FoundingRecord* r) { r->parameters = 1001; },
       "the number of parameters is 1001 here and 1000 in the run"},
      {[](FoundingRecord* r) { r->segments = 17; },
       "the number of segments is 17 here and 18 in the run"},
      {[](FoundingRecord* r) { r->schema_digest.low = 9; }, "the schema"},
      {[](FoundingRecord* r) { r->start_round = Round{6}; },
       "start_round is 6 here and 5 in the run"},
      {[](FoundingRecord* r) { r->weights_digest.low = 9; }, "the initial weights differ"},
      {[](FoundingRecord* r) { r->weights_digest = {}; },
       "allow_different_init is 1 here and 0 in the run"},
  };
  std::set<Digest> digests = {FoundingDigest(Record())};
  for (const Case& c : cases) {
    FoundingRecord changed = Record();
    c.change(&changed);
    EXPECT_THAT(DescribeDifference(changed, Record()), HasSubstr(c.difference));
    EXPECT_TRUE(digests.insert(FoundingDigest(changed)).second) << c.difference;
  }
  EXPECT_EQ(DescribeDifference(Record(), Record()), "");
}

TEST(RunConfig, TheOldestRoundThatWillDo) {
  RunConfig config;
  EXPECT_EQ(OldestRound(config, Round{7}), Round{7});
  config.mode = Mode::kAsync;
  config.staleness_rounds_max = 3;
  EXPECT_EQ(OldestRound(config, Round{7}), Round{4});
  EXPECT_EQ(OldestRound(config, Round{4}), Round{1});
  EXPECT_EQ(OldestRound(config, Round{2}), Round{1}) << "none is before the first";
  EXPECT_EQ(OldestRound(config, Round{~uint64_t{0}}), Round{~uint64_t{0} - 3});
}

TEST(DerivedTimes, FollowFromTheDeadlineAndTheMedianRound) {
  struct Row {
    Mode mode;
    int64_t deadline_ms;
    int64_t median_ms;
    int64_t probe_timeout_ms;
    int64_t overlap_grace_ms;
    int64_t publish_wait_ms;
  };
  const Row rows[] = {
      {Mode::kLockstep, 5000, 0, 1000, 500, 5000},    {Mode::kLockstep, 1000, 0, 200, 100, 1000},
      {Mode::kLockstep, 200, 0, 100, 20, 200},        {Mode::kLockstep, 10, 0, 10, 1, 10},
      {Mode::kLockstep, 60000, 0, 1000, 6000, 60000}, {Mode::kOverlap, 5000, 0, 1000, 500, 500},
      {Mode::kOverlap, 5000, 200, 1000, 20, 20},      {Mode::kOverlap, 1000, 60000, 200, 100, 100},
      {Mode::kAsync, 5000, 200, 1000, 20, 20},
  };
  for (const Row& row : rows) {
    RunConfig config;
    config.mode = row.mode;
    config.round_deadline = absl::Milliseconds(row.deadline_ms);
    const DerivedTimes times = DeriveTimes(config, absl::Milliseconds(row.median_ms));
    EXPECT_EQ(times.round_deadline, config.round_deadline);
    EXPECT_EQ(times.probe_timeout, absl::Milliseconds(row.probe_timeout_ms));
    EXPECT_EQ(times.overlap_grace, absl::Milliseconds(row.overlap_grace_ms));
    EXPECT_EQ(times.publish_wait, absl::Milliseconds(row.publish_wait_ms));
    EXPECT_LE(times.probe_timeout, times.round_deadline);
    EXPECT_LE(times.overlap_grace, times.round_deadline);
  }
}

// Whatever deadline a run may have, the times that follow from it do not contradict each other.
TEST(DerivedTimes, AreOrderedForEveryDeadline) {
  for (const Mode mode : {Mode::kLockstep, Mode::kOverlap, Mode::kAsync}) {
    for (int64_t ms = 10; ms <= 3'600'000; ms += 1 + ms / 50) {
      RunConfig config;
      config.mode = mode;
      config.staleness_rounds_max = mode == Mode::kAsync ? 8 : 0;
      config.round_deadline = absl::Milliseconds(ms);
      EXPECT_TRUE(ValidateRunConfig(config).ok()) << ms;
      const DerivedTimes measured = DeriveTimes(config, absl::Milliseconds(1));
      EXPECT_TRUE(CheckDerivedTimes(measured).ok()) << CheckDerivedTimes(measured);
    }
  }
}

TEST(DerivedTimes, WhatContradictsTheDeadlineIsNamed) {
  const DerivedTimes good = DeriveTimes(RunConfig{}, absl::ZeroDuration());
  const auto refused = [](const DerivedTimes& times, const char* name) {
    const absl::Status status = CheckDerivedTimes(times);
    return status.code() == absl::StatusCode::kInvalidArgument &&
           status.message().find(name) == 0 &&
           status.message().find("at most round_deadline, 5s") != absl::string_view::npos;
  };
  DerivedTimes times = good;
  times.probe_timeout = absl::Seconds(6);
  EXPECT_TRUE(refused(times, "probe_timeout is 6s"));
  times = good;
  times.overlap_grace = absl::ZeroDuration();
  EXPECT_TRUE(refused(times, "overlap_grace is 0"));
  times = good;
  times.publish_wait = good.round_deadline + absl::Milliseconds(1);
  EXPECT_TRUE(refused(times, "publish_wait is 5.001s"));
}

TEST(RoundClock, MedianOfTheLast32) {
  RoundClock clock;
  EXPECT_EQ(clock.Median(), absl::ZeroDuration());
  clock.Add(absl::Milliseconds(7));
  EXPECT_EQ(clock.Median(), absl::Milliseconds(7));
  clock.Add(absl::Milliseconds(1000));
  clock.Add(absl::Milliseconds(8));
  EXPECT_EQ(clock.Median(), absl::Milliseconds(8));
  for (int k = 0; k < 16; ++k) clock.Add(absl::Milliseconds(20));
  EXPECT_EQ(clock.Median(), absl::Milliseconds(20));
  for (int k = 0; k < 32; ++k) clock.Add(absl::Milliseconds(5));
  EXPECT_EQ(clock.Median(), absl::Milliseconds(5));
}

TEST(RunState, RefusesImplausibleRounds) {
  weightmesh::Run run("run", Record());
  EXPECT_EQ(run.newest_round(), Round{5});
  EXPECT_TRUE(run.Observe(absl::UnixEpoch(), Round{5 + kRoundJumpMax}));
  EXPECT_FALSE(run.Observe(absl::UnixEpoch(), Round{6 + 2 * kRoundJumpMax}));
  EXPECT_EQ(run.newest_round(), Round{5 + kRoundJumpMax});
  EXPECT_FALSE(run.Observe(absl::UnixEpoch(), Round{~uint64_t{0}}));
  EXPECT_TRUE(run.Observe(absl::UnixEpoch(), Round{3}));
  EXPECT_EQ(run.newest_round(), Round{5 + kRoundJumpMax});

  FoundingRecord late = Record();  // near the end of all numbers: nothing wraps around
  late.start_round = Round{~uint64_t{0} - 5};
  EXPECT_TRUE(weightmesh::Run("run", late).IsPlausible(Round{~uint64_t{0}}));
  EXPECT_TRUE(weightmesh::Run("run", late).IsPlausible(Round{1}));
}

}  // namespace
}  // namespace weightmesh
