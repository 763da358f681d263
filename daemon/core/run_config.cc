// Validation, digests and derived times of a run's configuration.
#include "daemon/core/run_config.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "daemon/core/hash.h"

namespace weightmesh {

absl::Status ValidateRunConfig(const RunConfig& config) {
  if (!(config.alpha > 0.0 && config.alpha <= 1.0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("RunConfig.alpha is ", config.alpha, "; it must be above 0 and at most 1"));
  }
  if (config.round_deadline < kRoundDeadlineMin || config.round_deadline > kRoundDeadlineMax) {
    return absl::InvalidArgumentError(absl::StrCat("RunConfig.round_deadline_ms is ",
                                                   absl::ToInt64Milliseconds(config.round_deadline),
                                                   "; it must be between 10 and 3600000"));
  }
  if (config.replicas_min < 1 || config.replicas_min > kReplicasPerRunMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("RunConfig.replicas_min is ", config.replicas_min,
                     "; it must be between 1 and ", kReplicasPerRunMax));
  }
  if (config.mode != Mode::kAsync && config.staleness_rounds_max != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("RunConfig.staleness_rounds_max is ", config.staleness_rounds_max,
                     " and RunConfig.mode is ", ModeName(config.mode),
                     "; it belongs to mode async: leave it 0, or choose that mode"));
  }
  if (config.mode == Mode::kAsync &&
      (config.staleness_rounds_max < 1 || config.staleness_rounds_max > kStalenessRoundsMax)) {
    return absl::InvalidArgumentError(
        absl::StrCat("RunConfig.staleness_rounds_max is ", config.staleness_rounds_max,
                     "; in mode async it must be between 1 and ", kStalenessRoundsMax));
  }
  return CheckDerivedTimes(DeriveTimes(config, absl::ZeroDuration()));
}

Round OldestRound(const RunConfig& config, Round round) {
  const uint64_t newest = Value(round);
  return Round{newest -
               std::min<uint64_t>(config.staleness_rounds_max, std::max<uint64_t>(newest, 1) - 1)};
}

absl::Status CheckDerivedTimes(const DerivedTimes& times) {
  const auto check = [&](const char* name, absl::Duration time) {
    if (time > absl::ZeroDuration() && time <= times.round_deadline) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat(name, " is ", absl::FormatDuration(time),
                     "; it must be above 0 and at most round_deadline, ",
                     absl::FormatDuration(times.round_deadline)));
  };
  absl::Status status = check("probe_timeout", times.probe_timeout);
  status.Update(check("overlap_grace", times.overlap_grace));
  status.Update(check("publish_wait", times.publish_wait));
  return status;
}

Digest FoundingDigest(const FoundingRecord& record) {
  ByteWriter out;
  out.U64(record.config.seed);
  out.U32(static_cast<uint32_t>(record.config.schedule));
  out.U32(static_cast<uint32_t>(record.config.mode));
  out.U32(static_cast<uint32_t>(record.config.wire));
  out.F64(record.config.alpha);
  out.U64(absl::ToInt64Milliseconds(record.config.round_deadline));
  out.U32(record.config.replicas_min);
  out.U32(record.config.staleness_rounds_max);
  out.U64(record.schema_digest.high);
  out.U64(record.schema_digest.low);
  out.U64(record.weights_digest.high);
  out.U64(record.weights_digest.low);
  out.U64(Value(record.start_round));
  out.U64(record.parameters);
  out.U32(record.segments);
  return Hash128(out.Take());
}

std::string DescribeDifference(const FoundingRecord& here, const FoundingRecord& in_the_run) {
  const auto differ = [](const char* field, const auto& mine, const auto& theirs) {
    return absl::StrCat(field, " is ", mine, " here and ", theirs, " in the run");
  };
  const RunConfig& a = here.config;
  const RunConfig& b = in_the_run.config;
  if (a.seed != b.seed) return differ("RunConfig.seed", a.seed, b.seed);
  if (a.schedule != b.schedule) {
    return differ("RunConfig.schedule", ScheduleName(a.schedule), ScheduleName(b.schedule));
  }
  if (a.mode != b.mode) return differ("RunConfig.mode", ModeName(a.mode), ModeName(b.mode));
  if (a.wire != b.wire) return differ("RunConfig.wire", WireName(a.wire), WireName(b.wire));
  if (a.alpha != b.alpha) return differ("RunConfig.alpha", a.alpha, b.alpha);
  if (a.round_deadline != b.round_deadline) {
    return differ("RunConfig.round_deadline", absl::FormatDuration(a.round_deadline),
                  absl::FormatDuration(b.round_deadline));
  }
  if (a.replicas_min != b.replicas_min) {
    return differ("RunConfig.replicas_min", a.replicas_min, b.replicas_min);
  }
  if (a.staleness_rounds_max != b.staleness_rounds_max) {
    return differ("RunConfig.staleness_rounds_max", a.staleness_rounds_max, b.staleness_rounds_max);
  }
  if (here.parameters != in_the_run.parameters) {
    return differ("the number of parameters", here.parameters, in_the_run.parameters);
  }
  if (here.segments != in_the_run.segments) {
    return differ("the number of segments", here.segments, in_the_run.segments);
  }
  if (here.schema_digest != in_the_run.schema_digest) {
    return differ("the schema (tensor names, shapes, order, segment bounds)",
                  here.schema_digest.ToString(), in_the_run.schema_digest.ToString());
  }
  if (here.start_round != in_the_run.start_round) {
    return differ("start_round", Value(here.start_round), Value(in_the_run.start_round));
  }
  if (here.weights_digest != in_the_run.weights_digest) {
    if (here.weights_digest.IsZero() || in_the_run.weights_digest.IsZero()) {
      return differ("allow_different_init", here.weights_digest.IsZero() ? 1 : 0,
                    in_the_run.weights_digest.IsZero() ? 1 : 0);
    }
    return "the initial weights differ from the run's (start all replicas from one seed or "
           "checkpoint, or set allow_different_init)";
  }
  return "";
}

const char* ScheduleName(ScheduleKind schedule) {
  switch (schedule) {
    case ScheduleKind::kHashCycle:
      return "hash_cycle";
    case ScheduleKind::kDerangement:
      return "derangement";
    case ScheduleKind::kExponential:
      return "exponential";
  }
  return "unknown";
}

const char* ModeName(Mode mode) {
  switch (mode) {
    case Mode::kLockstep:
      return "lockstep";
    case Mode::kOverlap:
      return "overlap";
    case Mode::kAsync:
      return "async";
  }
  return "unknown";
}

const char* WireName(WireFormat wire) { return wire == WireFormat::kFp32 ? "fp32" : "bf16"; }

DerivedTimes DeriveTimes(const RunConfig& config, absl::Duration median_round) {
  DerivedTimes times;
  times.round_deadline = config.round_deadline;
  times.probe_timeout =
      std::min(config.round_deadline,
               std::clamp(config.round_deadline / 5, absl::Milliseconds(100), absl::Seconds(1)));
  times.overlap_grace = config.round_deadline / 10;
  if (median_round > absl::ZeroDuration()) {
    times.overlap_grace = std::min(times.overlap_grace, median_round / 10);
  }
  times.publish_wait = config.mode == Mode::kLockstep ? times.round_deadline : times.overlap_grace;
  return times;
}

}  // namespace weightmesh
