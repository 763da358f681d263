// Compares what daemons believe with what is.
#include "tests/sim/check/views.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace weightmesh::sim {
namespace {

using Places = std::map<ReplicaId, NodeId>;

// What `node` believes, against the replicas that train and where they do.
std::string CheckBeliefs(Simulator& simulator, SimNode& node, absl::string_view run_id,
                         const Places& training) {
  const absl::Time now = absl::UnixEpoch() + simulator.elapsed();
  const TopologySnapshot topology = node.core().Topology(now, run_id);
  std::set<NodeId> reachable;
  for (const NodeSnapshot& other : topology.nodes) {
    if (other.reachable) reachable.insert(other.info.node_id);
  }
  for (uint32_t k = 0; k < simulator.nodes(); ++k) {
    SimNode& other = simulator.node(k);
    if (other.process().is_up() == (reachable.count(other.id()) > 0)) continue;
    return absl::StrCat("node ", k,
                        other.process().is_up() ? " is up, and silent" : " is down, and answers",
                        " to node ", node.index());
  }
  Places live;
  for (const ReplicaSnapshot& replica : topology.replicas) {
    if (TakesPart(replica.info.state) && replica.reachable) {
      live[replica.info.replica_id] = replica.node;
    }
  }
  for (uint32_t k = 0; k < simulator.trainers(); ++k) {
    const ReplicaId replica = simulator.trainer(k).replica();
    const auto trains = training.find(replica);
    const auto lives = live.find(replica);
    const bool is_live = lives != live.end();
    if ((trains != training.end()) != is_live) {
      return absl::StrCat("trainer ", k,
                          is_live ? " has ended, and is live" : " trains, and is gone", " to node ",
                          node.index());
    }
    if (is_live && trains->second != lives->second) {
      return absl::StrCat("trainer ", k, " trains elsewhere than node ", node.index(), " believes");
    }
  }
  return "";
}

// Who takes part in `round` of the run, as that node believes, by replica and name.
using View = std::map<ReplicaId, std::string>;
View ViewOf(SimNode& node, absl::string_view run_id, Round round) {
  View view;
  const auto schedule = node.core().ScheduleOf(run_id, round, SegmentId{0});
  if (!schedule.ok()) return view;
  for (const AssignmentSnapshot& one : schedule->assignments) view[one.reader] = one.reader_name;
  return view;
}

// Whether all of `part` are in `whole`.
bool Includes(const View& whole, const View& part) {
  return std::all_of(part.begin(), part.end(),
                     [&](const auto& entry) { return whole.count(entry.first) > 0; });
}

std::string Describe(const View& view) {
  return absl::StrJoin(view, ", ", [](std::string* text, const auto& entry) {
    absl::StrAppend(text, entry.second);
  });
}

}  // namespace

std::string CheckViews(Simulator& simulator, absl::string_view run_id) {
  Places training;
  View expected;
  Round round{};
  for (uint32_t k = 0; k < simulator.trainers(); ++k) {
    const SimTrainer& trainer = simulator.trainer(k);
    if (trainer.state() != TrainerState::kTraining) continue;
    training[trainer.replica()] = trainer.node().id();
    expected[trainer.replica()] = trainer.name();
    round = std::max(round, Next(trainer.newest_round()));
  }
  const bool exact = simulator.options().run.schedule == ScheduleKind::kHashCycle;
  std::optional<View> with_the_dead;
  for (uint32_t k = 0; k < simulator.nodes(); ++k) {
    SimNode& node = simulator.node(k);
    if (!node.process().is_up()) continue;
    if (std::string wrong = CheckBeliefs(simulator, node, run_id, training); !wrong.empty()) {
      return wrong;
    }
    const View view = ViewOf(node, run_id, round);
    if (!Includes(view, expected) || (exact && !Includes(expected, view))) {
      return absl::StrCat("round ", Value(round), " is to be of ", Describe(expected), "; node ", k,
                          " views ", Describe(view));
    }
    if (!with_the_dead.has_value()) with_the_dead = view;
    if (!Includes(view, *with_the_dead) || !Includes(*with_the_dead, view)) {
      return absl::StrCat("round ", Value(round), " is of ", Describe(*with_the_dead),
                          " to the first node, and of ", Describe(view), " to node ", k);
    }
  }
  return "";
}

}  // namespace weightmesh::sim
