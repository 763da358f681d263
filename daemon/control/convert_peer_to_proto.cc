// Messages between daemons: the core's form to protobuf.
#include "daemon/control/convert_peer.h"
#include "daemon/control/protocol_version.h"

namespace weightmesh {
namespace {

template <typename Proto>
Proto OfferToProto(const LinkOffer& offer) {
  Proto proto;
  *proto.mutable_self() = ToProto(offer.self);
  proto.set_transport_address(offer.transport_address);
  proto.set_transport_kind(offer.transport_kind);
  proto.set_token(offer.token);
  return proto;
}

v1::RunState ToProto(const RunState& run) {
  v1::RunState proto;
  proto.set_run_id(run.run_id);
  *proto.mutable_founding() = ToProto(run.founding);
  proto.set_started(run.started);
  proto.set_ended(run.ended);
  for (const ReplicaId& founder : run.founders) *proto.add_founders() = ToProto(founder);
  if (run.founders.empty()) proto.set_founders_digest(run.founders_digest);
  proto.set_waiting_digest(run.waiting_digest);
  proto.set_view_digest(run.view_digest);
  proto.set_newest_round(Value(run.newest_round));
  proto.set_round_time_us(static_cast<uint64_t>(absl::ToInt64Microseconds(run.round_time)));
  for (const ReplicaInfo& replica : run.replicas) *proto.add_replicas() = ToProto(replica);
  for (const ReplicaInfo& replica : run.gone) *proto.add_gone() = ToProto(replica);
  return proto;
}

v1::MemberUpdate ToProto(const swim::MemberUpdate& update) {
  v1::MemberUpdate proto;
  *proto.mutable_node() = weightmesh::ToProto(update.node);
  proto.set_incarnation(update.incarnation);
  proto.set_state(static_cast<v1::MemberState>(update.state));
  for (const NodeId& accuser : update.accusers) *proto.add_accusers() = ToProto(accuser);
  proto.set_record_version(update.record_version);
  proto.set_record(update.record);
  return proto;
}

}  // namespace

v1::NodeInfo ToProto(const NodeInfo& node) {
  v1::NodeInfo proto;
  *proto.mutable_node_id() = ToProto(node.node_id);
  proto.set_session(node.session);
  proto.set_control_address(node.control_address);
  proto.set_version(node.version);
  return proto;
}

v1::RunConfig ToProto(const RunConfig& config) {
  v1::RunConfig proto;
  proto.set_seed(config.seed);
  proto.set_schedule(static_cast<v1::Schedule>(config.schedule));
  proto.set_mode(static_cast<v1::Mode>(config.mode));
  proto.set_wire(static_cast<v1::WireFormat>(config.wire));
  proto.set_alpha(config.alpha);
  proto.set_round_deadline_ms(absl::ToInt64Milliseconds(config.round_deadline));
  proto.set_replicas_min(config.replicas_min);
  proto.set_staleness_rounds_max(config.staleness_rounds_max);
  return proto;
}

v1::FoundingRecord ToProto(const FoundingRecord& record) {
  v1::FoundingRecord proto;
  *proto.mutable_config() = ToProto(record.config);
  *proto.mutable_schema_digest() = ToProto(record.schema_digest);
  *proto.mutable_weights_digest() = ToProto(record.weights_digest);
  proto.set_start_round(Value(record.start_round));
  proto.set_parameters(record.parameters);
  proto.set_segments(record.segments);
  return proto;
}

v1::ReplicaInfo ToProto(const ReplicaInfo& replica) {
  v1::ReplicaInfo proto;
  *proto.mutable_replica_id() = ToProto(replica.replica_id);
  proto.set_name(replica.name);
  proto.set_state(static_cast<v1::ReplicaState>(replica.state));
  proto.set_published_round(Value(replica.published_round));
  proto.set_mixed_round(Value(replica.mixed_round));
  proto.set_life(replica.life);
  proto.set_active_from(Value(replica.active_from));
  proto.set_left_at(Value(replica.left_at));
  proto.set_content_at(Value(replica.content_at));
  proto.set_stops_after(Value(replica.stops_after));
  proto.set_consensus_distance(replica.consensus_distance);
  return proto;
}

v1::SyncMessage ToProto(const SyncMessage& message) {
  v1::SyncMessage proto;
  proto.set_protocol_version(kPeerProtocolVersion);
  *proto.mutable_self() = ToProto(message.self);
  proto.set_sequence(message.sequence);
  proto.set_uptime_ms(static_cast<uint64_t>(absl::ToInt64Milliseconds(message.uptime)));
  for (const RunState& run : message.runs) *proto.add_runs() = ToProto(run);
  return proto;
}

v1::GossipMessage ToProto(const swim::Message& message) {
  v1::GossipMessage proto;
  proto.set_protocol_version(kPeerProtocolVersion);
  *proto.mutable_self() = ToProto(message.from);
  proto.set_uptime_ms(static_cast<uint64_t>(absl::ToInt64Milliseconds(message.uptime)));
  proto.set_incarnation(message.incarnation);
  proto.set_digest(message.digest);
  proto.set_whole(message.whole);
  proto.set_wants_whole(message.wants_whole);
  for (const swim::MemberUpdate& update : message.updates) *proto.add_updates() = ToProto(update);
  return proto;
}

v1::IndirectProbeRequest ToProto(const IndirectProbeQuery& query) {
  v1::IndirectProbeRequest proto;
  *proto.mutable_message() = ToProto(query.message);
  *proto.mutable_target() = ToProto(query.target);
  proto.set_timeout_ms(static_cast<uint64_t>(absl::ToInt64Milliseconds(query.timeout)));
  return proto;
}

v1::IndirectProbeReply ToProto(const IndirectProbeResult& result) {
  v1::IndirectProbeReply proto;
  *proto.mutable_message() = ToProto(result.message);
  proto.set_ack(result.ack);
  return proto;
}

v1::ConnectRequest ToConnectRequest(const LinkOffer& offer) {
  auto proto = OfferToProto<v1::ConnectRequest>(offer);
  proto.set_protocol_version(kPeerProtocolVersion);
  return proto;
}

v1::SchemaRequest ToProto(const SchemaQuery& query) {
  v1::SchemaRequest proto;
  proto.set_protocol_version(kPeerProtocolVersion);
  *proto.mutable_self() = ToProto(query.self);
  proto.set_run_id(query.run_id);
  *proto.mutable_schema_digest() = ToProto(query.digest);
  proto.set_first_tensor(query.first_tensor);
  proto.set_first_bound(query.first_bound);
  return proto;
}

v1::SchemaPart ToProto(const SchemaPart& part) {
  v1::SchemaPart proto;
  for (const attach::Tensor& tensor : part.tensors) {
    v1::SchemaTensor& row = *proto.add_tensors();
    row.set_name(tensor.name);
    row.set_data_type(static_cast<uint32_t>(tensor.data_type));
    row.mutable_shape()->Assign(tensor.shape.begin(), tensor.shape.end());
  }
  proto.mutable_segment_bounds()->Assign(part.bounds.begin(), part.bounds.end());
  proto.set_tensors_count(part.tensors_count);
  proto.set_bounds_count(part.bounds_count);
  return proto;
}

v1::ConnectReply ToConnectReply(const LinkOffer& offer) {
  return OfferToProto<v1::ConnectReply>(offer);
}

}  // namespace weightmesh
