// How a daemon is emptied: each replica leaves from a round that is announced ahead, as fair to its
// last round as to any other; then, if it ends, the daemon says that it leaves the mesh.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "daemon/core/node_core_impl.h"

namespace weightmesh {
namespace {

// How long a daemon that leaves the mesh stays to say so, while those whom it tells do not answer.
constexpr absl::Duration kFarewell = absl::Seconds(1);
constexpr char kDrains[] = "this daemon drains: attach to another one";

}  // namespace

void NodeCore::Impl::On(const DrainRequested& event) {
  Drain drain;
  drain.deadline = now_ + event.deadline;
  drain.leaves_mesh = event.leaves_mesh;
  if (drain_.has_value() && drain_->leaves_mesh && !drain_->done) {  // the daemon ends: sooner only
    drain.leaves_mesh = true;
    drain.deadline = std::min(drain.deadline, drain_->deadline);
    drain.tells_until = drain_->tells_until;
    drain.unheard = drain_->unheard;
  }
  drain_ = drain;
  std::vector<AttachId> waiting;
  for (auto& [attach, local] : locals_) {
    if (local->gone()) continue;
    if (!local->run().started()) waiting.push_back(attach);
    if (local->state() != ReplicaState::kActive) continue;
    local->Drain();
    const ReplicaInfo& info = local->run().Find(local->replica())->info;
    Inform(absl::StrCat("replica ", info.name, " of run ", local->run().run_id(),
                        " leaves: it takes no part from round ", Value(info.left_at)));
  }
  for (AttachId attach : waiting) {
    Emit(RefuseAttach{attach, attach::ReplyCode::kUnavailable, kDrains});
    RemoveLocal(attach);
  }
  SpreadNews();
}

bool NodeCore::Impl::RefusesForDrain(const AttachRequested& event) {
  if (!drain_.has_value()) return false;
  Emit(RefuseAttach{event.attach, attach::ReplyCode::kUnavailable, kDrains});
  return true;
}

// After every event: whoever leaves, leaves by one.
void NodeCore::Impl::ContinueDrain() {
  if (drain_->done) return;
  const auto is_here = [](const auto& entry) {
    return IsLive(entry.second->state()) && !entry.second->gone();
  };
  if (std::any_of(locals_.begin(), locals_.end(), is_here)) {
    if (now_ < drain_->deadline) return;
    bool news = false;
    for (auto& [attach, local] : locals_) {
      if (!TakesPart(local->state()) || local->gone()) continue;
      news = true;
      Warn(absl::StrCat("replica ", local->run().Find(local->replica())->info.name, " of run ",
                        local->run().run_id(), " did not come to its last round in time"));
      local->EndDrain();
    }
    if (news) SpreadNews();
  }
  if (drain_->leaves_mesh && swim_.living() > 1) {
    if (drain_->tells_until == absl::InfiniteFuture()) {
      drain_->tells_until = now_ + kFarewell;
      swim::SwimActions todo;
      swim_.Leave(now_, &todo);
      for (const swim::SwimAction& action : todo) {
        if (const auto* news = std::get_if<swim::Gossip>(&action)) {
          drain_->unheard.insert(news->address);
        }
      }
      Perform(std::move(todo));
    }
    if (now_ < drain_->tells_until && !drain_->unheard.empty()) return;
  }
  drain_->done = true;
  Emit(Drained{});
}

absl::Time NodeCore::Impl::drain_deadline() const {
  if (!drain_.has_value() || drain_->done) return absl::InfiniteFuture();
  return drain_->tells_until == absl::InfiniteFuture() ? drain_->deadline : drain_->tells_until;
}

}  // namespace weightmesh
