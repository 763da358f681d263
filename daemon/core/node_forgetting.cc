// What a node forgets: silent daemons, and runs that are over.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "daemon/core/node_core_impl.h"

namespace weightmesh {
namespace {

// How long an ended run can still be asked for its statistics.
constexpr absl::Duration kEndedRunKept = absl::Minutes(10);

}  // namespace

// A node with a part in a run, even one that has ended, goes with the run.
void NodeCore::Impl::ForgetSilentNodes() {
  const auto has_part = [this](NodeId node) {
    return std::any_of(runs_.begin(), runs_.end(),
                       [node](const auto& entry) { return entry.second->HasMemberOn(node); });
  };
  for (const NodeInfo& forgotten : membership_.ForgetSilent(now_, has_part)) {
    for (auto& [name, run] : runs_) run->reports().erase(forgotten.node_id);
    for (auto& [attach, local] : locals_) local->source().Forget(forgotten.node_id);
    links_.erase(forgotten.node_id);
    Emit(ForgetNode{forgotten.node_id, forgotten.control_address});
    Emit(Log{LogLevel::kDebug, absl::StrCat("node ", forgotten.node_id.ToString(), " at ",
                                            forgotten.control_address, " is forgotten")});
  }
  // What was under way from them may have been counted since.
  if (links_.size() <= membership_.peers().size() + kSilentPeersMax) return;
  std::erase_if(links_, [this](const auto& link) {
    return link.first != options_.self.node_id && !Knows(link.first);
  });
}

bool NodeCore::Impl::HasLiveMember(const Run& run) const {
  return std::any_of(run.members().begin(), run.members().end(),
                     [this](const auto& entry) { return IsReachable(entry.second); });
}

// Nobody of the run is left, as far as this node knows, and nothing here touches it any more.
bool NodeCore::Impl::IsOver(const Run& run) const {
  return run.started() && !IsHeld(run) && !HasLiveMember(run);
}

// Every daemon that hosted one of the run and answers knows that it is over: otherwise it would
// take those who use the name again for the run's own.
bool NodeCore::Impl::EndIsAgreed(const Run& run) const {
  return std::all_of(run.members().begin(), run.members().end(), [&](const auto& entry) {
    const Peer* peer = membership_.Find(entry.second.node);
    if (peer == nullptr || peer->silent() || peer->info.session != entry.second.session)
      return true;
    const auto report = run.reports().find(entry.second.node);
    return report != run.reports().end() && report->second.ended;
  });
}

bool NodeCore::Impl::IsHeld(const Run& run) const {
  return std::any_of(locals_.begin(), locals_.end(), [&run](const auto& local) {
    return &local.second->run() == &run && !local.second->freed();
  });
}

// REQUIRES: all its local replicas are freed.
void NodeCore::Impl::ForgetRun(const std::string& run_id) {
  const auto entry = runs_.find(run_id);
  const Run* run = entry->second.get();
  std::erase_if(locals_, [run](const auto& local) { return &local.second->run() == run; });
  unreleased_.erase(run_id);
  runs_.erase(entry);
}

// Forgets runs without live replicas that ended long ago, or (`all`) at any time.
void NodeCore::Impl::ForgetEndedRuns(bool all) {
  std::vector<std::string> forgotten;
  for (auto& [name, run] : runs_) {
    if (IsHeld(*run) || HasLiveMember(*run)) {
      run->ended_at.reset();
      continue;
    }
    if (!run->ended_at.has_value()) run->ended_at = now_;
    if (all || now_ - *run->ended_at >= kEndedRunKept) forgotten.push_back(name);
  }
  for (const std::string& name : forgotten) ForgetRun(name);
}

// Forgets one run without a replica here: what others tell of takes no place from who attaches.
void NodeCore::Impl::ForgetForeignRun() {
  for (const auto& [name, run] : runs_) {
    const bool local = std::any_of(
        locals_.begin(), locals_.end(),
        [run = run.get()](const auto& replica) { return &replica.second->run() == run; });
    if (!local) return ForgetRun(name);
  }
}

}  // namespace weightmesh
