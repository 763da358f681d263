// Messages between daemons: protobuf to the core's form, every field checked.
#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "daemon/control/address.h"
#include "daemon/control/convert_peer.h"
#include "daemon/control/message_limits.h"
#include "daemon/core/clean_text.h"
#include "daemon/core/view.h"

namespace weightmesh {
namespace {

// Enums of the core and of the contract are one set of numbers.
static_assert(static_cast<int>(ScheduleKind::kHashCycle) == v1::SCHEDULE_HASH_CYCLE);
static_assert(static_cast<int>(ScheduleKind::kDerangement) == v1::SCHEDULE_DERANGEMENT);
static_assert(static_cast<int>(ScheduleKind::kExponential) == v1::SCHEDULE_EXPONENTIAL);
static_assert(static_cast<int>(Mode::kLockstep) == v1::MODE_LOCKSTEP);
static_assert(static_cast<int>(Mode::kOverlap) == v1::MODE_OVERLAP);
static_assert(static_cast<int>(Mode::kAsync) == v1::MODE_ASYNC);
static_assert(static_cast<int>(WireFormat::kFp32) == v1::WIRE_FORMAT_FP32);
static_assert(static_cast<int>(WireFormat::kBf16) == v1::WIRE_FORMAT_BF16);
static_assert(static_cast<int>(ReplicaState::kWaiting) == v1::REPLICA_STATE_WAITING);
static_assert(static_cast<int>(ReplicaState::kActive) == v1::REPLICA_STATE_ACTIVE);
static_assert(static_cast<int>(ReplicaState::kLeft) == v1::REPLICA_STATE_LEFT);
static_assert(static_cast<int>(ReplicaState::kDead) == v1::REPLICA_STATE_DEAD);
static_assert(static_cast<int>(ReplicaState::kJoining) == v1::REPLICA_STATE_JOINING);
static_assert(static_cast<int>(ReplicaState::kDraining) == v1::REPLICA_STATE_DRAINING);
static_assert(static_cast<int>(swim::MemberState::kAlive) == v1::MEMBER_STATE_ALIVE);
static_assert(static_cast<int>(swim::MemberState::kSuspect) == v1::MEMBER_STATE_SUSPECT);
static_assert(static_cast<int>(swim::MemberState::kDead) == v1::MEMBER_STATE_DEAD);
static_assert(static_cast<int>(swim::MemberState::kLeft) == v1::MEMBER_STATE_LEFT);

template <typename... Parts>
absl::Status Wrong(const Parts&... parts) {
  return absl::InvalidArgumentError(absl::StrCat(parts...));
}

// Adds where in the message the fault lies.
template <typename... Parts>
absl::Status Within(const absl::Status& status, const Parts&... where) {
  return absl::Status(status.code(), absl::StrCat(where..., ": ", status.message()));
}

template <typename T>
absl::Status CheckEnum(absl::string_view field, int value, T last) {
  if (value >= 1 && value <= static_cast<int>(last)) return absl::OkStatus();
  return Wrong(field, " is ", value, "; this daemon knows 1 to ", static_cast<int>(last));
}

absl::Status CheckText(absl::string_view field, absl::string_view text, size_t bytes_max) {
  if (text.empty()) return Wrong(field, " is empty");
  if (text.size() > bytes_max) {
    return Wrong(field, " has ", text.size(), " bytes; at most ", bytes_max, " are allowed");
  }
  if (!IsCleanText(text)) {
    return Wrong(field, " \"", CleanText(text, bytes_max),
                 "\" has control characters, or is not UTF-8");
  }
  return absl::OkStatus();
}

absl::Status CheckCount(absl::string_view field, size_t count, size_t count_max) {
  if (count <= count_max) return absl::OkStatus();
  return Wrong(field, " has ", count, " entries; at most ", count_max, " are allowed");
}

absl::Status CheckRound(absl::string_view field, uint64_t round, Round round_max) {
  if (round <= Value(round_max)) return absl::OkStatus();
  return Wrong(field, " is ", round, "; it must be at most ", Value(round_max));
}

template <typename Id>
absl::StatusOr<Id> NonZeroId(absl::string_view field, const v1::Id& proto) {
  const Id id{proto.high(), proto.low()};
  if (id.IsZero()) return Wrong(field, " is missing or zero");
  return id;
}

Digest DigestFromProto(const v1::Id& proto) { return Digest{proto.high(), proto.low()}; }

absl::Status ReadFounders(const v1::RunState& proto, RunState* run) {
  if (absl::Status s = CheckCount("founders", proto.founders_size(), kFoundersMax); !s.ok()) {
    return s;
  }
  const bool has_digest = proto.founders_digest() != 0;
  if (run->started != (!proto.founders().empty() || has_digest)) {
    return Wrong("started is ", run->started ? "true" : "false", " with ", proto.founders_size(),
                 " founders and ", has_digest ? "a" : "no", " digest of them");
  }
  if (has_digest && !proto.founders().empty()) {
    return Wrong("founders are given, and founders_digest as well");
  }
  absl::flat_hash_set<ReplicaId> seen;
  for (int k = 0; k < proto.founders_size(); ++k) {
    absl::StatusOr<ReplicaId> id = NonZeroId<ReplicaId>("replica_id", proto.founders(k));
    if (!id.ok()) return Within(id.status(), "founders[", k, "]");
    if (!seen.insert(*id).second) {
      return Wrong("founders[", k, "]: ", id->ToString(), " is listed twice");
    }
    run->founders.push_back(*id);
  }
  run->founders_digest = has_digest     ? proto.founders_digest()
                         : run->started ? ViewDigest(run->founders)
                                        : 0;
  return absl::OkStatus();
}

absl::Status ReadReplicas(const v1::RunState& proto, RunState* run) {
  if (absl::Status s = CheckCount("replicas", proto.replicas_size(), kReplicasPerSenderMax);
      !s.ok()) {
    return s;
  }
  const absl::flat_hash_set<ReplicaId> founders(run->founders.begin(), run->founders.end());
  absl::flat_hash_set<ReplicaId> seen;
  for (int k = 0; k < proto.replicas_size(); ++k) {
    absl::StatusOr<ReplicaInfo> replica = FromProto(proto.replicas(k), run->run_id);
    if (!replica.ok()) return Within(replica.status(), "replicas[", k, "]");
    if (!seen.insert(replica->replica_id).second) {
      return Wrong("replicas[", k, "]: ", replica->replica_id.ToString(), " is listed twice");
    }
    const bool joined =
        replica->state == ReplicaState::kJoining || replica->active_from != kNoRound;
    if (!founders.empty() && !joined && !founders.contains(replica->replica_id)) {
      return Wrong("replicas[", k, "]: ", replica->replica_id.ToString(),
                   " is not among the founders of a run that has started, and has not joined");
    }
    run->replicas.push_back(*std::move(replica));
  }
  return absl::OkStatus();
}

absl::Status ReadGone(const v1::RunState& proto, RunState* run) {
  if (absl::Status s = CheckCount("gone", proto.gone_size(), kReplicasPerRunMax); !s.ok()) return s;
  if (proto.gone_size() > 0 && !run->started) return Wrong("gone is given, and started is false");
  absl::flat_hash_set<ReplicaId> seen;
  for (int k = 0; k < proto.gone_size(); ++k) {
    absl::StatusOr<ReplicaInfo> replica = FromProto(proto.gone(k), run->run_id);
    if (!replica.ok()) return Within(replica.status(), "gone[", k, "]");
    if (IsLive(replica->state)) {
      return Wrong("gone[", k, "]: state is ", ReplicaStateName(replica->state),
                   "; it must be left or dead");
    }
    if (!seen.insert(replica->replica_id).second) {
      return Wrong("gone[", k, "]: ", replica->replica_id.ToString(), " is listed twice");
    }
    run->gone.push_back(*std::move(replica));
  }
  return absl::OkStatus();
}

// Any number is good: beyond int64 it is as good as the largest.
absl::Duration Milliseconds(uint64_t count) {
  return absl::Milliseconds(
      static_cast<int64_t>(std::min<uint64_t>(count, uint64_t{INT64_MAX} / 2)));
}

absl::StatusOr<swim::MemberUpdate> UpdateFromProto(const v1::MemberUpdate& proto) {
  swim::MemberUpdate update;
  absl::Status status = CheckEnum("state", proto.state(), swim::MemberState::kLeft);
  status.Update(CheckCount("accusers", proto.accusers_size(), swim::kAccusersMax));
  if (proto.record().size() > kRecordBytesMax) {
    status.Update(Wrong("record has ", proto.record().size(), " bytes; at most ", kRecordBytesMax,
                        " are allowed"));
  }
  if (!status.ok()) return status;
  if (proto.node().control_address().empty()) {
    absl::StatusOr<NodeId> id = NonZeroId<NodeId>("node_id", proto.node().node_id());
    if (!id.ok()) return Within(id.status(), "node");
    if (proto.node().session() == 0) return Wrong("node: session is missing or zero");
    update.node.node_id = *id;
    update.node.session = proto.node().session();
  } else {
    absl::StatusOr<NodeInfo> node = FromProto(proto.node());
    if (!node.ok()) return Within(node.status(), "node");
    update.node = *std::move(node);
  }
  update.incarnation = proto.incarnation();
  update.state = static_cast<swim::MemberState>(proto.state());
  for (const v1::Id& accuser : proto.accusers()) {
    absl::StatusOr<NodeId> id = NonZeroId<NodeId>("accusers", accuser);
    if (!id.ok()) return id.status();
    update.accusers.push_back(*id);
  }
  update.record_version = proto.record_version();
  update.record = proto.record();
  return update;
}

template <typename Proto>
absl::StatusOr<LinkOffer> OfferFromProto(const Proto& proto, absl::string_view message) {
  LinkOffer offer;
  absl::StatusOr<NodeInfo> self = FromProto(proto.self());
  if (!self.ok()) return Within(self.status(), message, ".self");
  offer.self = *std::move(self);
  absl::Status status = CheckText("transport_kind", proto.transport_kind(), kTransportKindBytesMax);
  const size_t address_bytes = proto.transport_address().size();
  if (address_bytes < 1 || address_bytes > kTransportAddressBytesMax) {
    status.Update(Wrong("transport_address has ", address_bytes, " bytes; 1 to ",
                        kTransportAddressBytesMax, " are allowed"));
  }
  if (proto.token() == 0) status.Update(Wrong("token is missing or zero"));
  if (!status.ok()) return Within(status, message);
  offer.transport_address = proto.transport_address();
  offer.transport_kind = proto.transport_kind();
  offer.token = proto.token();
  return offer;
}

}  // namespace

absl::StatusOr<NodeInfo> FromProto(const v1::NodeInfo& proto) {
  NodeInfo node;
  absl::StatusOr<NodeId> id = NonZeroId<NodeId>("node_id", proto.node_id());
  if (!id.ok()) return id.status();
  node.node_id = *id;
  if (proto.session() == 0) return Wrong("session is missing or zero");
  absl::Status status =
      CheckText("control_address", proto.control_address(), kControlAddressBytesMax);
  status.Update(CheckText("version", proto.version(), kVersionBytesMax));
  if (!status.ok()) return status;
  const absl::StatusOr<HostPort> address = ParseHostPort(proto.control_address());
  if (!address.ok()) return Within(address.status(), "control_address");
  if (address->port == 0) {
    return Wrong("control_address is \"", proto.control_address(), "\"; nobody listens on port 0");
  }
  node.session = proto.session();
  node.control_address = proto.control_address();
  node.version = proto.version();
  return node;
}

absl::StatusOr<RunConfig> FromProto(const v1::RunConfig& proto) {
  absl::Status status =
      CheckEnum("RunConfig.schedule", proto.schedule(), ScheduleKind::kExponential);
  status.Update(CheckEnum("RunConfig.mode", proto.mode(), Mode::kAsync));
  status.Update(CheckEnum("RunConfig.wire", proto.wire(), WireFormat::kBf16));
  if (!status.ok()) return status;
  // Before the conversion, which would wrap around.
  if (proto.round_deadline_ms() > uint64_t(absl::ToInt64Milliseconds(kRoundDeadlineMax))) {
    return Wrong("RunConfig.round_deadline_ms is ", proto.round_deadline_ms(),
                 "; it must be between ", absl::ToInt64Milliseconds(kRoundDeadlineMin), " and ",
                 absl::ToInt64Milliseconds(kRoundDeadlineMax));
  }
  RunConfig config;
  config.seed = proto.seed();
  config.schedule = static_cast<ScheduleKind>(proto.schedule());
  config.mode = static_cast<Mode>(proto.mode());
  config.wire = static_cast<WireFormat>(proto.wire());
  config.alpha = proto.alpha();
  config.round_deadline = absl::Milliseconds(static_cast<int64_t>(proto.round_deadline_ms()));
  config.replicas_min = proto.replicas_min();
  config.staleness_rounds_max = proto.staleness_rounds_max();
  if (absl::Status valid = ValidateRunConfig(config); !valid.ok()) return valid;
  return config;
}

absl::StatusOr<FoundingRecord> FromProto(const v1::FoundingRecord& proto) {
  FoundingRecord record;
  absl::StatusOr<RunConfig> config = FromProto(proto.config());
  if (!config.ok()) return config.status();
  record.config = *config;
  record.schema_digest = DigestFromProto(proto.schema_digest());
  if (record.schema_digest.IsZero()) return Wrong("schema_digest is missing or zero");
  record.weights_digest = DigestFromProto(proto.weights_digest());
  if (absl::Status s = CheckRound("start_round", proto.start_round(), kStartRoundMax); !s.ok()) {
    return s;
  }
  record.start_round = Round{proto.start_round()};
  record.parameters = proto.parameters();
  record.segments = proto.segments();
  if (record.segments < 1 || record.segments > kSegmentsPerRunMax) {
    return Wrong("segments is ", record.segments, "; it must be between 1 and ",
                 kSegmentsPerRunMax);
  }
  if (record.parameters < record.segments) {
    return Wrong("parameters is ", record.parameters, ", less than the ", record.segments,
                 " segments");
  }
  return record;
}

absl::StatusOr<ReplicaInfo> FromProto(const v1::ReplicaInfo& proto, absl::string_view run_id) {
  ReplicaInfo replica;
  absl::StatusOr<ReplicaId> id = NonZeroId<ReplicaId>("replica_id", proto.replica_id());
  if (!id.ok()) return id.status();
  absl::Status status = CheckText("name", proto.name(), kReplicaNameInSyncBytesMax);
  status.Update(CheckEnum("state", proto.state(), ReplicaState::kDraining));
  status.Update(CheckRound("published_round", proto.published_round(), kRoundMax));
  status.Update(CheckRound("mixed_round", proto.mixed_round(), kRoundMax));
  status.Update(CheckRound("active_from", proto.active_from(), kRoundMax));
  status.Update(CheckRound("left_at", proto.left_at(), kRoundMax));
  status.Update(CheckRound("content_at", proto.content_at(), kRoundMax));
  status.Update(CheckRound("stops_after", proto.stops_after(), kRoundMax));
  const double distance = proto.consensus_distance();
  if (!std::isfinite(distance) || distance < 0) {
    status.Update(Wrong("consensus_distance is ", distance, "; it must be finite, and at least 0"));
  }
  if (!status.ok()) return status;
  if (*id != MakeReplicaId(run_id, proto.name())) {
    return Wrong("replica_id ", id->ToString(), " is not that of \"", proto.name(), "\" in run \"",
                 run_id, "\"");
  }
  replica.replica_id = *id;
  replica.name = proto.name();
  replica.state = static_cast<ReplicaState>(proto.state());
  replica.published_round = Round{proto.published_round()};
  replica.mixed_round = Round{proto.mixed_round()};
  replica.life = proto.life();
  replica.active_from = Round{proto.active_from()};
  replica.left_at = Round{proto.left_at()};
  replica.content_at = Round{proto.content_at()};
  replica.stops_after = Round{proto.stops_after()};
  replica.consensus_distance = distance;
  return replica;
}

absl::StatusOr<RunState> FromProto(const v1::RunState& proto) {
  RunState run;
  if (absl::Status s = CheckText("run_id", proto.run_id(), kRunIdInSyncBytesMax); !s.ok()) return s;
  run.run_id = proto.run_id();
  absl::StatusOr<FoundingRecord> founding = FromProto(proto.founding());
  if (!founding.ok()) return Within(founding.status(), "founding");
  run.founding = *founding;
  run.started = proto.started();
  run.ended = proto.started() && proto.ended();
  run.waiting_digest = proto.waiting_digest();
  run.view_digest = proto.view_digest();
  if (absl::Status s = CheckRound("newest_round", proto.newest_round(), kRoundMax); !s.ok()) {
    return s;
  }
  run.newest_round = Round{proto.newest_round()};
  if (proto.round_time_us() > uint64_t(absl::ToInt64Microseconds(kRoundTimeMax))) {
    return Wrong("round_time_us is ", proto.round_time_us(), "; it must be at most ",
                 absl::ToInt64Microseconds(kRoundTimeMax));
  }
  run.round_time = absl::Microseconds(static_cast<int64_t>(proto.round_time_us()));
  if (absl::Status s = ReadFounders(proto, &run); !s.ok()) return s;
  if (absl::Status s = ReadReplicas(proto, &run); !s.ok()) return s;
  if (absl::Status s = ReadGone(proto, &run); !s.ok()) return s;
  return run;
}

absl::StatusOr<SyncMessage> FromProto(const v1::SyncMessage& proto) {
  SyncMessage message;
  absl::StatusOr<NodeInfo> self = FromProto(proto.self());
  if (!self.ok()) return Within(self.status(), "SyncMessage.self");
  message.self = *std::move(self);
  message.sequence = proto.sequence();
  message.uptime = Milliseconds(proto.uptime_ms());
  absl::Status count = CheckCount("SyncMessage.runs", proto.runs_size(), kRunsPerSyncMax);
  if (!count.ok()) return count;
  absl::flat_hash_set<absl::string_view> seen;
  for (int k = 0; k < proto.runs_size(); ++k) {
    absl::StatusOr<RunState> run = FromProto(proto.runs(k));
    if (!run.ok()) return Within(run.status(), "SyncMessage.runs[", k, "]");
    if (!seen.insert(proto.runs(k).run_id()).second) {
      return Wrong("SyncMessage.runs[", k, "]: run \"", run->run_id, "\" is listed twice");
    }
    message.runs.push_back(*std::move(run));
  }
  return message;
}

absl::StatusOr<swim::Message> FromProto(const v1::GossipMessage& proto) {
  swim::Message message;
  absl::StatusOr<NodeInfo> self = FromProto(proto.self());
  if (!self.ok()) return Within(self.status(), "GossipMessage.self");
  message.from = *std::move(self);
  message.uptime = Milliseconds(proto.uptime_ms());
  message.incarnation = proto.incarnation();
  message.digest = proto.digest();
  message.whole = proto.whole();
  message.wants_whole = proto.wants_whole();
  absl::Status count = CheckCount("GossipMessage.updates", proto.updates_size(), kUpdatesMax);
  if (!count.ok()) return count;
  for (int k = 0; k < proto.updates_size(); ++k) {
    absl::StatusOr<swim::MemberUpdate> update = UpdateFromProto(proto.updates(k));
    if (!update.ok()) return Within(update.status(), "GossipMessage.updates[", k, "]");
    message.updates.push_back(*std::move(update));
  }
  return message;
}

absl::StatusOr<IndirectProbeQuery> FromProto(const v1::IndirectProbeRequest& proto) {
  IndirectProbeQuery query;
  absl::StatusOr<swim::Message> message = FromProto(proto.message());
  if (!message.ok()) return Within(message.status(), "IndirectProbeRequest");
  query.message = *std::move(message);
  absl::StatusOr<NodeInfo> target = FromProto(proto.target());
  if (!target.ok()) return Within(target.status(), "IndirectProbeRequest.target");
  query.target = *std::move(target);
  query.timeout = Milliseconds(proto.timeout_ms());
  return query;
}

absl::StatusOr<IndirectProbeResult> FromProto(const v1::IndirectProbeReply& proto) {
  IndirectProbeResult result;
  absl::StatusOr<swim::Message> message = FromProto(proto.message());
  if (!message.ok()) return Within(message.status(), "IndirectProbeReply");
  result.message = *std::move(message);
  result.ack = proto.ack();
  return result;
}

absl::StatusOr<LinkOffer> FromProto(const v1::ConnectRequest& proto) {
  return OfferFromProto(proto, "ConnectRequest");
}

absl::StatusOr<LinkOffer> FromProto(const v1::ConnectReply& proto) {
  return OfferFromProto(proto, "ConnectReply");
}

absl::StatusOr<SchemaQuery> FromProto(const v1::SchemaRequest& proto) {
  SchemaQuery query;
  absl::StatusOr<NodeInfo> self = FromProto(proto.self());
  if (!self.ok()) return Within(self.status(), "SchemaRequest.self");
  query.self = *std::move(self);
  absl::Status status = CheckText("run_id", proto.run_id(), kRunIdInSyncBytesMax);
  if (!status.ok()) return Within(status, "SchemaRequest");
  query.run_id = proto.run_id();
  query.digest = DigestFromProto(proto.schema_digest());
  query.first_tensor = proto.first_tensor();
  query.first_bound = proto.first_bound();
  return query;
}

absl::StatusOr<SchemaPart> FromProto(const v1::SchemaPart& proto) {
  SchemaPart part;
  for (int k = 0; k < proto.tensors_size(); ++k) {
    const v1::SchemaTensor& row = proto.tensors(k);
    if (row.data_type() != static_cast<uint32_t>(attach::DataType::kFp32)) {
      return Wrong("SchemaPart.tensors[", k, "].data_type is ", row.data_type(),
                   "; this daemon knows 1");
    }
    part.tensors.push_back(attach::Tensor{
        row.name(), attach::DataType::kFp32, {row.shape().begin(), row.shape().end()}});
  }
  part.bounds.assign(proto.segment_bounds().begin(), proto.segment_bounds().end());
  part.tensors_count = proto.tensors_count();
  part.bounds_count = proto.bounds_count();
  return part;
}

absl::StatusOr<std::string> RunIdFromProto(const v1::BlobRequest& proto) {
  absl::StatusOr<NodeInfo> self = FromProto(proto.self());
  if (!self.ok()) return Within(self.status(), "BlobRequest.self");
  absl::Status status = CheckText("run_id", proto.run_id(), kRunIdInSyncBytesMax);
  if (!status.ok()) return Within(status, "BlobRequest");
  return proto.run_id();
}

absl::StatusOr<std::string> BlobFromProto(const v1::BlobReply& proto) {
  if (proto.blob().size() > attach::kBlobBytesMax) {
    return Wrong("BlobReply.blob has ", proto.blob().size(), " bytes; at most ",
                 attach::kBlobBytesMax);
  }
  return proto.blob();
}

}  // namespace weightmesh
