// Remembers who was gone for whom.
#include "tests/sim/check/resurrection.h"

#include <algorithm>
#include <variant>

#include "absl/strings/str_cat.h"

namespace weightmesh::sim {
namespace {

// Within which all that a process has said has come to whom it was for, if that one is there.
constexpr absl::Duration kUnderWay = absl::Seconds(2);

}  // namespace

void Resurrection::Believes(uint64_t observer, const ReplicaSnapshot& replica) {
  const auto key = std::tuple(observer, replica.node, replica.info.replica_id, replica.info.life);
  if (!IsLive(replica.info.state)) {
    dead_.insert(key);
  } else if (dead_.count(key) > 0) {
    ledger_->Violate(absl::StrCat(replica.info.name, " was gone, and is ",
                                  ReplicaStateName(replica.info.state), " again"));
  }
}

void Resurrection::Believes(uint64_t observer, const NodeSnapshot& node, bool is_over) {
  const auto key = std::tuple(observer, node.info.node_id, node.info.session);
  if (!is_over) return;
  if (!node.reachable) {
    silent_.insert(key);
  } else if (silent_.count(key) > 0) {
    ledger_->Violate(absl::StrCat("the process at ", node.info.control_address,
                                  " has ended and was silent, and answers again"));
  }
}

void ResurrectionWatch::OnStep(absl::Time now, uint32_t node, const Event& event,
                               absl::Span<const Action>) {
  const bool has_heard = std::holds_alternative<SyncReceived>(event) ||
                         std::holds_alternative<SyncAnswered>(event) ||
                         std::holds_alternative<GossipReceived>(event) ||
                         std::holds_alternative<GossipAnswered>(event);
  if (!has_heard) return;
  const auto resumed = resumed_at_.find(node);
  const absl::Time listens_since =
      resumed == resumed_at_.end() ? absl::InfinitePast() : resumed->second;
  check_.Believes(sessions_[node], simulator_->node(node).core().Topology(now, ""),
                  [&](NodeId other, SessionId session) {
                    const auto ended = ended_at_.find({other, session});
                    return ended != ended_at_.end() &&
                           now > std::max(ended->second, listens_since) + kUnderWay;
                  });
}

void ResurrectionWatch::OnNode(absl::Time now, uint32_t node, ProcessChange change) {
  const SimNode& process = simulator_->node(node);
  if (change == ProcessChange::kStarted)
    sessions_[node] = simulator_->node(node).core().self().session;
  if (change == ProcessChange::kKilled) ended_at_[{process.id(), sessions_[node]}] = now;
  if (change == ProcessChange::kResumed) resumed_at_[node] = now;
}

}  // namespace weightmesh::sim
