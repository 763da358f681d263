// What peers say of runs: whose founding record holds, and who takes part.
#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "daemon/core/node_core_impl.h"

namespace weightmesh {
namespace {

// Daemons that are named to be asked for a run's schema.
constexpr size_t kSchemaHostsMax = 3;

}  // namespace

void NodeCore::Impl::MergeRun(const NodeInfo& from, const RunState& state) {
  Run* run = SettleRecord(from, state);
  if (run == nullptr) return;
  const size_t waiting_before = run->started() ? 0 : run->Waiting().size();
  MergeMembers(run, from, state);
  if (run->KeepsTheDead() && IsSameRun(*run, from, state)) MergeGone(run, state);
  if (run->HasMemberOn(from.node_id)) {
    run->reports()[from.node_id] =
        RunReport{state.started, state.ended, state.waiting_digest, state.view_digest};
  }
  if (state.round_time > absl::ZeroDuration()) run->HearRoundTime(state.round_time);
  if (state.newest_round > run->newest_round() && run->Observe(now_, state.newest_round)) {
    TellNewestRound(run);
  }
  const bool is_untold =
      state.started && state.founders.empty() && state.founders_digest != run->founders().digest();
  if (is_untold && !(run->started() && IsSameRun(*run, from, state))) {
    membership_.SyncAgain(now_, from.node_id);
  }
  if (run->started()) return TryRelease(run);
  if (run->Waiting().size() != waiting_before) {
    if (IsHeld(*run)) TellHosts();
    ReportProgressOf(run);
  }
  if (!state.started) return TryStart(run);
  if (!state.founders.empty()) StartRun(run, state.founders);
}

// The run that `state` speaks of, if its founding record is ours or wins; null otherwise.
Run* NodeCore::Impl::SettleRecord(const NodeInfo& from, const RunState& state) {
  Run* run = FindRun(state.run_id);
  const Digest theirs = FoundingDigest(state.founding);
  const bool they_have_live =
      std::any_of(state.replicas.begin(), state.replicas.end(),
                  [](const ReplicaInfo& replica) { return IsLive(replica.state); });
  // A name that is used again: one of the two is of the run before.
  if (run != nullptr && !IsSameRun(*run, from, state)) {
    if (state.ended) return nullptr;
    if (they_have_live && IsOver(*run)) {
      ForgetRun(run->run_id());
      run = nullptr;
    }
  }
  if (run != nullptr && run->digest() == theirs) return run;
  if (!they_have_live) return nullptr;
  if (run != nullptr) {
    const bool ours_wins =
        run->started() || (!state.started && HasLiveMember(*run) && run->digest() < theirs);
    if (ours_wins) return nullptr;
    const std::string difference = DescribeDifference(run->founding(), state.founding);
    RefuseAttach refusal;
    refusal.code = attach::ReplyCode::kMismatch;
    refusal.message =
        absl::StrCat("run ", state.run_id, " was founded otherwise through ", from.control_address,
                     ": ", difference, "; make it equal on all replicas, or use another run_id");
    if (run->founding().schema_digest != state.founding.schema_digest) {
      refusal.schema_digest = state.founding.schema_digest;
      refusal.schema_hosts = {from.control_address};
    }
    RefuseWaiting(run, std::move(refusal));
    runs_.erase(state.run_id);
  }
  if (runs_.size() >= options_.runs_max) ForgetEndedRuns(/*all=*/true);
  if (runs_.size() >= options_.runs_max) return nullptr;
  return runs_.emplace(state.run_id, std::make_unique<Run>(state.run_id, state.founding))
      .first->second.get();
}

// Both have started with the same founders; or they were founded apart from each other, and have
// met since.
bool NodeCore::Impl::IsSameRun(Run& run, const NodeInfo& from, const RunState& state) {
  if (!run.started() || !state.started) return false;
  if (run.founders().digest() == state.founders_digest) return true;
  return std::any_of(state.replicas.begin(), state.replicas.end(), [&](const ReplicaInfo& info) {
    const Member* known = run.Find(info.replica_id);
    return known != nullptr && known->node == from.node_id && known->session == from.session &&
           known->info.life == info.life;
  });
}

// Each daemon alone says what its replicas are: those of founders, and of who joined. Where more
// come than replicas_min, some may start while others, who have not heard of them, do as well: they
// are one run from the moment that they hear of each other, as the halves of one that was parted.
void NodeCore::Impl::MergeMembers(Run* run, const NodeInfo& from, const RunState& state) {
  std::set<ReplicaId> named;
  for (const ReplicaInfo& info : state.replicas) {
    named.insert(info.replica_id);
    Member* known = run->Find(info.replica_id);
    const bool joined = info.state == ReplicaState::kJoining || info.active_from != kNoRound;
    const bool founded_apart = state.started && TakesPart(info.state) &&
                               std::find(state.founders.begin(), state.founders.end(),
                                         info.replica_id) != state.founders.end();
    if (run->started() && known == nullptr && !joined && !founded_apart) continue;  // no founder
    const bool claimed = known != nullptr && (IsLive(known->info.state) || !joined);
    const bool elsewhere =
        claimed && !known->node.IsZero() && known->node != from.node_id &&
        (IsReachable(*known) || known->confirmed || known->node == options_.self.node_id);
    if (known == nullptr && run->members().size() >= kReplicasPerRunMax) continue;
    if (elsewhere) {
      // One name attached at two daemons at once: the lower node_id keeps it.
      if (run->started() || known->node < from.node_id) continue;
      for (auto& [attach, local] : locals_) {
        if (local->replica() != info.replica_id || local->gone()) continue;
        Emit(
            RefuseAttach{attach, attach::ReplyCode::kNameInUse,
                         absl::StrCat("a live replica of run ", run->run_id(), " is already named ",
                                      info.name, " at ", from.control_address,
                                      "; give every trainer its own replica_name")});
        RemoveLocal(attach);
        break;
      }
    }
    Member member{info, from.node_id, from.session, state.started};
    if (!run->started() && info.state != ReplicaState::kWaiting && !state.started) {
      run->Erase(info.replica_id);
      continue;
    }
    if (run->started() && known != nullptr && known->session == from.session) {
      if (info.life < known->info.life) continue;  // of the trainer before
      // Nobody comes back within one life.
      const bool same = info.life == known->info.life;
      if (same && !IsLive(known->info.state)) member.info.state = known->info.state;
      member.host_gone = known->host_gone;
    }
    run->Put(member);
  }
  std::vector<ReplicaId> missing;
  for (const auto& [replica, member] : run->members()) {
    if (member.node == from.node_id && named.count(replica) == 0) missing.push_back(replica);
  }
  for (ReplicaId replica : missing) {
    if (!run->started()) {
      run->Erase(replica);
    } else if (state.started && IsLive(run->Find(replica)->info.state)) {
      // Otherwise it may be an old message, overtaken by newer ones; and who has left, has left.
      run->Bury(replica);
    }
  }
}

// What others know of members whose own daemons are gone: of who died or left before this daemon
// came, and of ends that this one has missed. Who lives says so itself.
void NodeCore::Impl::MergeGone(Run* run, const RunState& state) {
  for (const ReplicaInfo& info : state.gone) {
    const Member* known = run->Find(info.replica_id);
    if (known == nullptr && run->members().size() >= kReplicasPerRunMax) continue;
    if (known != nullptr && SpeaksForItself(*known)) continue;
    Member member;
    member.info = info;
    member.host_gone = true;
    const bool is_unheard = known == nullptr || (known->node.IsZero() && IsLive(known->info.state));
    if (!is_unheard && known->info.active_from >= info.active_from) {
      const bool is_untold_end =
          known->info.active_from == info.active_from && known->info.left_at < info.left_at;
      if (!is_untold_end) continue;
      member = *known;
      member.info.left_at = info.left_at;
    }
    run->Put(member);
  }
}

// Control addresses of some daemons with live replicas of the run, this one left out.
std::vector<std::string> NodeCore::Impl::HostsOf(const Run& run) const {
  std::set<NodeId> nodes;
  std::vector<std::string> addresses;
  for (const auto& [replica, member] : run.members()) {
    const Peer* peer = membership_.Find(member.node);
    if (peer == nullptr || !IsReachable(member) || !nodes.insert(member.node).second) continue;
    addresses.push_back(peer->info.control_address);
    if (addresses.size() >= kSchemaHostsMax) break;
  }
  return addresses;
}

}  // namespace weightmesh
