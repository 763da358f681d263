// Agreement: a local replica's part in an exchange without training that goes on until all agree
// (weightmesh_consensus). Core thread.
//
// A replica that finds itself near enough to the others is content, and announces a round after
// which it may stop, so far ahead that all hear of it before they come to it. The last of these is
// where all stop, once each knows that all are content. So nobody stops before the others; unless
// it gives up, or somebody hears too late: then a round of who goes on is LATE, and no more.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "absl/time/time.h"
#include "daemon/core/ids.h"
#include "daemon/core/run.h"

namespace weightmesh {

class Agreement {
 public:
  struct End {
    Round round{};        // all stop after it
    double distance = 0;  // (1/n)·Σ‖xᵢ − x̄‖², the mean of what each said when it announced
  };

  // `run` must outlive this. REQUIRES, of all others: the run has `replica` as a member.
  Agreement(ReplicaId replica, Run* run) : replica_(replica), run_(run) {}

  // The trainer exchanges `round`, which it publishes next, to agree within `distance`; infinity:
  // it gives up, and stops in any case once it has come to the round that it announces.
  void Want(Round round, double distance, bool first);
  // It publishes `round`. If that is not the one of Want, it trains again, and this ends.
  void Publish(absl::Time now, Round round);
  // It has mixed `round`; `distance` is its estimate of the consensus distance, where enough
  // arrived to tell. True when it has announced a round to stop after: all must hear of it now.
  bool Mixed(Round round, std::optional<double> distance);

  bool is_wanted() const { return wanted_ != kNoRound; }
  // Whether `round` is exchanged without training.
  bool Covers(Round round) const { return is_wanted() && round == wanted_; }
  // When to stop, once that is settled.
  std::optional<End> end() const;

 private:
  ReplicaInfo& info() const { return run_->Find(replica_)->info; }
  bool gives_up() const;
  bool IsContent(const ReplicaInfo& info) const { return info.content_at > trained_; }
  bool IsAlone() const;
  void Forget();

  const ReplicaId replica_;
  Run* const run_;
  Round wanted_{};  // kNoRound: it trains
  double distance_ = 0;
  Round trained_{};  // the last round before
  Round mixed_{};
  double estimate_ = 0;
  // The shortest time that some rounds in a row have taken, each: who trains still makes the others
  // wait, and is not waited for any more in the end. Single rounds may be short by chance.
  static constexpr size_t kRoundsTimed = 4;
  absl::Duration pace_ = absl::InfiniteDuration();
  std::array<absl::Time, kRoundsTimed> published_at_{};  // a ring, by publishes_
  uint64_t publishes_ = 0;
};

}  // namespace weightmesh
