// Compares when a pull was given up with when its source had published.
#include "tests/sim/check/patience.h"

#include <algorithm>
#include <variant>

#include "absl/strings/str_cat.h"

namespace weightmesh::sim {

void Patience::OnStep(absl::Time now, uint32_t node, const Event& event,
                      absl::Span<const Action> actions) {
  if (const auto* ended = std::get_if<PullEnded>(&event)) pulls_.erase({node, ended->request_id});
  for (const Action& action : actions) {
    if (const auto* start = std::get_if<StartPull>(&action)) {
      pulls_[{node, start->request.request_id}] = Pull{now, start->request};
    } else if (const auto* cancel = std::get_if<CancelPull>(&action)) {
      const auto pull = pulls_.extract({node, cancel->request_id});
      if (pull && watches_) GivesUp(now, node, pull.mapped());
    }
  }
}

void Patience::GivesUp(absl::Time now, uint32_t node, const Pull& pull) {
  ++given_up_;
  const auto published_at = ledger_->PublishedAt(
      pull.request.source, [&](Round round) { return Accepts(pull.request, round); });
  if (!published_at.has_value()) return;
  const absl::Duration had = now - std::max(*published_at, pull.asked_at);
  if (had <= travel_) return;
  ledger_->Violate(absl::StrCat("node ", node, " gives up a pull of round ",
                                Value(pull.request.round), " after ", absl::FormatDuration(had),
                                " in which its source had it"));
}

}  // namespace weightmesh::sim
