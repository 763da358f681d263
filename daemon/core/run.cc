// A run's members, start and newest round.
#include "daemon/core/run.h"

#include <algorithm>

#include "daemon/core/check.h"

namespace weightmesh {

const char* ReplicaStateName(ReplicaState state) {
  switch (state) {
    case ReplicaState::kWaiting:
      return "waiting";
    case ReplicaState::kActive:
      return "active";
    case ReplicaState::kLeft:
      return "left";
    case ReplicaState::kDead:
      return "dead";
  }
  return "unknown";
}

Run::Run(std::string run_id, FoundingRecord founding)
    : run_id_(std::move(run_id)),
      key_(MakeRunKey(run_id_)),
      founding_(std::move(founding)),
      digest_(FoundingDigest(founding_)),
      schedule_(MakeSchedule(founding_.config.schedule, founding_.config.seed)),
      newest_round_(founding_.start_round) {}

Member* Run::Find(ReplicaId replica) {
  const auto found = members_.find(replica);
  return found == members_.end() ? nullptr : &found->second;
}

std::vector<ReplicaId> Run::Waiting() const {
  std::vector<ReplicaId> waiting;
  for (const auto& [replica, member] : members_) {
    if (member.info.state == ReplicaState::kWaiting) waiting.push_back(replica);
  }
  return waiting;
}

void Run::Start(const std::vector<ReplicaId>& founders) {
  WEIGHTMESH_CHECK(!started_, "a run started twice");
  started_ = true;
  view_ = View(founders);
  std::map<ReplicaId, Member> members;
  for (uint32_t rank = 0; rank < view_.size(); ++rank) {
    const ReplicaId replica = view_.replica(rank);
    Member& member = members[replica];
    if (const Member* known = Find(replica)) member = *known;
    member.info.replica_id = replica;
    if (member.info.state == ReplicaState::kWaiting) member.info.state = ReplicaState::kActive;
  }
  members_ = std::move(members);
  by_rank_.clear();
  for (auto& [replica, member] : members_) by_rank_.push_back(&member);
}

bool Run::Observe(Round round) {
  if (!IsPlausible(round)) return false;
  newest_round_ = std::max(newest_round_, round);
  return true;
}

}  // namespace weightmesh
