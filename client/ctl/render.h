// What the daemon answers, as text for people; pure.
#pragma once

#include <string>
#include <vector>

#include "proto/weightmesh/v1/mesh.pb.h"

namespace weightmesh::ctl {

std::string RenderTopology(const v1::Topology& topology);

struct StatsParts {
  bool sources = false;   // also a row for each replica that was pulled from
  bool segments = false;  // also a row for each segment
};
std::string RenderStats(const v1::Stats& stats, const StatsParts& parts);

std::string RenderLinks(const v1::LinkList& links);
std::string RenderRuns(const v1::RunList& runs);
std::string RenderEvents(const v1::EventList& events);
// One event as a line, in local time.
std::string RenderEvent(const v1::Event& event);
std::string RenderConfig(const v1::EffectiveConfig& config);

// Who pulls one segment from whom.
std::string RenderSchedule(const v1::ScheduleTable& table);
// The same for several segments of one round: a row for each reader, a column for each table, the
// source's number in each cell. REQUIRES: not empty.
std::string RenderScheduleMatrix(const std::vector<v1::ScheduleTable>& tables);

}  // namespace weightmesh::ctl
