// How runs begin: attach, the agreement on founders, start.
//
// A run starts when at least replicas_min replicas wait and every daemon that hosts one of them has
// reported exactly the same set. What a daemon has started it reports, and others follow.
#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "daemon/core/node_core_impl.h"

namespace weightmesh {
namespace {

// How often runs are looked at for timeouts.
constexpr absl::Duration kRunTick = absl::Milliseconds(250);

}  // namespace

Run* NodeCore::Impl::FindRun(absl::string_view run_id) const {
  const auto found = runs_.find(std::string(run_id));
  return found == runs_.end() ? nullptr : found->second.get();
}

Run* NodeCore::Impl::FindRun(RunKey key) const {
  for (const auto& [name, run] : runs_) {
    if (run->key() == key) return run.get();
  }
  return nullptr;
}

// Empty when the attach is within all limits.
std::string NodeCore::Impl::LimitReached(const AttachRequested& event) {
  const auto live = std::count_if(locals_.begin(), locals_.end(),
                                  [](const auto& entry) { return !entry.second->freed(); });
  if (live >= options_.replicas_max) {
    return absl::StrCat("this daemon holds ", live,
                        " replicas, its limit; raise limits.replicas_max or use another daemon");
  }
  if (event.founding.segments > options_.segments_max) {
    return absl::StrCat("the model has ", event.founding.segments, " segments; this daemon takes ",
                        options_.segments_max,
                        ": use fewer, or raise limits.segments_max on every daemon");
  }
  if (FindRun(event.run_id) == nullptr) {
    if (runs_.size() >= options_.runs_max) ForgetEndedRuns(/*all=*/true);
    if (runs_.size() >= options_.runs_max) ForgetForeignRun();
    if (runs_.size() >= options_.runs_max) {
      return absl::StrCat("this daemon serves ", runs_.size(),
                          " runs, its limit; end some or raise limits.runs_max");
    }
  }
  return "";
}

void NodeCore::Impl::On(const AttachRequested& event) {
  const auto refuse = [&](attach::ReplyCode code, std::string message) {
    Emit(RefuseAttach{event.attach, code, std::move(message)});
  };
  if (absl::Status valid = ValidateRunConfig(event.founding.config); !valid.ok()) {
    return refuse(attach::ReplyCode::kInvalid, std::string(valid.message()));
  }
  if (RefusesForDrain(event)) return;
  if (std::string limit = LimitReached(event); !limit.empty()) {
    return refuse(attach::ReplyCode::kLimit, limit);
  }
  if (event.joins) return Join(event);
  Run* run = FindRun(event.run_id);
  if (run != nullptr && IsOver(*run) && EndIsAgreed(*run)) {
    ForgetRun(run->run_id());
    run = nullptr;
  }
  if (run != nullptr && run->digest() != FoundingDigest(event.founding)) {
    const bool attached_here =
        std::any_of(locals_.begin(), locals_.end(),
                    [run](const auto& entry) { return &entry.second->run() == run; });
    if (HasLiveMember(*run) || run->started() || attached_here) {
      return RefuseMismatch(event, event.founding, *run);
    }
    runs_.erase(event.run_id);
    run = nullptr;
  }
  if (run != nullptr && run->started()) {
    return refuse(
        attach::ReplyCode::kTooLate,
        absl::StrCat("run ", event.run_id, " has started with its ", run->founders().size(),
                     " founders; join it (weightmesh_join), which brings the weights of "
                     "the others, or use a new run_id"));
  }
  const ReplicaId replica = MakeReplicaId(event.run_id, event.replica_name);
  if (run != nullptr) {
    const Member* known = run->Find(replica);
    const bool waits = known != nullptr && known->info.state == ReplicaState::kWaiting;
    if (waits && IsReachable(*known)) {
      return refuse(attach::ReplyCode::kNameInUse,
                    absl::StrCat("a live replica of run ", event.run_id, " is already named ",
                                 event.replica_name, "; give every trainer its own replica_name"));
    }
  } else {
    run = runs_.emplace(event.run_id, std::make_unique<Run>(event.run_id, event.founding))
              .first->second.get();
  }
  Admit(event, run, ReplicaState::kWaiting);
  Inform(absl::StrCat("replica ", event.replica_name, " attached to run ", event.run_id));
  ReportProgressOf(run);
  TryStart(run);
}

void NodeCore::Impl::RefuseMismatch(const AttachRequested& event, const FoundingRecord& founding,
                                    const Run& run) {
  RefuseAttach refusal;
  refusal.attach = event.attach;
  refusal.code = attach::ReplyCode::kMismatch;
  refusal.message = absl::StrCat("replica ", event.replica_name, " does not fit run ", event.run_id,
                                 ": ", DescribeDifference(founding, run.founding()),
                                 "; make it equal on all replicas, or use another run_id");
  if (founding.schema_digest != run.founding().schema_digest) {
    refusal.schema_digest = run.founding().schema_digest;
    refusal.schema_hosts = HostsOf(run);
  }
  Emit(std::move(refusal));
}

// Makes the replica a member, waiting or joining.
void NodeCore::Impl::Admit(const AttachRequested& event, Run* run, ReplicaState state) {
  const ReplicaId replica = MakeReplicaId(event.run_id, event.replica_name);
  Member member;
  member.info.replica_id = replica;
  member.info.name = event.replica_name;
  member.info.state = state;
  member.info.life = Value(event.attach);
  member.node = options_.self.node_id;
  member.session = options_.self.session;
  member.confirmed = run->started();
  run->Put(member);
  auto local =
      std::make_unique<LocalReplica>(event.attach, replica, run, this, event.segment_bytes,
                                     now_ + event.start_timeout, options_.sends_per_peer_max);
  if (state == ReplicaState::kJoining) local->Join();
  hosted_[replica] = local.get();
  locals_.emplace(event.attach, std::move(local));
  Emit(AdmitReplica{event.attach, replica});
  SpreadNews();
  FreeReplicas();
}

void NodeCore::Impl::RefuseWaiting(Run* run, RefuseAttach refusal) {
  std::vector<AttachId> refused;
  for (const auto& [attach, local] : locals_) {
    if (&local->run() == run) refused.push_back(attach);
  }
  for (AttachId attach : refused) {
    refusal.attach = attach;
    if (!locals_[attach]->gone()) Emit(refusal);
    RemoveLocal(attach);
  }
}

// REQUIRES: the replica was never started.
void NodeCore::Impl::RemoveLocal(AttachId attach) {
  const auto found = locals_.find(attach);
  Run& run = found->second->run();
  found->second->source().Close();
  hosted_.erase(found->second->replica());
  const Member* member = run.Find(found->second->replica());
  if (!run.started() && member != nullptr && member->node == options_.self.node_id) {
    run.Erase(found->second->replica());
  }
  locals_.erase(found);
  SpreadNews();
}

// --- start ---

// Waiting replicas on daemons that answer.
std::vector<ReplicaId> NodeCore::Impl::ReachableWaiting(const Run& run) const {
  std::vector<ReplicaId> waiting = run.Waiting();
  std::erase_if(waiting, [&](ReplicaId replica) {
    return !IsReachable(run.members().find(replica)->second);
  });
  return waiting;
}

bool NodeCore::Impl::AllAgree(const Run& run, const std::vector<ReplicaId>& waiting) const {
  const uint64_t digest = ViewDigest(waiting);
  for (ReplicaId replica : waiting) {
    const NodeId node = run.members().find(replica)->second.node;
    if (node == options_.self.node_id) continue;
    const auto report = run.reports().find(node);
    if (report == run.reports().end() || report->second.waiting_digest != digest) return false;
  }
  return true;
}

void NodeCore::Impl::TryStart(Run* run) {
  if (run->started()) return;
  const std::vector<ReplicaId> waiting = ReachableWaiting(*run);
  if (waiting.empty() || waiting.size() < run->config().replicas_min) return;
  // A daemon that hosts none of them has reported nothing that the others heeded.
  const bool has_a_say = std::any_of(waiting.begin(), waiting.end(), [&](ReplicaId replica) {
    return run->Find(replica)->node == options_.self.node_id;
  });
  if (has_a_say && AllAgree(*run, waiting)) StartRun(run, waiting);
}

void NodeCore::Impl::StartRun(Run* run, const std::vector<ReplicaId>& founders) {
  run->Start(founders);
  run->started_at = now_;
  Inform(DescribeStart(*run));
  std::vector<AttachId> late;
  for (const auto& [attach, local] : locals_) {
    if (&local->run() != run || local->gone()) continue;
    if (!run->NumberOf(local->replica()).has_value()) late.push_back(attach);
  }
  for (AttachId attach : late) {
    Emit(RefuseAttach{
        attach, attach::ReplyCode::kTooLate,
        absl::StrCat("run ", run->run_id(), " has started with its ", run->founders().size(),
                     " founders; join it (weightmesh_join), or use a new run_id")});
    RemoveLocal(attach);
  }
  unreleased_[run->run_id()] = now_ + kLinkWait;
  if (IsHeld(*run)) SpreadNews();
  TryRelease(run);
}

// Trainers start, or catch up, once their daemon has a data link to every member's, or has waited
// long enough. A daemon without any of them needs no links.
void NodeCore::Impl::TryRelease(Run* run) {
  const auto wait = unreleased_.find(run->run_id());
  if (wait == unreleased_.end()) return;
  const bool is_held = IsHeld(*run);
  bool ready = true;
  for (uint32_t number = 0; number < run->roster_size(); ++number) {
    const Member& member = run->MemberAt(number);
    if (member.node == options_.self.node_id || !IsLive(member.info.state)) continue;
    // Who is gone or silent is redirected around.
    const Peer* peer = membership_.Find(member.node);
    if (member.host_gone || (peer != nullptr && peer->silent())) continue;
    if (member.node.IsZero()) {
      ready = false;
    } else if (is_held) {
      membership_.ConnectNow(now_, member.node, actions_);
      ready &= membership_.IsLinked(member.node);
    }
  }
  if (!ready && now_ < wait->second) return;
  unreleased_.erase(wait);
  if (!ready && is_held) {
    Warn(absl::StrCat("run ", run->run_id(), " goes on without links to all members"));
  }
  // Of whom nobody has told by now was gone before this daemon came; its own word would bring it
  // in.
  for (uint32_t number = 0; number < run->roster_size(); ++number) {
    if (run->MemberAt(number).node.IsZero()) run->MemberAt(number).host_gone = true;
  }
  run->MemberChanged();
  for (auto& [attach, local] : locals_) {
    const bool waits = &local->run() == run && !local->started() && IsLive(local->state());
    if (!waits || local->gone()) continue;
    local->Start();
    if (drain_.has_value()) local->Drain();
  }
  if (is_held) SpreadNews();
}

// --- time ---

void NodeCore::Impl::TickRuns() {
  if (now_ < next_run_tick_) return;
  next_run_tick_ = now_ + kRunTick;
  std::vector<AttachId> overdue;
  for (auto& [attach, local] : locals_) {
    const bool waiting = local->state() == ReplicaState::kWaiting && !local->run().started();
    if (waiting && !local->gone() && now_ >= local->start_deadline()) overdue.push_back(attach);
  }
  for (AttachId attach : overdue) {
    Emit(RefuseAttach{attach, attach::ReplyCode::kStartTimeout,
                      DescribeWaiting(locals_[attach]->run())});
    RemoveLocal(attach);
  }
  for (auto& [name, run] : runs_) {
    TryStart(run.get());
    TryRelease(run.get());
    if (!run->started() || !IsHeld(*run)) continue;
    // A daemon that came back, or a link that could not be made at the start.
    for (uint32_t number = 0; number < run->roster_size(); ++number) {
      const Member& member = run->MemberAt(number);
      if (member.node == options_.self.node_id || !IsReachable(member)) continue;
      membership_.ConnectNow(now_, member.node, actions_);
    }
  }
  ForgetEndedRuns(/*all=*/false);
  ForgetSilentNodes();
  last_members_.Tick(now_, membership_, actions_);
}

// --- people ---

// The derived times are those of the start; overlap_grace shrinks once rounds are measured.
std::string NodeCore::Impl::DescribeStart(const Run& run) const {
  const DerivedTimes times = DeriveTimes(run.config(), absl::ZeroDuration());
  return absl::StrCat("run ", run.run_id(), " starts with ", run.founders().size(),
                      " replicas: ", ScheduleName(run.config().schedule), ", ",
                      ModeName(run.config().mode), ", ", WireName(run.config().wire), ", ",
                      run.founding().segments, " segments; round_deadline ",
                      absl::FormatDuration(times.round_deadline), ", probe_timeout ",
                      absl::FormatDuration(times.probe_timeout), ", overlap_grace ",
                      absl::FormatDuration(times.overlap_grace), ", publish_wait ",
                      absl::FormatDuration(times.publish_wait));
}

std::string NodeCore::Impl::DescribeWaiting(const Run& run) const {
  std::vector<std::string> names;
  for (ReplicaId replica : ReachableWaiting(run)) {
    names.push_back(run.members().find(replica)->second.info.name);
  }
  std::vector<std::string> silent;
  for (const auto& [node, peer] : membership_.peers()) {
    if (peer.silent()) silent.push_back(peer.info.control_address);
  }
  return absl::StrCat(
      "run ", run.run_id(), " has ", names.size(), " of ", run.config().replicas_min, " replicas (",
      absl::StrJoin(names, ", "), ") through ", membership_.peers().size() + 1, " daemons",
      silent.empty() ? "" : absl::StrCat("; silent daemons: ", absl::StrJoin(silent, ", ")),
      "; start the missing trainers, check the daemons' seeds, or lower replicas_min");
}

void NodeCore::Impl::ReportProgressOf(Run* run) {
  if (run->started()) return;
  const size_t waiting = ReachableWaiting(*run).size();
  for (const auto& [attach, local] : locals_) {
    if (&local->run() != run || local->gone()) continue;
    Emit(ReportProgress{attach, absl::StrCat("run ", run->run_id(), " waits for its founders: ",
                                             waiting, " of ", run->config().replicas_min)});
  }
}

}  // namespace weightmesh
