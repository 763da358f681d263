// MeshClient: asks one daemon's MeshService and waits for the answer; one thread.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proto/weightmesh/v1/mesh.pb.h"

namespace weightmesh::ctl {

// Each method returns within `timeout`. Failures are written for people, with the cure: Unavailable
// when nobody answers at the address, DeadlineExceeded, or what the daemon says (NotFound: no such
// run).
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

 private:
  class Impl;
  explicit MeshClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace weightmesh::ctl
