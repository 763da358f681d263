// RunConfig and the founding record: what all replicas of a run agree on; pure, any thread.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "daemon/core/ids.h"
#include "proto/arena_layout.h"
#include "proto/attach.h"

namespace weightmesh {

using attach::Mode;
using attach::ScheduleKind;

constexpr absl::Duration kRoundDeadlineMin = absl::Milliseconds(10);
constexpr absl::Duration kRoundDeadlineMax = absl::Hours(1);
constexpr uint32_t kReplicasPerRunMax = 4096;
constexpr uint32_t kStalenessRoundsMax = 1024;
// What fits into a slot word (proto/control_page.h).
constexpr Round kRoundMax{(uint64_t{1} << 62) - 1};
// Half of it: no run can count to the end.
constexpr Round kStartRoundMax{uint64_t{1} << 61};

// Meanings, units and ranges: proto/weightmesh/v1/run_config.proto.
struct RunConfig {
  uint64_t seed = 0;
  ScheduleKind schedule = ScheduleKind::kHashCycle;
  Mode mode = Mode::kLockstep;
  WireFormat wire = WireFormat::kFp32;
  double alpha = 0.5;
  absl::Duration round_deadline = absl::Seconds(5);
  uint32_t replicas_min = 1;
  uint32_t staleness_rounds_max = 0;  // async only: 1 to kStalenessRoundsMax
};

// InvalidArgument names the first field out of range, its value and its range.
absl::Status ValidateRunConfig(const RunConfig& config);

// The oldest round of a source whose snapshot answers a pull of `round`: that round itself; in
// async staleness_rounds_max older, but never before the first.
Round OldestRound(const RunConfig& config, Round round);

// What must be equal among the founders of a run.
struct FoundingRecord {
  RunConfig config;
  Digest schema_digest;
  Digest weights_digest;  // zero when the initial weights may differ
  Round start_round{};    // the first round is the next one
  uint64_t parameters = 0;
  uint32_t segments = 0;
};

// XXH3-128 of all fields: equal records, equal digests, on every machine.
Digest FoundingDigest(const FoundingRecord& record);

// Empty when equal; otherwise the first field that differs with both values, for people:
// "RunConfig.seed is 7 here and 9 in the run".
std::string DescribeDifference(const FoundingRecord& here, const FoundingRecord& in_the_run);

const char* ScheduleName(ScheduleKind schedule);  // "hash_cycle", …
const char* ModeName(Mode mode);                  // "lockstep", …
const char* WireName(WireFormat wire);            // "fp32", …

// The times of design.md section 4, all from round_deadline and the measured median round.
struct DerivedTimes {
  absl::Duration round_deadline;
  absl::Duration
      probe_timeout;  // clamp(round_deadline / 5, 100 ms, 1 s), and never beyond the deadline
  absl::Duration overlap_grace;  // min(round_deadline / 10, a tenth of the median round)
  absl::Duration publish_wait;   // lockstep: round_deadline; overlap, async: overlap_grace
};

// `median_round` zero: not measured yet.
DerivedTimes DeriveTimes(const RunConfig& config, absl::Duration median_round);

// Whether no derived time is zero or beyond the deadline that it serves; InvalidArgument names it.
absl::Status CheckDerivedTimes(const DerivedTimes& times);

}  // namespace weightmesh
