// Messages between daemons: the core's form <-> protobuf; pure, any thread.
//
// FromProto checks all that a peer may send wrong: InvalidArgument names the field, its value and
// what is allowed. Limits: message_limits.h. protocol_version is checked elsewhere
// (protocol_version.h).
#pragma once

#include "absl/status/statusor.h"
#include "daemon/control/indirect_probe.h"
#include "daemon/control/link_offer.h"
#include "daemon/control/schema_part.h"
#include "daemon/core/run_config.h"
#include "daemon/core/sync_message.h"
#include "proto/weightmesh/v1/peer.pb.h"
#include "proto/weightmesh/v1/run_config.pb.h"

namespace weightmesh {

template <typename Tag>
v1::Id ToProto(const Id128<Tag>& id) {
  v1::Id proto;
  proto.set_high(id.high);
  proto.set_low(id.low);
  return proto;
}

v1::NodeInfo ToProto(const NodeInfo& node);
v1::RunConfig ToProto(const RunConfig& config);
v1::FoundingRecord ToProto(const FoundingRecord& record);
v1::ReplicaInfo ToProto(const ReplicaInfo& replica);
// With protocol_version set to ours.
v1::SyncMessage ToProto(const SyncMessage& message);
// With protocol_version set to ours.
v1::GossipMessage ToProto(const swim::Message& message);
v1::IndirectProbeRequest ToProto(const IndirectProbeQuery& query);
v1::IndirectProbeReply ToProto(const IndirectProbeResult& result);
v1::ConnectRequest ToConnectRequest(const LinkOffer& offer);
v1::ConnectReply ToConnectReply(const LinkOffer& offer);
// With protocol_version set to ours.
v1::SchemaRequest ToProto(const SchemaQuery& query);
v1::SchemaPart ToProto(const SchemaPart& part);

absl::StatusOr<NodeInfo> FromProto(const v1::NodeInfo& proto);
absl::StatusOr<RunConfig> FromProto(const v1::RunConfig& proto);
absl::StatusOr<FoundingRecord> FromProto(const v1::FoundingRecord& proto);
// Also checks that replica_id is the one of (run_id, name).
absl::StatusOr<ReplicaInfo> FromProto(const v1::ReplicaInfo& proto, absl::string_view run_id);
absl::StatusOr<RunState> FromProto(const v1::RunState& proto);
absl::StatusOr<SyncMessage> FromProto(const v1::SyncMessage& proto);
absl::StatusOr<swim::Message> FromProto(const v1::GossipMessage& proto);
absl::StatusOr<IndirectProbeQuery> FromProto(const v1::IndirectProbeRequest& proto);
absl::StatusOr<IndirectProbeResult> FromProto(const v1::IndirectProbeReply& proto);
absl::StatusOr<LinkOffer> FromProto(const v1::ConnectRequest& proto);
absl::StatusOr<LinkOffer> FromProto(const v1::ConnectReply& proto);
absl::StatusOr<SchemaQuery> FromProto(const v1::SchemaRequest& proto);
// The data types are checked; whether the parts make a schema is for daemon/mem/schema.h to say.
absl::StatusOr<SchemaPart> FromProto(const v1::SchemaPart& proto);
// The run that is asked for.
absl::StatusOr<std::string> RunIdFromProto(const v1::BlobRequest& proto);
absl::StatusOr<std::string> BlobFromProto(const v1::BlobReply& proto);

}  // namespace weightmesh
