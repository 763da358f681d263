// Follows each pull from its start to its end.
#include "tests/sim/check/pulls.h"

#include <algorithm>
#include <numeric>
#include <variant>

#include "absl/strings/str_cat.h"

namespace weightmesh::sim {

void PullsEndOnce::OnStep(absl::Time, uint32_t node, const Event& event,
                          absl::Span<const Action> actions) {
  if (const auto* ended = std::get_if<PullEnded>(&event)) {
    if (open_.erase({node, ended->request_id}) == 0) {
      ledger_->Violate(absl::StrCat("a pull of node ", node, " ends that is not open"));
    }
  }
  for (const Action& action : actions) {
    if (const auto* start = std::get_if<StartPull>(&action)) Start(node, *start);
    if (const auto* deliver = std::get_if<weightmesh::Deliver>(&action)) Deliver(node, *deliver);
    if (const auto* free = std::get_if<FreeArena>(&action)) Free(node, free->attach);
  }
}

void PullsEndOnce::OnNode(absl::Time, uint32_t node, ProcessChange change) {
  if (change != ProcessChange::kKilled) return;
  std::erase_if(open_, [node](const auto& entry) { return entry.first.first == node; });
  newest_.erase(node);
}

void PullsEndOnce::Start(uint32_t node, const StartPull& action) {
  RequestId& newest = newest_[node];
  if (action.request.request_id <= newest) {
    ledger_->Violate(absl::StrCat("node ", node, " names a pull as it has named another"));
  }
  newest = std::max(newest, action.request.request_id);
  open_[{node, action.request.request_id}] = action.attach;
}

void PullsEndOnce::Deliver(uint32_t node, const weightmesh::Deliver& action) {
  Round& newest = delivered_[{node, action.attach}];
  if (action.round <= newest) {
    ledger_->Violate(absl::StrCat("node ", node, " delivers round ", Value(action.round),
                                  " after round ", Value(newest)));
  }
  newest = action.round;
}

void PullsEndOnce::Free(uint32_t node, AttachId attach) {
  const bool touched = std::any_of(open_.begin(), open_.end(), [&](const auto& entry) {
    return entry.first.first == node && entry.second == attach;
  });
  if (touched) {
    ledger_->Violate(absl::StrCat("node ", node, " frees an arena that a pull may still land in"));
  }
}

std::string CheckOutcomes(const ReplicaStatistics& counted, const OutcomeCounts& seen, bool left) {
  const uint64_t outcomes =
      std::accumulate(counted.pulls.begin(), counted.pulls.end(), uint64_t{0});
  const uint64_t pulls = counted.segments_published;  // none are due to one alone
  if (outcomes != pulls) return absl::StrCat(pulls, " pulls and ", outcomes, " outcomes");
  // Rounds that it did not mix are LATE or CANCELLED, or failed before.
  for (size_t k = 0; left && k < seen.size(); ++k) {
    const bool exact = k == static_cast<size_t>(Outcome::kArrived) ||
                       k == static_cast<size_t>(Outcome::kCorrupt) ||
                       k == static_cast<size_t>(Outcome::kRefused);
    if (exact ? counted.pulls[k] != seen[k] : counted.pulls[k] < seen[k]) {
      return absl::StrCat("it saw ", seen[k], " pulls end as ",
                          OutcomeName(static_cast<Outcome>(k)), ", its core counted ",
                          counted.pulls[k]);
    }
  }
  return "";
}

}  // namespace weightmesh::sim
