// Snapshots of a node's state for operators: what the MeshService shows; plain data.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "daemon/core/ids.h"
#include "daemon/core/run_config.h"
#include "daemon/core/statistics.h"
#include "daemon/core/sync_message.h"

namespace weightmesh {

struct NodeSnapshot {
  NodeInfo info;
  bool reachable = true;
  std::string unreachable_reason;
  absl::Duration silent;  // since it was last heard from; zero for oneself
};

struct ReplicaSnapshot {
  std::string run_id;
  ReplicaInfo info;
  NodeId node;
  int32_t rank = -1;  // -1: not in the view
  bool reachable = true;
};

struct TopologySnapshot {
  NodeId self;
  std::vector<NodeSnapshot> nodes;
  std::vector<ReplicaSnapshot> replicas;
};

struct ReplicaStatsSnapshot {
  std::string run_id;
  AttachId attach{};
  ReplicaInfo info;
  ReplicaStatistics statistics;
  std::vector<std::string> source_names;  // by rank
  std::vector<ReplicaId> source_ids;      // by rank
  bool consensus_distance_is_bound = false;
  double view_agreement = 0;
};

struct RunSnapshot {
  std::string run_id;
  FoundingRecord founding;
  bool started = false;
  Round newest_round{};
  uint32_t replicas = 0;
  uint32_t local_replicas = 0;
  uint32_t live_replicas = 0;
  DerivedTimes times;
};

struct AssignmentSnapshot {
  ReplicaId reader;
  std::string reader_name;
  ReplicaId source;
  std::string source_name;
};

struct ScheduleSnapshot {
  ScheduleKind schedule{};
  Round round{};
  std::vector<AssignmentSnapshot> assignments;  // by rank of the reader
};

struct LinkSnapshot {
  NodeInfo peer;
  LinkStatistics statistics;
};

}  // namespace weightmesh
