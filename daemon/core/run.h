// Run: what this node knows of one training job: its founding record, replicas and view.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "daemon/core/heal_watch.h"
#include "daemon/core/ids.h"
#include "daemon/core/run_config.h"
#include "daemon/core/schedule.h"
#include "daemon/core/sync_message.h"
#include "daemon/core/view.h"

namespace weightmesh {

// A round number further than this beyond the newest known is refused as implausible.
constexpr uint64_t kRoundJumpMax = uint64_t{1} << 20;

// One replica of a run and where it lives.
struct Member {
  ReplicaInfo info;
  NodeId node;            // zero: not heard of yet
  SessionId session = 0;  // of the node's process that hosts it
  // The node has said that the run has started with this replica on it: no other can claim it.
  bool confirmed = false;
  uint32_t number = 0;  // in the run's roster; from the start on
  // The mesh holds that process for dead, or it has left the mesh.
  bool host_gone = false;
};

// What another daemon, which hosts one of its replicas, said last about the run.
struct RunReport {
  bool started = false;
  bool ended = false;
  uint64_t waiting_digest = 0;
  uint64_t view_digest = 0;
};

// The view of some rounds, with the roster's number of each rank and back. Immutable: who holds one
// keeps the partners of its round, whoever comes or goes meanwhile.
class RoundView {
 public:
  static constexpr uint32_t kNoRank = std::numeric_limits<uint32_t>::max();

  RoundView() = default;
  // `number_of_rank` has one row for each of `view`; `roster` is the number of all members.
  RoundView(View view, std::vector<uint32_t> number_of_rank, size_t roster);

  const View& view() const { return view_; }
  uint32_t size() const { return view_.size(); }
  // REQUIRES: rank < size().
  uint32_t NumberOf(uint32_t rank) const { return number_of_rank_[rank]; }
  // kNoRank when the member has no part in these rounds.
  uint32_t RankOf(uint32_t number) const {
    return number < rank_of_number_.size() ? rank_of_number_[number] : kNoRank;
  }

 private:
  View view_;
  std::vector<uint32_t> number_of_rank_;
  std::vector<uint32_t> rank_of_number_;
};

class Run {
 public:
  Run(std::string run_id, FoundingRecord founding);

  const std::string& run_id() const { return run_id_; }
  RunKey key() const { return key_; }
  const FoundingRecord& founding() const { return founding_; }
  const RunConfig& config() const { return founding_.config; }
  const Digest& digest() const { return digest_; }

  // All replicas known, in the order of replica_id. After the start: the founders and who joined.
  const std::map<ReplicaId, Member>& members() const { return members_; }
  Member* Find(ReplicaId replica);
  // Adds or replaces; after the start a new one gets the next number of the roster.
  void Put(const Member& member);
  // REQUIRES: before the start.
  void Erase(ReplicaId replica) { members_.erase(replica); }
  // Its process is gone. One that has not been announced takes part in no round. REQUIRES: a
  // member.
  void Bury(ReplicaId replica);
  // Something that decides over views was changed in a member: state, active_from or left_at.
  void MemberChanged() { views_.clear(); }
  bool HasMemberOn(NodeId node) const;
  // Whether the schedule keeps the dead in the views to come, so that all must know of them.
  bool KeepsTheDead() const { return config().schedule != ScheduleKind::kHashCycle; }
  // Sets Member::host_gone of all members on `node`.
  void SetHostGone(NodeId node, bool gone);

  // The waiting replicas, and the hash by which daemons compare what they know of them.
  std::vector<ReplicaId> Waiting() const;
  uint64_t WaitingDigest() const { return ViewDigest(Waiting()); }
  std::map<NodeId, RunReport>& reports() { return reports_; }
  const std::map<NodeId, RunReport>& reports() const { return reports_; }

  // Fixes the founders for good. Replicas that are none of them are forgotten; founders that were
  // never heard of are members without a node.
  void Start(const std::vector<ReplicaId>& founders);
  bool started() const { return started_; }
  const View& founders() const { return founders_; }  // empty before the start

  // All that ever were members since the start, by a number that each keeps for good.
  uint32_t roster_size() const { return static_cast<uint32_t>(roster_.size()); }
  // REQUIRES: number < roster_size().
  Member& MemberAt(uint32_t number) { return *roster_[number]; }
  const Member& MemberAt(uint32_t number) const { return *roster_[number]; }
  std::optional<uint32_t> NumberOf(ReplicaId replica) const;

  // Who takes part in `round`, as far as this node knows now. REQUIRES: started.
  std::shared_ptr<const RoundView> ViewOf(Round round) const;
  // That of the next round.
  const View& view() const { return ViewOf(Next(newest_round_))->view(); }
  // Partners of a member as numbers of the roster; itself where it has no part in the view.
  Partners PartnersOf(const RoundView& view, Round round, SegmentId segment, uint32_t number);
  bool source_is_uniform() const { return schedule_->source_is_uniform(); }

  HealWatch& heal_watch() { return heal_watch_; }

  // Newest round known to be published by anyone.
  Round newest_round() const { return newest_round_; }
  bool IsPlausible(Round round) const {
    return round <= newest_round_ || Value(round) - Value(newest_round_) <= kRoundJumpMax;
  }
  // Raises the newest round; false, and no change, when `round` is implausible.
  bool Observe(absl::Time now, Round round);
  // What a round takes, once it was measured so often that it says something; zero before.
  absl::Duration measured_round_time() const;
  // Another daemon has measured that: it is believed as long as this one has not.
  void HearRoundTime(absl::Duration round_time) { told_round_time_ = round_time; }
  // The first round that all others can be told of in time, for who comes or goes. `each` is what a
  // round takes; zero: as measured, or as others have told.
  Round AnnouncedRound(absl::Duration each = absl::ZeroDuration()) const;

  absl::Time started_at = absl::InfinitePast();  // as this node has heard
  // Time since which nobody has been live; for forgetting ended runs.
  std::optional<absl::Time> ended_at;

 private:
  const std::string run_id_;
  const RunKey key_;
  const FoundingRecord founding_;
  const Digest digest_;
  std::map<ReplicaId, Member> members_;
  std::map<NodeId, RunReport> reports_;
  HealWatch heal_watch_;
  bool started_ = false;
  View founders_;
  std::vector<Member*> roster_;
  // What is asked for again and again: each holds in [first, end).
  struct KnownView {
    Round first{};
    Round end{};
    std::shared_ptr<const RoundView> view;
  };
  bool TakesPart(const Member& member, Round round) const;
  mutable std::vector<KnownView> views_;
  std::unique_ptr<Schedule> schedule_;
  Round newest_round_{};
  absl::Time newest_round_at_ = absl::InfinitePast();
  absl::Duration round_time_;    // a moving mean; zero: not measured yet
  uint64_t times_measured_ = 0;  // that it is of
  absl::Duration told_round_time_;
};

}  // namespace weightmesh
