// Who comes when a run has started: a replica joins, catches up from the others, and takes part
// from a round that is announced ahead (design.md section 5).
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "daemon/core/node_core_impl.h"

namespace weightmesh {

void NodeCore::Impl::Join(const AttachRequested& event) {
  const auto refuse = [&](attach::ReplyCode code, std::string message) {
    Emit(RefuseAttach{event.attach, code, std::move(message)});
  };
  Run* run = FindRun(event.run_id);
  // Others that join have nothing to give.
  const auto trains = [this](const auto& entry) {
    return entry.second.info.state != ReplicaState::kJoining && IsReachable(entry.second);
  };
  if (run == nullptr || !run->started() ||
      std::none_of(run->members().begin(), run->members().end(), trains)) {
    return refuse(attach::ReplyCode::kNoRun,
                  absl::StrCat("run ", event.run_id,
                               " is not known here as one that trains, so there "
                               "is nothing to join; attach to it, or check the daemon's seeds"));
  }
  // Its weights and its round are the others'.
  FoundingRecord founding = event.founding;
  founding.weights_digest = run->founding().weights_digest;
  founding.start_round = run->founding().start_round;
  if (FoundingDigest(founding) != run->digest()) return RefuseMismatch(event, founding, *run);
  const Member* known = run->Find(MakeReplicaId(event.run_id, event.replica_name));
  if (known != nullptr && IsReachable(*known)) {
    return refuse(attach::ReplyCode::kNameInUse,
                  absl::StrCat("a live replica of run ", event.run_id, " is already named ",
                               event.replica_name, "; give every trainer its own replica_name"));
  }
  if (known == nullptr && run->members().size() >= kReplicasPerRunMax) {
    return refuse(
        attach::ReplyCode::kLimit,
        absl::StrCat("run ", event.run_id, " has had ", kReplicasPerRunMax,
                     " replicas, the most that one may; use the name of one that is gone"));
  }
  Admit(event, run, ReplicaState::kJoining);
  Inform(absl::StrCat("replica ", event.replica_name, " joins run ", event.run_id));
  unreleased_[run->run_id()] = now_ + kLinkWait;
  TryRelease(run);
}

void NodeCore::Impl::On(const CaughtUp& event) {
  LocalReplica* local = FindLocal(event.attach);
  if (local == nullptr || local->state() != ReplicaState::kJoining) return;
  local->TakePart();
  if (drain_.has_value()) local->Drain();
  const ReplicaInfo& info = local->run().Find(local->replica())->info;
  Inform(absl::StrCat("replica ", info.name, " has caught up with run ", local->run().run_id(),
                      ": it takes part from round ", Value(info.active_from)));
  SpreadNews();
}

}  // namespace weightmesh
