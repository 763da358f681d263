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

RoundView::RoundView(View view, std::vector<uint32_t> number_of_rank, size_t roster)
    : view_(std::move(view)),
      number_of_rank_(std::move(number_of_rank)),
      rank_of_number_(roster, kNoRank) {
  for (uint32_t rank = 0; rank < size(); ++rank) rank_of_number_[number_of_rank_[rank]] = rank;
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
  founders_ = View(founders);
  std::map<ReplicaId, Member> members;
  for (uint32_t rank = 0; rank < founders_.size(); ++rank) {
    const ReplicaId replica = founders_.replica(rank);
    Member& member = members[replica];
    if (const Member* known = Find(replica)) member = *known;
    member.info.replica_id = replica;
    member.number = rank;
    if (member.info.state == ReplicaState::kWaiting) member.info.state = ReplicaState::kActive;
  }
  members_ = std::move(members);
  roster_.clear();
  std::vector<uint32_t> numbers;
  for (auto& [replica, member] : members_) {
    numbers.push_back(member.number);
    roster_.push_back(&member);
  }
  view_ = std::make_shared<const RoundView>(founders_, std::move(numbers), roster_.size());
}

std::optional<uint32_t> Run::NumberOf(ReplicaId replica) const {
  const auto found = members_.find(replica);
  if (!started_ || found == members_.end()) return std::nullopt;
  return found->second.number;
}

std::shared_ptr<const RoundView> Run::ViewOf(Round) const { return view_; }

Partners Run::PartnersOf(const RoundView& view, Round round, SegmentId segment, uint32_t number) {
  const uint32_t rank = view.RankOf(number);
  if (rank == RoundView::kNoRank) return {number, number};
  const Partners ranks = schedule_->PartnersOf(view.view(), round, segment, rank);
  return {view.NumberOf(ranks.source), view.NumberOf(ranks.sink)};
}

bool Run::Observe(Round round) {
  if (!IsPlausible(round)) return false;
  newest_round_ = std::max(newest_round_, round);
  return true;
}

}  // namespace weightmesh
