// What a node tells: its sync message, and the snapshots for operators.
#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "daemon/core/node_core_impl.h"

namespace weightmesh {
namespace {

constexpr absl::Duration kStartIsNews = absl::Seconds(5);

// Null: the message says nothing of that run.
const RunState* RunOf(const SyncMessage& message, absl::string_view run_id) {
  const auto found = std::find_if(message.runs.begin(), message.runs.end(),
                                  [run_id](const RunState& run) { return run.run_id == run_id; });
  return found == message.runs.end() ? nullptr : &*found;
}

}  // namespace

// Whether the other side of a sync must be told the founders: in an answer, unless it has shown
// that it knows them; otherwise as long as the start is news. Who has missed that asks: MergeRun.
bool NodeCore::Impl::TellsFounders(const Run& run, const SyncMessage* asked) const {
  if (!run.started()) return false;
  if (asked == nullptr) return now_ < run.started_at + kStartIsNews;
  const RunState* theirs = RunOf(*asked, run.run_id());
  return theirs == nullptr || !theirs->started ||
         theirs->founders_digest != run.founders().digest();
}

// Whether it must be told who is gone: in an answer, where that may be why it has another view.
bool NodeCore::Impl::TellsGone(const Run& run, const SyncMessage* asked) const {
  if (!run.started() || !run.KeepsTheDead() || asked == nullptr) return false;
  const RunState* theirs = RunOf(*asked, run.run_id());
  return theirs != nullptr && theirs->started && theirs->view_digest != run.view().digest();
}

// Members that a daemon which came later cannot hear of from their own, as far as they matter to
// its views. Founders that were never heard of it has from the list of founders.
std::vector<ReplicaInfo> NodeCore::Impl::GoneOf(const Run& run) const {
  std::vector<ReplicaInfo> gone;
  for (const auto& [replica, member] : run.members()) {
    const bool is_heard_of = !member.info.name.empty();
    const bool counts = member.info.state != ReplicaState::kJoining;
    if (!is_heard_of || !counts || SpeaksForItself(member)) continue;
    gone.push_back(member.info);
    if (IsLive(member.info.state)) gone.back().state = ReplicaState::kDead;
  }
  return gone;
}

SyncMessage NodeCore::Impl::MakeSync(const SyncMessage* asked) {
  SyncMessage message;
  message.sequence = ++last_sync_;
  message.uptime = now_ - started_at_;
  message.self = options_.self;
  for (const auto& [name, run] : runs_) {
    RunState state;
    state.run_id = name;
    state.founding = run->founding();
    state.started = run->started();
    state.ended = IsOver(*run);
    state.founders_digest = run->started() ? run->founders().digest() : 0;
    const bool tells = TellsFounders(*run, asked);
    for (uint32_t rank = 0; tells && rank < run->founders().size(); ++rank) {
      state.founders.push_back(run->founders().replica(rank));
    }
    state.waiting_digest = run->started() ? 0 : ViewDigest(ReachableWaiting(*run));
    state.view_digest = run->started() ? run->view().digest() : 0;
    state.newest_round = run->newest_round();
    state.round_time = run->measured_round_time();
    for (const auto& [attach, local] : locals_) {
      if (&local->run() != run.get()) continue;
      const Member* member = run->Find(local->replica());
      if (member == nullptr || !IsNewestLife(*local)) continue;
      if (!run->started() && local->gone()) continue;
      ReplicaInfo info = member->info;
      info.published_round = local->published_round();
      info.mixed_round = local->mixed_round();
      state.replicas.push_back(info);
    }
    if (TellsGone(*run, asked)) state.gone = GoneOf(*run);
    message.runs.push_back(std::move(state));
  }
  return message;
}

TopologySnapshot NodeCore::Impl::Topology(absl::Time now, absl::string_view run_id) const {
  TopologySnapshot topology;
  topology.self = options_.self.node_id;
  topology.nodes.push_back(NodeSnapshot{options_.self, true, "", absl::ZeroDuration()});
  for (const auto& [node, peer] : membership_.peers()) {
    topology.nodes.push_back(NodeSnapshot{
        peer.info, !peer.silent(), peer.silent() ? peer.silence->reason : "",
        peer.heard_at == absl::InfinitePast() ? absl::ZeroDuration() : now - peer.heard_at});
  }
  for (const auto& [name, run] : runs_) {
    if (!run_id.empty() && name != run_id) continue;
    for (const auto& [replica, member] : run->members()) {
      ReplicaSnapshot snapshot;
      snapshot.run_id = name;
      snapshot.info = member.info;
      snapshot.node = member.node;
      const auto rank = run->started() ? run->view().RankOf(replica) : std::nullopt;
      snapshot.rank = rank.has_value() ? static_cast<int32_t>(*rank) : -1;
      snapshot.reachable = HasPath(member);
      for (const auto& [attach, local] : locals_) {
        if (local->replica() != replica || !IsNewestLife(*local)) continue;
        snapshot.info.published_round = local->published_round();
        snapshot.info.mixed_round = local->mixed_round();
      }
      topology.replicas.push_back(std::move(snapshot));
    }
  }
  return topology;
}

double NodeCore::Impl::ViewAgreement(const Run& run) const {
  std::map<NodeId, bool> agrees;
  for (const auto& [replica, member] : run.members()) {
    if (member.node.IsZero()) continue;
    if (member.node == options_.self.node_id) {
      agrees[member.node] = true;
      continue;
    }
    const auto report = run.reports().find(member.node);
    agrees[member.node] = report != run.reports().end() && run.started() &&
                          report->second.view_digest == run.view().digest();
  }
  const auto count =
      std::count_if(agrees.begin(), agrees.end(), [](const auto& entry) { return entry.second; });
  return agrees.empty() ? 1.0 : static_cast<double>(count) / static_cast<double>(agrees.size());
}

std::vector<ReplicaStatsSnapshot> NodeCore::Impl::Stats(absl::string_view run_id) const {
  std::vector<ReplicaStatsSnapshot> all;
  for (const auto& [attach, local] : locals_) {
    Run& run = local->run();
    if (!run_id.empty() && run.run_id() != run_id) continue;
    const Member* member = run.Find(local->replica());
    if (member == nullptr || !IsNewestLife(*local)) continue;
    ReplicaStatsSnapshot snapshot;
    snapshot.run_id = run.run_id();
    snapshot.attach = attach;
    snapshot.info = member->info;
    snapshot.info.state = local->state();
    snapshot.info.published_round = local->published_round();
    snapshot.info.mixed_round = local->mixed_round();
    snapshot.statistics = local->statistics();
    for (uint32_t number = 0; number < run.roster_size(); ++number) {
      snapshot.source_names.push_back(run.MemberAt(number).info.name);
      snapshot.source_ids.push_back(run.MemberAt(number).info.replica_id);
    }
    snapshot.statistics.sources.resize(run.roster_size());
    snapshot.consensus_distance_is_bound = !run.source_is_uniform();
    snapshot.view_agreement = ViewAgreement(run);
    all.push_back(std::move(snapshot));
  }
  return all;
}

std::vector<RunSnapshot> NodeCore::Impl::Runs() const {
  std::vector<RunSnapshot> all;
  for (const auto& [name, run] : runs_) {
    RunSnapshot snapshot;
    snapshot.run_id = name;
    snapshot.founding = run->founding();
    snapshot.started = run->started();
    snapshot.newest_round = run->newest_round();
    snapshot.times = DeriveTimes(run->config(), absl::ZeroDuration());
    for (const auto& [replica, member] : run->members()) {
      ++snapshot.replicas;
      if (member.node == options_.self.node_id) ++snapshot.local_replicas;
      if (IsReachable(member)) ++snapshot.live_replicas;
    }
    for (const auto& [attach, local] : locals_) {
      if (&local->run() == run.get() && !local->gone()) snapshot.times = local->Times();
    }
    all.push_back(std::move(snapshot));
  }
  return all;
}

std::vector<LinkSnapshot> NodeCore::Impl::Links() const {
  std::vector<LinkSnapshot> all;
  for (const auto& [node, statistics] : links_) {
    LinkSnapshot snapshot;
    snapshot.statistics = statistics;
    if (node == options_.self.node_id) {
      snapshot.peer = options_.self;
    } else if (const Peer* peer = membership_.Find(node)) {
      snapshot.peer = peer->info;
    } else {
      snapshot.peer.node_id = node;
    }
    all.push_back(std::move(snapshot));
  }
  return all;
}

bool NodeCore::Impl::HasRun(absl::string_view run_id) const { return FindRun(run_id) != nullptr; }

absl::StatusOr<ScheduleSnapshot> NodeCore::Impl::ScheduleOf(absl::string_view run_id, Round round,
                                                            SegmentId segment) {
  Run* run = FindRun(run_id);
  if (run == nullptr) return absl::NotFoundError(absl::StrCat("no run named ", run_id, " here"));
  if (!run->started()) {
    return absl::FailedPreconditionError(
        absl::StrCat("run ", run_id, " has not started: its view is not fixed yet"));
  }
  if (Value(segment) >= run->founding().segments) {
    return absl::OutOfRangeError(absl::StrCat("run ", run_id, " has segments 0 to ",
                                              run->founding().segments - 1, ", not ",
                                              Value(segment)));
  }
  const Round first = Next(run->founding().start_round);
  ScheduleSnapshot snapshot;
  snapshot.schedule = run->config().schedule;
  snapshot.round = round == kNoRound ? std::max(first, run->newest_round()) : round;
  const std::shared_ptr<const RoundView> view = run->ViewOf(snapshot.round);
  for (uint32_t rank = 0; rank < view->size(); ++rank) {
    const uint32_t number = view->NumberOf(rank);
    const Partners partners = run->PartnersOf(*view, snapshot.round, segment, number);
    const ReplicaInfo& reader = run->MemberAt(number).info;
    const ReplicaInfo& source = run->MemberAt(partners.source).info;
    snapshot.assignments.push_back(
        AssignmentSnapshot{reader.replica_id, reader.name, source.replica_id, source.name});
  }
  return snapshot;
}

}  // namespace weightmesh
