// ReplicaSource: the read half of a local replica: its slots, and who reads them. Core thread.
//
// A request for a round that is published is answered with data out of a leased slot; one that
// comes early waits; the rest get a final verdict at once. In lockstep each segment of a slot is
// owed to its sink until somebody has read it (design.md section 4). In async the newest snapshot
// within the limit is data for any round, and what is too old is as good as early.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "daemon/core/fifo.h"
#include "daemon/core/pull.h"
#include "daemon/core/run.h"
#include "daemon/core/step_context.h"
#include "proto/control_page.h"

namespace weightmesh {

// Rounds of which a source can tell GONE from SKIPPED.
constexpr size_t kRoundsRemembered = 64;

class ReplicaSource {
 public:
  // All references must outlive the source. It is there from the attach on: another daemon may
  // have started the run before this one, and its requests wait for the first publish.
  ReplicaSource(AttachId attach, Run* run, StepContext* context, ReplicaStatistics* statistics,
                std::vector<uint64_t> segment_bytes, uint32_t sends_per_peer_max);

  // REQUIRES: run->started(); `own` is this replica's number in its roster. Before all Publish.
  void Start(uint32_t own) { own_ = own; }

  // `slot` holds `round`, in which those of `view` take part; `partners` has one row for each
  // segment. A round that is not newer than the last is ignored.
  void Publish(Round round, SlotId slot, std::shared_ptr<const RoundView> view,
               absl::Span<const Partners> partners, const DerivedTimes& times);
  // Nothing is published in `round`.
  void Skip(Round round);

  void Requested(const PullRequest& request);
  void Cancelled(NodeId peer, RequestId request_id);
  // The node is known no more: what is kept for it goes, unless a transfer to it is open.
  void Forget(NodeId peer);
  void SendEnded(SendId send_id, bool sent);

  // Answers DEAD to all that wait and to all to come; claims end, transfers under way go on.
  void Close();

  void Tick();
  // May be early.
  absl::Time next_deadline() const { return next_deadline_; }

  // Whether no slot is leased, and none owed.
  bool IsIdle() const;
  // Newest round published or skipped.
  Round passed_round() const { return passed_round_; }
  Round published_round() const { return published_round_; }

 private:
  static constexpr uint32_t kNobody = std::numeric_limits<uint32_t>::max();
  struct Slot {
    Round round{};
    bool held = false;  // the word says HELD: by the trainer's own store, or by Hold
    uint32_t leases = 0;
    uint32_t claims = 0;
    std::shared_ptr<const RoundView> view;  // of the round
    std::vector<uint32_t> owed_to;          // by segment: number of the sink, or kNobody
    std::vector<uint32_t> reads;            // by number of the reader: reads of this round so far
    absl::Time published_at;
    absl::Time claims_end_at;
  };
  // A request that cannot be served yet: an early one, or one behind leases on another round.
  struct Waiting {
    PullRequest request;
    absl::Time until;
  };
  struct Transfer {
    PullRequest request;
    SlotId slot{};
    absl::Time started_at;
  };
  // What goes to one peer: at most sends_per_peer_max at once, or kSmallSendsMax of little in all;
  // the rest in order.
  struct PeerQueue {
    size_t waiting = 0;  // its rows in waiting_
    uint32_t active = 0;
    uint64_t active_bytes = 0;
    Fifo<Transfer> queued;
  };
  // The one round of this replica on which a reader holds leases, if it holds any.
  struct ReaderLeases {
    Round round{};
    uint32_t count = 0;
  };

  bool MayRead(const PullRequest& request) const;
  uint32_t ReaderFrom(const Slot& slot, uint32_t segment, uint32_t sink);
  bool Serve(const PullRequest& request);
  bool ServeNewest(const PullRequest& request);
  static bool CatchesUp(const PullRequest& request) { return request.oldest_round != kNoRound; }
  bool MayCatchUp() const;
  bool ServeFrom(SlotId slot, const PullRequest& request);
  void Park(const PullRequest& request);
  template <typename Predicate>
  void ForgetWaiting(Predicate predicate);
  void Refuse(const PullRequest& request, RequestRefusal reason, wire::Verdict verdict);
  bool Lease(const PullRequest& request, SlotId slot);
  // True when it was the reader's last lease: what waits behind it may be served.
  bool Unlease(const PullRequest& request, SlotId slot);
  void StartOrQueue(const Transfer& transfer);
  bool MayStart(const PeerQueue& peer, const Transfer& transfer) const;
  uint64_t BytesOf(const Transfer& transfer) const {
    return segment_bytes_[Value(transfer.request.segment)];
  }
  void Start(const Transfer& transfer);
  void StartQueued(NodeId peer);
  void ServeWaiting();
  void EndClaim(Slot* slot, uint32_t segment);
  void EndClaims(Slot* slot);
  void ReleaseIfFree(SlotId slot);
  void CheckSinks(Slot* slot);
  void CutStuckLinks();
  void Lapse(Slot* slot);
  bool HasLapsed(uint32_t sink) const;
  // Who keeps slots from coming free, for people.
  std::string DescribeHolders() const;
  void Answer(const PullRequest& request, wire::Verdict verdict);
  SlotId const* FindSlot(Round round) const;
  SlotId const* FindNewest(const PullRequest& request) const;
  // The round on which the reader holds leases; kNoRound: none.
  Round LeasedBy(ReplicaId reader) const;
  wire::Verdict VerdictWithoutSlot(Round round) const;
  void WakeBy(absl::Time deadline) { next_deadline_ = std::min(next_deadline_, deadline); }
  void ScheduleTick();

  const AttachId attach_;
  Run* const run_;
  StepContext* const context_;
  ReplicaStatistics* const statistics_;
  const std::vector<uint64_t> segment_bytes_;
  const uint32_t sends_per_peer_max_;
  const size_t waiting_max_;

  uint32_t own_ = 0;
  // By member: a sink that let a claim run out has none until it asks again or has published this
  // round, or a stopped trainer would take every slot for a whole deadline. kNoRound: it has not.
  std::vector<Round> lapsed_;
  std::array<Slot, control_page::kSlotsMax> slots_;
  std::array<SlotId, control_page::kSlotsMax> slot_ids_;
  std::array<Round, kRoundsRemembered> history_{};  // published rounds, a ring
  size_t published_count_ = 0;
  Round passed_round_{};
  Round published_round_{};
  bool closed_ = false;
  std::string skip_reason_;  // of the last skip that was logged
  DerivedTimes times_;
  std::vector<Waiting> waiting_;
  std::map<NodeId, PeerQueue> peers_;
  std::map<ReplicaId, ReaderLeases> readers_;
  absl::flat_hash_map<SendId, Transfer> sends_;
  uint32_t catch_ups_ = 0;  // leases of those who catch up, all on catch_up_round_
  Round catch_up_round_{};
  absl::Time next_deadline_ = absl::InfiniteFuture();
};

}  // namespace weightmesh
