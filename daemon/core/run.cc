// A run's members, start and newest round.
#include "daemon/core/run.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "daemon/core/check.h"

namespace weightmesh {
namespace {

constexpr size_t kViewsKept = 8;
// A new round time counts for one part in this many.
constexpr int64_t kRoundTimeMemory = 8;
// Measures whose mean says something.
constexpr uint64_t kMeasuresForMean = 2 * kRoundTimeMemory;
constexpr absl::Duration kRoundTimeMin = absl::Milliseconds(1);
// Before any was measured: long, for who is heard of late is read late, and who is announced for
// many long rounds ahead waits for hours.
constexpr absl::Duration kRoundTimeAssumed = absl::Seconds(1);
// Within which news reaches every daemon that answers: a sync with all is made at once.
constexpr absl::Duration kDisseminationTime = absl::Milliseconds(250);

}  // namespace

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
    case ReplicaState::kJoining:
      return "joining";
    case ReplicaState::kDraining:
      return "draining";
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
  for (auto& [replica, member] : members_) roster_.push_back(&member);
  views_.clear();
}

void Run::Put(const Member& member) {
  const auto [entry, added] = members_.try_emplace(member.info.replica_id);
  const Member former = std::exchange(entry->second, member);
  entry->second.number = added ? roster_size() : former.number;
  if (started_ && added) roster_.push_back(&entry->second);
  const auto decides = [](const Member& m) {
    return std::tuple(m.info.state, m.info.active_from, m.info.left_at, m.host_gone);
  };
  if (added || decides(former) != decides(member)) views_.clear();
}

void Run::Bury(ReplicaId replica) {
  ReplicaInfo& info = Find(replica)->info;
  if (info.state == ReplicaState::kJoining && info.active_from == kNoRound) {
    info.active_from = info.left_at = Round{1};
  }
  info.state = ReplicaState::kDead;
  MemberChanged();
}

bool Run::HasMemberOn(NodeId node) const {
  return std::any_of(members_.begin(), members_.end(),
                     [node](const auto& member) { return member.second.node == node; });
}

void Run::SetHostGone(NodeId node, bool gone) {
  for (auto& [replica, member] : members_) {
    if (member.node != node || member.host_gone == gone) continue;
    member.host_gone = gone;
    views_.clear();
  }
}

std::optional<uint32_t> Run::NumberOf(ReplicaId replica) const {
  const auto found = members_.find(replica);
  if (!started_ || found == members_.end()) return std::nullopt;
  return found->second.number;
}

// With hash_cycle the redirect around somebody is the schedule without it, so that it makes no
// difference when each node hears of an end. With the others two nodes that leave out different
// ones would pull past each other: there who is gone stays in the view, and is redirected around.
bool Run::TakesPart(const Member& member, Round round) const {
  const ReplicaInfo& info = member.info;
  const bool ends = info.left_at != kNoRound;
  const bool begins =
      info.state != ReplicaState::kJoining && (!ends || info.active_from < info.left_at);
  if (!begins || round < info.active_from) return false;
  if (KeepsTheDead()) return true;
  return ends ? round < info.left_at : IsLive(info.state) && !member.host_gone;
}

std::shared_ptr<const RoundView> Run::ViewOf(Round round) const {
  for (const KnownView& known : views_) {
    if (round >= known.first && round < known.end) return known.view;
  }
  KnownView known{kNoRound, Next(kRoundMax), nullptr};
  std::vector<ReplicaId> replicas;
  std::vector<uint32_t> numbers;  // in the order of members_, which is that of ranks
  for (const auto& [replica, member] : members_) {
    for (Round bound : {member.info.active_from, member.info.left_at}) {
      if (bound <= round) known.first = std::max(known.first, bound);
      if (bound > round) known.end = std::min(known.end, bound);
    }
    if (!TakesPart(member, round)) continue;
    replicas.push_back(replica);
    numbers.push_back(member.number);
  }
  known.view = std::make_shared<const RoundView>(View(std::move(replicas)), std::move(numbers),
                                                 roster_.size());
  if (views_.size() >= kViewsKept) views_.erase(views_.begin());
  views_.push_back(known);
  return known.view;
}

Partners Run::PartnersOf(const RoundView& view, Round round, SegmentId segment, uint32_t number) {
  const uint32_t rank = view.RankOf(number);
  if (rank == RoundView::kNoRank) return {number, number};
  const Partners ranks = schedule_->PartnersOf(view.view(), round, segment, rank);
  return {view.NumberOf(ranks.source), view.NumberOf(ranks.sink)};
}

bool Run::Observe(absl::Time now, Round round) {
  if (!IsPlausible(round)) return false;
  if (round <= newest_round_) return true;
  const uint64_t rounds = Value(round) - Value(newest_round_);
  if (newest_round_at_ != absl::InfinitePast()) {
    const absl::Duration each = (now - newest_round_at_) / static_cast<int64_t>(rounds);
    const bool first = round_time_ == absl::ZeroDuration();
    ++times_measured_;
    round_time_ = first ? each : round_time_ + (each - round_time_) / kRoundTimeMemory;
  }
  newest_round_at_ = now;
  newest_round_ = round;
  return true;
}

// A daemon that has just heard of the run hears the same round from some before it hears the next
// one, or a much later one, from others: its first rounds seem to take no time.
absl::Duration Run::measured_round_time() const {
  return times_measured_ < kMeasuresForMean ? absl::ZeroDuration()
                                            : std::min(round_time_, kRoundTimeMax);
}

// design.md section 5: newest known + ceil(2 x dissemination time / measured round time), and one
// more for a round that is published while this is computed.
Round Run::AnnouncedRound(absl::Duration each) const {
  if (each <= absl::ZeroDuration()) each = measured_round_time();
  if (each <= absl::ZeroDuration()) each = told_round_time_;
  if (each <= absl::ZeroDuration()) each = round_time_;
  each = each > absl::ZeroDuration() ? std::max(each, kRoundTimeMin) : kRoundTimeAssumed;
  const int64_t rounds = absl::Ceil(2 * kDisseminationTime, each) / each;
  return Round{Value(newest_round_) + static_cast<uint64_t>(rounds) + 1};
}

}  // namespace weightmesh
