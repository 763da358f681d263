// RoundDriver: one replica's rounds, by the protocol of proto/control_page.h. Used by the handle's
// thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "client/include/weightmesh/weightmesh.h"
#include "client/src/arena_mapping.h"
#include "client/src/attach.h"
#include "client/src/command_ring.h"
#include "client/src/daemon_link.h"
#include "client/src/mix_pool.h"
#include "client/src/segment_passes.h"
#include "client/src/status.h"

namespace weightmesh::client {

struct RoundSettings {
  attach::Mode mode = attach::Mode::kLockstep;
  float alpha = 0.5f;
  uint64_t start_round = 0;
  AttachedId replica;
};

// Whether a publish wakes the daemon itself, or leaves that to the collect that follows at once.
enum class RingDaemon { kNow, kWithCollect };

class RoundDriver {
 public:
  // All pointers must outlive the driver; `arena` is mapped.
  RoundDriver(const RoundSettings& settings, const ModelLayout* model, ArenaMapping* arena,
              DaemonLink* link, MixPool* pool);

  // Takes the newest snapshots of the others over into `weights`, and waits for the first round to
  // take part in, which comes into `*first_round`. START_TIMEOUT: not all segments could be had by
  // `deadline`. REFUSED: the arena was overwritten. ALONE: the daemon is gone; `weights` may be
  // the others' then, and are as they were unless OK or ALONE. To be called first, by a replica
  // that joins.
  Status CatchUp(float* const* weights, Clock::time_point deadline, uint64_t* first_round);

  // True from a publish, skipped or not, to its mix.
  bool HasPendingRound() const { return pending_.round != 0; }

  // Publishes `weights` as the next round. OK with published = 0: no slot came free in time, and
  // the round was skipped. ALONE: the daemon is gone (is_gone() is true), or takes no commands:
  // then the round is skipped without a word, and later ones may succeed. DRAINED: the replica is
  // to leave, and has taken part in all of its rounds. REQUIRES: !HasPendingRound().
  Status Publish(const float* const* weights, RingDaemon ring, weightmesh_round* result);

  // Collects the pending round and mixes what arrived into `weights`. OK however little arrived.
  // ALONE: the daemon is gone. REQUIRES: HasPendingRound().
  Status Mix(float* const* weights, weightmesh_round* result);

  // Rounds are exchanged without training from now on, until all replicas agree within `distance`;
  // infinity: this one gives up, and stops when the others can know. The first call begins it.
  void Agree(double distance);
  // Whether this replica may stop: all have agreed, or it has given up.
  bool HasAgreed() const;
  void EndAgreement() { wish_.reset(); }

  // Wakes the daemon for what was posted without a ring: before the end.
  void RingForLast() { link_->Ring(); }

  bool is_gone() const { return gone_; }
  // What the others wanted a replica that joins to be given, after CatchUp.
  const std::string& blob() const { return blob_; }
  // CatchUp has put the others' weights in the place of the own ones.
  bool filled_in() const { return filled_in_; }
  uint64_t newest_published() const { return newest_published_; }

 private:
  // The round between publish and mix.
  struct Pending {
    uint64_t round = 0;  // 0: none
    bool published = false;
    uint32_t slot = 0;
    Clock::time_point begun;
  };

  struct Wish {
    double distance = 0;
    uint64_t first_round = 0;  // published for it
  };

  Status Gone();
  // Collects a pass over all segments under the name of `round`; what came is in `taken`.
  Wake CatchUpOnce(uint64_t round, std::vector<SealKey>* taken);
  void KeepDelivered(size_t segment, SealKey* taken);
  Status FillIn(const std::vector<SealKey>& taken, float* const* weights);
  Status AwaitFirstRound(Clock::time_point deadline, uint64_t* first_round);
  // Takes a slot for `round`: CAS READABLE -> WRITING. Waits at most publish_wait. kTimeout: none
  // came free; kRung: *slot is the trainer's.
  Wake TakeSlot(uint64_t round, uint32_t* slot, weightmesh_round* result);
  bool TryTakeSlot(uint64_t round, uint32_t* slot);
  // Waits for the daemon's freeze of `round`, at most collect_wait.
  Wake AwaitCollected(uint64_t round, weightmesh_round* result);
  void MixCollected(float* const* weights, weightmesh_round* result);
  // What became of segment `segment`; writes its MixedSegment when one was delivered.
  SegmentMix MixOne(size_t segment, float* const* weights);

  const RoundSettings settings_;
  const ModelLayout* const model_;
  ArenaMapping* const arena_;
  DaemonLink* const link_;
  MixPool* const pool_;
  CommandRing commands_;
  std::vector<SegmentMix> mixes_;  // of the round being mixed, one for each segment
  Pending pending_;
  std::optional<Wish> wish_;  // for agreement
  uint64_t newest_round_;     // published or skipped
  uint64_t newest_published_ = 0;
  bool gone_ = false;
  bool filled_in_ = false;
  std::string blob_;
};

}  // namespace weightmesh::client
