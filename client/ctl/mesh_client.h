// MeshClient: asks one daemon's MeshService and waits for the answer; one thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/weightmesh/v1/mesh.pb.h"

namespace weightmesh::ctl {

// Each Get and List, and Drain, returns within `timeout`. Failures are written for people, with the
// cure: Unavailable when nobody answers at the address, DeadlineExceeded, or what the daemon says
// (NotFound: no such run).
class MeshClient {
 public:
  // InvalidArgument when `address` is not "host:port".
  static absl::StatusOr<MeshClient> Create(const std::string& address, absl::Duration timeout);
  ~MeshClient();
  MeshClient(MeshClient&&) noexcept;
  MeshClient& operator=(MeshClient&&) noexcept;

  absl::StatusOr<v1::Topology> GetTopology(const v1::GetTopologyRequest& request);
  absl::StatusOr<v1::Stats> GetStats(const v1::GetStatsRequest& request);
  absl::StatusOr<v1::ScheduleTable> GetSchedule(const v1::GetScheduleRequest& request);
  absl::StatusOr<v1::EffectiveConfig> GetConfig();
  absl::StatusOr<v1::RunList> ListRuns();
  absl::StatusOr<v1::LinkList> ListLinks();
  absl::StatusOr<v1::EventList> ListEvents(const v1::ListEventsRequest& request);
  absl::StatusOr<v1::DrainReply> Drain(const v1::DrainRequest& request);

  // Hands each event to `on_event` until that returns false, or `go_on`, which is asked many times
  // a second: then OK. Otherwise why there are no more events; the first one comes within
  // `timeout`.
  template <typename Event>
  using OnEvent = std::function<bool(const Event& event)>;
  using GoOn = std::function<bool()>;
  absl::Status WatchTopology(const v1::WatchTopologyRequest& request,
                             const OnEvent<v1::TopologyEvent>& on_event, const GoOn& go_on);
  absl::Status WatchStats(const v1::WatchStatsRequest& request,
                          const OnEvent<v1::StatsEvent>& on_event, const GoOn& go_on);

 private:
  class Impl;
  explicit MeshClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace weightmesh::ctl
