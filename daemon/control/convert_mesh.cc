// What MeshService shows: topology, runs, schedules, links and configuration.
#include "daemon/control/convert_mesh.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "daemon/control/convert_peer.h"
#include "daemon/control/message_limits.h"
#include "daemon/core/clean_text.h"

namespace weightmesh {
namespace {

uint64_t WholeMilliseconds(absl::Duration duration) {
  return std::max<int64_t>(0, absl::ToInt64Milliseconds(duration));
}

template <typename Counts>
uint64_t Sum(const Counts& counts) {
  return std::accumulate(counts.begin(), counts.end(), uint64_t{0});
}

v1::DerivedTimes ToProto(const RunSnapshot& run) {
  v1::DerivedTimes proto;
  proto.set_run_id(run.run_id);
  proto.set_round_deadline_ms(absl::ToDoubleMilliseconds(run.times.round_deadline));
  proto.set_probe_timeout_ms(absl::ToDoubleMilliseconds(run.times.probe_timeout));
  proto.set_overlap_grace_ms(absl::ToDoubleMilliseconds(run.times.overlap_grace));
  proto.set_publish_wait_ms(absl::ToDoubleMilliseconds(run.times.publish_wait));
  return proto;
}

v1::Link ToProto(const LinkSnapshot& link) {
  v1::Link proto;
  *proto.mutable_node_id() = ToProto(link.peer.node_id);
  proto.set_control_address(link.peer.control_address);
  const LinkStatistics& statistics = link.statistics;
  proto.set_bytes_received(statistics.bytes_received);
  proto.set_bytes_sent(statistics.bytes_sent);
  proto.set_pulls_landed(statistics.pulls_landed);
  proto.set_sends_ended(statistics.sends_ended);
  proto.set_failures(statistics.failures);
  proto.set_requests_refused(Sum(statistics.requests_refused));
  proto.set_cuts(statistics.cuts);
  *proto.mutable_pull_time_us() = ToProto(statistics.pull_time_us);
  if (statistics.busy_us > 0) {
    proto.set_goodput_bytes_per_second(1e6 * static_cast<double>(statistics.bytes_received) /
                                       static_cast<double>(statistics.busy_us));
  }
  return proto;
}

void FillNode(const NodeSnapshot& node, v1::Node* row) {
  *row->mutable_info() = ToProto(node.info);
  row->set_reachable(node.reachable);
  row->set_unreachable_reason(CleanText(node.unreachable_reason, kReasonBytesMax));
  row->set_silent_ms(WholeMilliseconds(node.silent));
}

void FillReplica(const ReplicaSnapshot& replica, v1::Replica* row) {
  row->set_run_id(replica.run_id);
  *row->mutable_info() = ToProto(replica.info);
  *row->mutable_node_id() = ToProto(replica.node);
  row->set_rank(replica.rank);
  row->set_reachable(replica.reachable);
}

}  // namespace

v1::Topology ToProto(const TopologySnapshot& topology) {
  v1::Topology proto;
  *proto.mutable_self() = ToProto(topology.self);
  for (const NodeSnapshot& node : topology.nodes) FillNode(node, proto.add_nodes());
  for (const ReplicaSnapshot& replica : topology.replicas) {
    FillReplica(replica, proto.add_replicas());
  }
  return proto;
}

v1::EventList ToProto(const EventsReport& report) {
  v1::EventList proto;
  for (const MeshEvent& event : report.events) {
    v1::Event& row = *proto.add_events();
    row.set_sequence(event.sequence);
    row.set_time_ms(static_cast<uint64_t>(absl::ToUnixMillis(event.at)));
    row.set_warning(event.warning);
    row.set_text(event.text);
  }
  proto.set_events_lost(report.lost);
  proto.set_last_sequence(report.last_sequence);
  return proto;
}

v1::DrainReply ToDrainReply(const std::vector<ReplicaSnapshot>& leaving) {
  v1::DrainReply proto;
  for (const ReplicaSnapshot& replica : leaving) FillReplica(replica, proto.add_replicas());
  return proto;
}

v1::TopologyChange ToProto(const TopologyChange& change) {
  v1::TopologyChange proto;
  for (const NodeSnapshot& node : change.nodes) FillNode(node, proto.add_nodes());
  for (const NodeId& node : change.nodes_removed) *proto.add_nodes_removed() = ToProto(node);
  for (const ReplicaSnapshot& replica : change.replicas) {
    FillReplica(replica, proto.add_replicas());
  }
  for (const ReplicaKey& key : change.replicas_removed) {
    v1::ReplicaKey* row = proto.add_replicas_removed();
    row->set_run_id(key.run_id);
    *row->mutable_replica_id() = ToProto(key.replica_id);
  }
  return proto;
}

v1::ScheduleTable ToProto(const ScheduleSnapshot& table, absl::string_view run_id,
                          SegmentId segment) {
  v1::ScheduleTable proto;
  proto.set_run_id(std::string(run_id));
  proto.set_round(Value(table.round));
  proto.set_segment(Value(segment));
  proto.set_schedule(static_cast<v1::Schedule>(table.schedule));
  for (const AssignmentSnapshot& assignment : table.assignments) {
    v1::Assignment* row = proto.add_assignments();
    *row->mutable_reader() = ToProto(assignment.reader);
    row->set_reader_name(assignment.reader_name);
    *row->mutable_source() = ToProto(assignment.source);
    row->set_source_name(assignment.source_name);
  }
  return proto;
}

v1::RunList ToProto(const std::vector<RunSnapshot>& runs) {
  v1::RunList proto;
  for (const RunSnapshot& run : runs) {
    v1::Run* row = proto.add_runs();
    row->set_run_id(run.run_id);
    *row->mutable_founding() = ToProto(run.founding);
    row->set_started(run.started);
    row->set_newest_round(Value(run.newest_round));
    row->set_replicas(run.replicas);
    row->set_local_replicas(run.local_replicas);
    row->set_live_replicas(run.live_replicas);
  }
  return proto;
}

v1::LinkList ToProto(const LinksReport& report) {
  absl::flat_hash_map<NodeId, const PathReport*> paths;
  for (const PathReport& path : report.paths) paths[path.peer] = &path;
  v1::LinkList proto;
  for (const LinkSnapshot& link : report.links) {
    v1::Link* row = proto.add_links();
    *row = ToProto(link);
    const auto refused = report.frames_refused.find(link.peer.node_id);
    if (refused != report.frames_refused.end()) row->set_frames_refused(Sum(refused->second));
    const auto found = paths.find(link.peer.node_id);
    if (found == paths.end()) continue;
    row->set_transport(found->second->transport);
    row->set_device(found->second->device);
    row->set_reason(CleanText(found->second->reason, kReasonBytesMax));
  }
  return proto;
}

v1::EffectiveConfig ToProto(const ConfigReport& report) {
  v1::EffectiveConfig proto;
  *proto.mutable_config() = report.config;
  proto.set_version(report.version);
  for (const auto& [name, value] : report.transport_settings) {
    (*proto.mutable_transport_settings())[name] = value;
  }
  for (const RunSnapshot& run : report.runs) *proto.add_derived_times() = ToProto(run);
  proto.set_detection_ms(absl::ToDoubleMilliseconds(report.detection_time));
  return proto;
}

}  // namespace weightmesh
