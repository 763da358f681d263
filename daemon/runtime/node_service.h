// NodeService: answers the control plane's questions on the core's thread.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "daemon/control/mesh_source.h"
#include "daemon/control/peer_handler.h"
#include "daemon/runtime/core_loop.h"
#include "daemon/runtime/data_plane.h"
#include "daemon/runtime/executor.h"
#include "daemon/runtime/journal.h"
#include "daemon/runtime/trainers.h"

namespace weightmesh {

// Methods may be called on any thread; each posts to the executor. Until Serve is called questions
// wait in the executor's queue, which must not run before.
class NodeService final : public MeshSource, public PeerHandler {
 public:
  template <typename T>
  using Done = std::function<void(absl::StatusOr<T>)>;

  // `executor` must outlive this.
  NodeService(v1::DaemonConfig config, std::string version, Executor* executor);

  // Pointers must outlive the executor's run.
  void Serve(CoreLoop* loop, DataPlane* data_plane, Trainers* trainers);

  // What ListEvents tells. On the core's thread.
  Journal& journal() { return journal_; }

  // MeshSource.
  void Topology(std::string run_id, Done<TopologySnapshot> done) override;
  void Stats(std::string run_id, bool with_segments, Done<StatsReport> done) override;
  void Schedule(std::string run_id, Round round, SegmentId segment,
                Done<ScheduleSnapshot> done) override;
  void Runs(Done<std::vector<RunSnapshot>> done) override;
  void Links(Done<LinksReport> done) override;
  void Config(Done<ConfigReport> done) override;
  void Events(uint64_t after, Done<EventsReport> done) override;
  void Drain(absl::Duration deadline, Done<std::vector<ReplicaSnapshot>> done) override;

  // PeerHandler.
  void OnSync(SyncMessage message, Done<SyncMessage> done) override;
  void OnGossip(swim::Message message, Done<swim::Message> done) override;
  void OnIndirectProbe(IndirectProbeQuery query, Done<IndirectProbeResult> done) override;
  void OnProbe(NodeInfo peer, Done<NodeInfo> done) override;
  void OnConnect(LinkOffer offer, Done<LinkOffer> done) override;
  void OnGetSchema(SchemaQuery query, Done<SchemaPart> done) override;
  void OnGetBlob(std::string run_id, Done<std::string> done) override;

  // The core's answers to calls that it was fed. On the core's thread.
  void Answer(const AnswerGossip& action);
  void Answer(const swim::AnswerIndirectProbe& action);

 private:
  template <typename T>
  void Ask(Done<T> done, std::function<absl::StatusOr<T>()> answer);
  absl::Status CheckRun(const std::string& run_id) const;

  const v1::DaemonConfig config_;
  const std::string version_;
  Executor* const executor_;
  const absl::Time started_at_;
  CoreLoop* loop_ = nullptr;
  DataPlane* data_plane_ = nullptr;
  Trainers* trainers_ = nullptr;
  Journal journal_;
  // Calls that the core has not answered yet. On the core's thread.
  std::map<swim::CallId, Done<swim::Message>> gossip_;
  std::map<swim::CallId, Done<IndirectProbeResult>> indirect_probes_;
  uint64_t last_call_ = 0;
};

}  // namespace weightmesh
