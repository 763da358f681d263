// Fakes of what stands behind the gRPC services.
#include "tests/control/fake_mesh.h"

#include <utility>

#include "tests/control/samples.h"

namespace weightmesh::testing {
namespace {

absl::Status CheckRun(const std::string& run_id) {
  if (run_id.empty() || run_id == "letters") return absl::OkStatus();
  return absl::NotFoundError("no such run");
}

}  // namespace

void FakeMeshSource::FailWith(absl::Status failure) {
  MutexLock lock(&mutex_);
  failure_ = std::move(failure);
}

template <typename T>
void FakeMeshSource::Answer(const T& sample, const Done<T>& done) {
  absl::Status failure;
  {
    MutexLock lock(&mutex_);
    failure = failure_;
  }
  if (!failure.ok()) return done(failure);
  done(sample);
}

void FakeMeshSource::Topology(std::string run_id, Done<TopologySnapshot> done) {
  if (absl::Status known = CheckRun(run_id); !known.ok()) return done(known);
  TopologySnapshot topology = SampleTopology();
  {
    MutexLock lock(&mutex_);
    if (drained_) topology.replicas[0].info.state = ReplicaState::kLeft;
  }
  Answer(topology, done);
}

void FakeMeshSource::Stats(std::string run_id, bool, Done<StatsReport> done) {
  if (absl::Status known = CheckRun(run_id); !known.ok()) return done(known);
  Answer(SampleStats(), done);
}

void FakeMeshSource::Schedule(std::string run_id, Round round, SegmentId segment,
                              Done<ScheduleSnapshot> done) {
  if (absl::Status known = CheckRun(run_id); !known.ok()) return done(known);
  if (Value(segment) >= 2) return done(absl::OutOfRangeError("the run has 2 segments"));
  Answer(SampleSchedule(round == kNoRound ? Round{101} : round), done);
}

void FakeMeshSource::Runs(Done<std::vector<RunSnapshot>> done) {
  Answer(std::vector<RunSnapshot>{SampleRun()}, done);
}

void FakeMeshSource::Links(Done<LinksReport> done) { Answer(SampleLinks(), done); }

void FakeMeshSource::Config(Done<ConfigReport> done) { Answer(SampleConfig(), done); }

void FakeMeshSource::Events(uint64_t after, Done<EventsReport> done) {
  EventsReport report = SampleEvents();
  std::erase_if(report.events, [after](const MeshEvent& event) { return event.sequence <= after; });
  Answer(report, done);
}

void FakeMeshSource::Drain(absl::Duration deadline, Done<std::vector<ReplicaSnapshot>> done) {
  ReplicaSnapshot leaving = SampleTopology().replicas[0];
  leaving.info.state = ReplicaState::kDraining;
  leaving.info.left_at = Round{static_cast<uint64_t>(absl::ToInt64Seconds(deadline))};
  {
    MutexLock lock(&mutex_);
    drained_ = true;
  }
  Answer(std::vector<ReplicaSnapshot>{leaving}, done);
}

void FakePeerHandler::OnSync(SyncMessage message, Done<SyncMessage> done) {
  message.self = SampleNode(3);
  done(message);
}

void FakePeerHandler::OnGossip(swim::Message message, Done<swim::Message> done) {
  message.from = SampleNode(3);
  ++message.incarnation;
  done(message);
}

void FakePeerHandler::OnIndirectProbe(IndirectProbeQuery query, Done<IndirectProbeResult> done) {
  query.message.from = SampleNode(3);
  done(IndirectProbeResult{query.message, query.target == SampleNode(1)});
}

void FakePeerHandler::OnProbe(NodeInfo, Done<NodeInfo> done) { done(SampleNode(3)); }

void FakePeerHandler::OnConnect(LinkOffer offer, Done<LinkOffer> done) {
  if (offer.transport_kind != "ucx") {
    return done(absl::FailedPreconditionError("this daemon's transport is ucx"));
  }
  offer.self = SampleNode(3);
  offer.token = 1234;
  done(offer);
}

void FakePeerHandler::OnGetSchema(SchemaQuery query, Done<SchemaPart> done) {
  if (query.digest != Digest{1, 2}) return done(absl::NotFoundError("no such schema"));
  SchemaPart part;
  part.tensors_count = 2;
  part.bounds_count = 2;
  if (query.first_tensor == 0) {
    part.tensors = {{"scalar\xff", attach::DataType::kFp32, {}}};  // any bytes
  } else {
    part.tensors = {{query.run_id, attach::DataType::kFp32, {3, uint64_t{1} << 40}}};
    part.bounds = {0, 9 + query.first_bound};
  }
  done(part);
}

void FakePeerHandler::OnGetBlob(std::string run_id, Done<std::string> done) {
  if (run_id != "run") return done(absl::NotFoundError("none has given any"));
  done(std::string("\0step 7\xff", 8));
}

}  // namespace weightmesh::testing
