// Checks of an attach request, and its conversion to the core's types.
#include "daemon/mem/founding.h"

#include <algorithm>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "daemon/core/clean_text.h"

namespace weightmesh {
namespace {

// A trainer's count of milliseconds may be any number; beyond int64 it is as good as the largest.
absl::Duration FromMilliseconds(uint64_t milliseconds) {
  return absl::Milliseconds(
      static_cast<int64_t>(std::min<uint64_t>(milliseconds, uint64_t{INT64_MAX})));
}

// Names go into logs, tables and messages.
absl::Status CheckName(absl::string_view field, const std::string& name, size_t bytes_max) {
  if (name.empty() || name.size() > bytes_max) {
    return absl::InvalidArgumentError(absl::StrCat(
        field, " has ", name.size(), " bytes; it must have between 1 and ", bytes_max));
  }
  if (!IsCleanText(name)) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, " '", absl::CHexEscape(name),
                     "' has control characters or is not UTF-8; use printable UTF-8"));
  }
  return absl::OkStatus();
}

}  // namespace

FoundingRecord ToFoundingRecord(const attach::AttachRequest& request, const Schema& schema) {
  FoundingRecord record;
  record.config.seed = request.seed;
  record.config.schedule = request.schedule;
  record.config.mode = request.mode;
  record.config.wire = request.wire;
  record.config.alpha = request.alpha;
  record.config.round_deadline = FromMilliseconds(request.round_deadline_ms);
  record.config.replicas_min = request.replicas_min;
  record.config.staleness_rounds_max = request.staleness_rounds_max;
  record.schema_digest = schema.digest;
  if (request.allow_different_init == 0) {
    record.weights_digest = {request.weights_digest_high, request.weights_digest_low};
  }
  record.start_round = Round{request.start_round};
  record.parameters = schema.parameters;
  record.segments = schema.segments();
  return record;
}

ArenaSpec ToArenaSpec(const attach::AttachRequest& request, const Schema& schema) {
  return {schema.bounds, request.wire, request.slots};
}

absl::StatusOr<AttachRequested> ToAttachRequested(AttachId attach,
                                                  const attach::AttachRequest& request,
                                                  const Schema& schema) {
  absl::Status named = CheckName("run_id", request.run_id, kRunIdBytesMax);
  named.Update(CheckName("replica_name", request.replica_name, kReplicaNameBytesMax));
  if (!named.ok()) return named;
  if (Round{request.start_round} > kStartRoundMax) {
    return absl::InvalidArgumentError(absl::StrCat("start_round is ", request.start_round,
                                                   "; it must be at most ", Value(kStartRoundMax)));
  }
  const absl::Duration start_timeout = FromMilliseconds(request.start_timeout_ms);
  if (start_timeout <= absl::ZeroDuration() || start_timeout > kStartTimeoutMax) {
    return absl::InvalidArgumentError(absl::StrCat("start_timeout_ms is ", request.start_timeout_ms,
                                                   "; it must be between 1 and ",
                                                   absl::ToInt64Milliseconds(kStartTimeoutMax)));
  }
  const absl::StatusOr<ArenaLayout> layout = LayOutArena(ToArenaSpec(request, schema));
  if (!layout.ok()) return layout.status();

  AttachRequested event;
  event.attach = attach;
  event.run_id = request.run_id;
  event.replica_name = request.replica_name;
  event.founding = ToFoundingRecord(request, schema);
  if (absl::Status config = ValidateRunConfig(event.founding.config); !config.ok()) return config;
  event.segment_bytes.reserve(layout->segments.size());
  for (const SegmentPlace& place : layout->segments) {
    event.segment_bytes.push_back(place.total_bytes);
  }
  event.start_timeout = start_timeout;
  event.joins = request.joins != 0;
  return event;
}

}  // namespace weightmesh
