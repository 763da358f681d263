// Each question as one task on the core's thread.
#include "daemon/runtime/node_service.h"

#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace weightmesh {
namespace {

absl::Status TooManyQuestions() {
  return absl::ResourceExhaustedError(
      "the daemon has too many questions waiting, or is stopping; ask again later");
}

}  // namespace

NodeService::NodeService(v1::DaemonConfig config, std::string version, Executor* executor)
    : config_(std::move(config)),
      version_(std::move(version)),
      executor_(executor),
      started_at_(Executor::Now()) {}

void NodeService::Serve(CoreLoop* loop, DataPlane* data_plane, Trainers* trainers) {
  loop_ = loop;
  data_plane_ = data_plane;
  trainers_ = trainers;
}

template <typename T>
void NodeService::Ask(Done<T> done, std::function<absl::StatusOr<T>()> answer) {
  auto shared = std::make_shared<Done<T>>(std::move(done));
  const bool posted = executor_->Post([this, shared, answer = std::move(answer)] {
    if (loop_ == nullptr) return (*shared)(absl::UnavailableError("the daemon did not start"));
    (*shared)(answer());
  });
  if (!posted) (*shared)(TooManyQuestions());
}

absl::Status NodeService::CheckRun(const std::string& run_id) const {
  if (run_id.empty() || loop_->core().HasRun(run_id)) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat("no run named '", run_id, "' here"));
}

void NodeService::Topology(std::string run_id, Done<TopologySnapshot> done) {
  Ask<TopologySnapshot>(std::move(done), [this, run_id]() -> absl::StatusOr<TopologySnapshot> {
    if (absl::Status known = CheckRun(run_id); !known.ok()) return known;
    return loop_->core().Topology(Executor::Now(), run_id);
  });
}

void NodeService::Stats(std::string run_id, bool with_segments, Done<StatsReport> done) {
  Ask<StatsReport>(std::move(done), [=, this]() -> absl::StatusOr<StatsReport> {
    if (absl::Status known = CheckRun(run_id); !known.ok()) return known;
    StatsReport report;
    report.node = loop_->core().self().node_id;
    report.uptime = Executor::Now() - started_at_;
    report.answers_unasked = data_plane_->answers_unasked();
    for (const auto& [peer, counts] : data_plane_->frames_refused()) {
      for (size_t k = 0; k < counts.size(); ++k) report.frames_refused[k] += counts[k];
    }
    for (ReplicaStatsSnapshot& snapshot : loop_->core().Stats(run_id)) {
      if (!with_segments) snapshot.statistics.segments.clear();
      ReplicaStatsReport replica;
      for (auto& [name, value] : trainers_->Scalars(snapshot.attach)) {
        replica.scalars.push_back(ReportedScalar{name, value});
      }
      replica.snapshot = std::move(snapshot);
      report.replicas.push_back(std::move(replica));
    }
    return report;
  });
}

void NodeService::Schedule(std::string run_id, Round round, SegmentId segment,
                           Done<ScheduleSnapshot> done) {
  Ask<ScheduleSnapshot>(std::move(done),
                        [=, this] { return loop_->core().ScheduleOf(run_id, round, segment); });
}

void NodeService::Runs(Done<std::vector<RunSnapshot>> done) {
  Ask<std::vector<RunSnapshot>>(std::move(done), [this] { return loop_->core().Runs(); });
}

void NodeService::Links(Done<LinksReport> done) {
  Ask<LinksReport>(std::move(done), [this] {
    return LinksReport{loop_->core().Links(), data_plane_->Paths(), data_plane_->frames_refused()};
  });
}

void NodeService::Config(Done<ConfigReport> done) {
  Ask<ConfigReport>(std::move(done), [this] {
    return ConfigReport{config_, version_, data_plane_->settings(), loop_->core().Runs(),
                        loop_->core().detection_time()};
  });
}

void NodeService::Events(uint64_t after, Done<EventsReport> done) {
  Ask<EventsReport>(std::move(done), [this, after] { return journal_.After(after); });
}

void NodeService::Drain(absl::Duration deadline, Done<std::vector<ReplicaSnapshot>> done) {
  if (deadline == absl::ZeroDuration()) {
    deadline = absl::Milliseconds(static_cast<int64_t>(config_.drain_deadline_ms()));
  }
  Ask<std::vector<ReplicaSnapshot>>(std::move(done), [this, deadline] {
    loop_->Feed(DrainRequested{deadline});
    TopologySnapshot topology = loop_->core().Topology(Executor::Now(), "");
    std::erase_if(topology.replicas, [&](const ReplicaSnapshot& replica) {
      return replica.node != topology.self || !IsLive(replica.info.state);
    });
    return std::move(topology.replicas);
  });
}

void NodeService::OnSync(SyncMessage message, Done<SyncMessage> done) {
  Ask<SyncMessage>(std::move(done),
                   [this, message = std::move(message)]() -> absl::StatusOr<SyncMessage> {
                     loop_->Feed(SyncReceived{message});
                     if (absl::Status known = loop_->core().CheckCaller(message.self); !known.ok())
                       return known;
                     return loop_->core().MakeSync(&message);
                   });
}

// The core answers by an action, which may come later.
void NodeService::OnGossip(swim::Message message, Done<swim::Message> done) {
  const auto refuse = done;
  const bool posted =
      executor_->Post([this, message = std::move(message), done = std::move(done)]() mutable {
        if (loop_ == nullptr) return done(absl::UnavailableError("the daemon did not start"));
        const swim::CallId call{++last_call_};
        gossip_.emplace(call, std::move(done));
        loop_->Feed(GossipReceived{call, std::move(message)});
      });
  if (!posted) refuse(TooManyQuestions());
}

void NodeService::OnIndirectProbe(IndirectProbeQuery query, Done<IndirectProbeResult> done) {
  const auto refuse = done;
  const bool posted =
      executor_->Post([this, query = std::move(query), done = std::move(done)]() mutable {
        if (loop_ == nullptr) return done(absl::UnavailableError("the daemon did not start"));
        const swim::CallId call{++last_call_};
        indirect_probes_.emplace(call, std::move(done));
        loop_->Feed(IndirectProbeReceived{call, std::move(query.target), query.timeout,
                                          std::move(query.message)});
      });
  if (!posted) refuse(TooManyQuestions());
}

void NodeService::Answer(const AnswerGossip& action) {
  if (auto gossip = gossip_.extract(action.call)) return gossip.mapped()(action.answer);
  if (auto probe = indirect_probes_.extract(action.call)) {
    probe.mapped()(action.answer.status());
  }
}

void NodeService::Answer(const swim::AnswerIndirectProbe& action) {
  if (auto probe = indirect_probes_.extract(action.call)) {
    probe.mapped()(IndirectProbeResult{action.message, action.ack});
  }
}

void NodeService::OnProbe(NodeInfo, Done<NodeInfo> done) {
  Ask<NodeInfo>(std::move(done), [this] { return loop_->core().self(); });
}

void NodeService::OnConnect(LinkOffer offer, Done<LinkOffer> done) {
  Ask<LinkOffer>(std::move(done), [this, offer]() -> absl::StatusOr<LinkOffer> {
    if (absl::Status known = loop_->core().CheckLinkOffer(offer.self); !known.ok()) return known;
    loop_->Feed(LinkOffered{offer.self});
    if (!loop_->core().Knows(offer.self.node_id)) {
      return absl::ResourceExhaustedError(
          "this daemon knows as many daemons as limits.nodes_max allows; raise the limit");
    }
    if (absl::Status linked = data_plane_->Accept(offer); !linked.ok()) {
      if (absl::IsAlreadyExists(linked)) loop_->Feed(LinkDoubted{offer.self.node_id});
      return linked;
    }
    // Not ready yet: the caller takes this daemon's frames once it has the reply. This daemon's own
    // Connect to the caller tells when that is so.
    return data_plane_->OfferTo(offer.self.node_id);
  });
}

void NodeService::OnGetSchema(SchemaQuery query, Done<SchemaPart> done) {
  Ask<SchemaPart>(std::move(done), [this, query] { return trainers_->SchemaPartFor(query); });
}

void NodeService::OnGetBlob(std::string run_id, Done<std::string> done) {
  Ask<std::string>(std::move(done), [this, run_id] { return trainers_->BlobFor(run_id); });
}

}  // namespace weightmesh
