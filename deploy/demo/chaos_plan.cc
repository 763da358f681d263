// From a seed to strikes.
#include "deploy/demo/chaos_plan.h"

#include <algorithm>
#include <array>

namespace weightmesh::demo {
namespace {

constexpr std::array kBlows = {Blow::kKillTrainer, Blow::kKillDaemon, Blow::kDrain,
                               Blow::kPauseTrainer, Blow::kPauseDaemon};
constexpr std::array kPauses = {Blow::kPauseTrainer, Blow::kPauseDaemon};

bool IsMissing(const NodeState& node) { return node.presence != Presence::kHere; }

bool CanBeStruck(const NodeState& node) {
  return !node.paused && node.presence != Presence::kLeaving;
}

// The element at `share`, in [0, 1), of the way through.
template <typename List>
auto Pick(const List& list, double share) {
  return list[static_cast<size_t>(share * static_cast<double>(list.size()))];
}

}  // namespace

ChaosPlan::ChaosPlan(uint64_t seed, int nodes)
    : rng_(seed),
      missing_max_(std::min(kMissingMax, nodes - kStaying)),
      away_strikes_(static_cast<size_t>(nodes)) {}

std::optional<Strike> ChaosPlan::Next(const std::vector<NodeState>& nodes) {
  std::vector<int> candidates;
  for (size_t k = 0; k < nodes.size(); ++k) {
    away_strikes_[k] = nodes[k].presence == Presence::kAway ? away_strikes_[k] + 1 : 0;
    if (CanBeStruck(nodes[k])) candidates.push_back(static_cast<int>(k));
  }
  // Always as many draws, whatever comes of them.
  const double who = rng_.Unit();
  const double how = rng_.Unit();
  const double how_long = rng_.Unit();
  if (candidates.empty()) return std::nullopt;

  Strike strike;
  strike.node = Overdue().value_or(Pick(candidates, who));
  const Presence presence = nodes[static_cast<size_t>(strike.node)].presence;
  if (presence == Presence::kAway) return strike;
  const bool enough = std::count_if(nodes.begin(), nodes.end(), IsMissing) >= missing_max_;
  const bool only_pauses = strike.node == 0 || presence == Presence::kComing || enough;
  strike.blow = only_pauses ? Pick(kPauses, how) : Pick(kBlows, how);
  if (strike.blow == Blow::kPauseTrainer || strike.blow == Blow::kPauseDaemon) {
    strike.pause_seconds = kPauseSecondsMax * how_long;
  }
  return strike;
}

std::optional<int> ChaosPlan::Overdue() const {
  const auto longest = std::max_element(away_strikes_.begin(), away_strikes_.end());
  if (*longest < kAwayStrikesMax) return std::nullopt;
  return static_cast<int>(longest - away_strikes_.begin());
}

}  // namespace weightmesh::demo
