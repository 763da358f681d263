// What MeshService shows: snapshots and reports to protobuf; pure, any thread.
//
// Meanings and units of all fields: proto/weightmesh/v1/mesh.proto.
#pragma once

#include <vector>

#include "absl/strings/string_view.h"
#include "daemon/control/mesh_source.h"
#include "daemon/core/snapshot.h"
#include "daemon/core/topology_change.h"
#include "proto/weightmesh/v1/mesh.pb.h"

namespace weightmesh {

v1::Topology ToProto(const TopologySnapshot& topology);
v1::TopologyChange ToProto(const TopologyChange& change);
// Trailing empty buckets are left out.
v1::Histogram ToProto(const Histogram& histogram);
v1::Stats ToProto(const StatsReport& report, bool with_segments);
v1::ScheduleTable ToProto(const ScheduleSnapshot& table, absl::string_view run_id,
                          SegmentId segment);
v1::RunList ToProto(const std::vector<RunSnapshot>& runs);
v1::EventList ToProto(const EventsReport& report);
v1::DrainReply ToDrainReply(const std::vector<ReplicaSnapshot>& leaving);
// A link without a path report has an empty transport: it is not connected.
v1::LinkList ToProto(const LinksReport& report);
v1::EffectiveConfig ToProto(const ConfigReport& report);

}  // namespace weightmesh
