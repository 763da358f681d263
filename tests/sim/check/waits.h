// Waits: no trainer waits without a deadline: each wait is over when it was promised to be, and if
// its daemon stands still, when the trainer was to give up.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "tests/sim/ledger.h"
#include "tests/sim/observer.h"

namespace weightmesh::sim {

// For the way of messages between trainer and daemon, and what the daemon does before.
constexpr absl::Duration kWaitSlack = absl::Milliseconds(100);

class Waits final : public Observer {
 public:
  // `ledger` must outlive the check.
  explicit Waits(Ledger* ledger) : ledger_(ledger) {}

  void OnNode(absl::Time now, uint32_t node, ProcessChange change) override;
  void OnTrainer(absl::Time now, uint32_t node, AttachId attach, ProcessChange change) override;
  void OnWait(absl::Time now, uint32_t node, AttachId attach, WaitKind kind, absl::Duration promise,
              absl::Duration limit) override;
  void OnWaitOver(absl::Time now, uint32_t node, AttachId attach) override;

  // Whether somebody should have stopped waiting before now; empty, or who and for what.
  std::string Check(absl::Time now) const;

 private:
  using Trainer = std::pair<uint32_t, AttachId>;
  struct Wait {
    WaitKind kind{};
    absl::Duration promise;
    absl::Duration limit;
    absl::Time promise_due;
    absl::Time limit_due;
  };
  // By how much too long; zero or less: it is in time.
  absl::Duration Excess(absl::Time now, const Trainer& trainer, const Wait& wait) const;
  std::string Describe(const Trainer& trainer, const Wait& wait, absl::Duration excess) const;

  Ledger* const ledger_;
  std::map<Trainer, Wait> waits_;
  std::set<uint32_t> stopped_nodes_;
  std::set<Trainer> stopped_trainers_;
};

}  // namespace weightmesh::sim
