// MeshSource: what MeshService asks of the daemon; the seam between gRPC's threads and the core's.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "daemon/core/ids.h"
#include "daemon/core/snapshot.h"
#include "daemon/transport/transport.h"
#include "proto/weightmesh/v1/daemon_config.pb.h"

namespace weightmesh {

// A number that a trainer reported (weightmesh_report).
struct ReportedScalar {
  std::string name;
  double value = 0;
};

struct ReplicaStatsReport {
  ReplicaStatsSnapshot snapshot;
  std::vector<ReportedScalar> scalars;
};

struct StatsReport {
  NodeId node;
  absl::Duration uptime;
  FrameRefusals frames_refused{};  // by FrameRefusal
  uint64_t answers_unasked = 0;    // Transport::answers_unasked()
  std::vector<ReplicaStatsReport> replicas;
};

struct LinksReport {
  std::vector<LinkSnapshot> links;
  std::vector<PathReport> paths;  // joined by PathReport::peer
  std::map<NodeId, FrameRefusals> frames_refused;
};

struct ConfigReport {
  v1::DaemonConfig config;  // defaults filled in
  std::string version;      // weightmeshd --version
  std::map<std::string, std::string> transport_settings;
  std::vector<RunSnapshot> runs;
  absl::Duration detection_time;  // NodeCore::detection_time()
};

// Something that happened, for people.
struct MeshEvent {
  uint64_t sequence = 0;  // counts from 1
  absl::Time at;          // of day
  bool warning = false;
  std::string text;
};

struct EventsReport {
  std::vector<MeshEvent> events;
  uint64_t lost = 0;  // those that were asked for and are not kept any more
  uint64_t last_sequence = 0;
};

// Methods are called on gRPC's threads, at once from several, and from inside a `done`; they must
// not block. Each calls `done` at most once, on any thread, also before it returns:
// ResourceExhausted when the core's queue is full. A `done` that is destroyed uncalled answers
// UNAVAILABLE.
class MeshSource {
 public:
  template <typename T>
  using Done = std::function<void(absl::StatusOr<T>)>;

  virtual ~MeshSource() = default;

  // An empty run_id means all runs; NotFound when it names none (the service adds the known ones).
  virtual void Topology(std::string run_id, Done<TopologySnapshot> done) = 0;
  // Without `with_segments`, ReplicaStatistics::segments may be left empty.
  virtual void Stats(std::string run_id, bool with_segments, Done<StatsReport> done) = 0;
  // As NodeCore::ScheduleOf.
  virtual void Schedule(std::string run_id, Round round, SegmentId segment,
                        Done<ScheduleSnapshot> done) = 0;
  virtual void Runs(Done<std::vector<RunSnapshot>> done) = 0;
  virtual void Links(Done<LinksReport> done) = 0;
  virtual void Config(Done<ConfigReport> done) = 0;
  // Those after `after`.
  virtual void Events(uint64_t after, Done<EventsReport> done) = 0;
  // As MeshService.Drain; the replicas that leave. A zero `deadline`: the configured one.
  virtual void Drain(absl::Duration deadline, Done<std::vector<ReplicaSnapshot>> done) = 0;
};

}  // namespace weightmesh
