// Patience: no pull is given up although its source had the snapshot in time.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "daemon/core/run_config.h"
#include "tests/sim/ledger.h"
#include "tests/sim/observer.h"

namespace weightmesh::sim {

// How many of the pulls of overlap and async arrive depends on how much the trainers stall, so no
// share of them can be asked for; but each that is LATE must have a reason.
class Patience final : public Observer {
 public:
  // `travel`: within which a request comes to its source, and what that has already is back.
  // `ledger` must outlive the check.
  Patience(absl::Duration travel, Ledger* ledger) : travel_(travel), ledger_(ledger) {}

  // From now on; and no longer, for whoever leaves gives up all that is open.
  void Begin() { watches_ = true; }
  void End() { watches_ = false; }
  // Pulls that were given up meanwhile, all with reason if nothing was violated.
  uint64_t given_up() const { return given_up_; }

  void OnStep(absl::Time now, uint32_t node, const Event& event,
              absl::Span<const Action> actions) override;

 private:
  struct Pull {
    absl::Time asked_at;
    PullRequest request;
  };
  void GivesUp(absl::Time now, uint32_t node, const Pull& pull);

  const absl::Duration travel_;
  Ledger* const ledger_;
  bool watches_ = false;
  uint64_t given_up_ = 0;
  std::map<std::pair<uint32_t, RequestId>, Pull> pulls_;
};

}  // namespace weightmesh::sim
