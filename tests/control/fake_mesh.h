// Fakes of what stands behind the gRPC services: they answer at once, out of samples.h.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "daemon/control/mesh_source.h"
#include "daemon/control/peer_handler.h"
#include "daemon/core/mutex.h"

namespace weightmesh::testing {

// Knows run "letters" only, of two segments. Threads: any.
class FakeMeshSource : public MeshSource {
 public:
  void Topology(std::string run_id, Done<TopologySnapshot> done) override;
  void Stats(std::string run_id, bool with_segments, Done<StatsReport> done) override;
  void Schedule(std::string run_id, Round round, SegmentId segment,
                Done<ScheduleSnapshot> done) override;
  void Runs(Done<std::vector<RunSnapshot>> done) override;
  void Links(Done<LinksReport> done) override;
  void Config(Done<ConfigReport> done) override;
  // SampleEvents, of which those up to `after` are left out.
  void Events(uint64_t after, Done<EventsReport> done) override;
  // The first sample leaves before a round that is the deadline in seconds, and has left at once.
  void Drain(absl::Duration deadline, Done<std::vector<ReplicaSnapshot>> done) override;

  // Every answer from now on.
  void FailWith(absl::Status failure);

 private:
  template <typename T>
  void Answer(const T& sample, const Done<T>& done);

  Mutex mutex_;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  bool drained_ ABSL_GUARDED_BY(mutex_) = false;
};

// Answers with the samples, and refuses transports other than "ucx".
class FakePeerHandler : public PeerHandler {
 public:
  void OnSync(SyncMessage message, Done<SyncMessage> done) override;
  void OnGossip(swim::Message message, Done<swim::Message> done) override;
  // SampleNode(1) is the one that answers.
  void OnIndirectProbe(IndirectProbeQuery query, Done<IndirectProbeResult> done) override;
  void OnProbe(NodeInfo peer, Done<NodeInfo> done) override;
  void OnConnect(LinkOffer offer, Done<LinkOffer> done) override;
  // Has the schema of digest (1, 2) only: two tensors, told one at a time.
  void OnGetSchema(SchemaQuery query, Done<SchemaPart> done) override;
  // Of run "run".
  void OnGetBlob(std::string run_id, Done<std::string> done) override;
};

}  // namespace weightmesh::testing
