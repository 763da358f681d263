// A wait begins anew when whoever stood still goes on.
#include "tests/sim/check/waits.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace weightmesh::sim {

const char* WaitKindName(WaitKind kind) {
  switch (kind) {
    case WaitKind::kStart:
      return "its start";
    case WaitKind::kSlot:
      return "a slot";
    case WaitKind::kCollect:
      return "the segments of its round";
    case WaitKind::kFirstRound:
      return "its first round";
    case WaitKind::kLeave:
      return "the end of its leave";
  }
  return "unknown";
}

void Waits::OnNode(absl::Time now, uint32_t node, ProcessChange change) {
  if (change == ProcessChange::kKilled) {
    std::erase_if(waits_, [node](const auto& entry) { return entry.first.first == node; });
  }
  if (change == ProcessChange::kStopped) stopped_nodes_.insert(node);
  if (change == ProcessChange::kKilled || change == ProcessChange::kResumed) {
    stopped_nodes_.erase(node);
  }
  for (auto& [trainer, wait] : waits_) {
    if (trainer.first == node) wait.promise_due = now + wait.promise;
  }
}

void Waits::OnTrainer(absl::Time now, uint32_t node, AttachId attach, ProcessChange change) {
  const Trainer trainer{node, attach};
  if (change == ProcessChange::kKilled) waits_.erase(trainer);
  if (change == ProcessChange::kStopped) stopped_trainers_.insert(trainer);
  if (change == ProcessChange::kKilled || change == ProcessChange::kResumed) {
    stopped_trainers_.erase(trainer);
  }
  const auto found = waits_.find(trainer);
  if (found == waits_.end()) return;
  Wait& wait = found->second;
  wait.promise_due = now + wait.promise;
  wait.limit_due = now + wait.limit;
}

void Waits::OnWait(absl::Time now, uint32_t node, AttachId attach, WaitKind kind,
                   absl::Duration promise, absl::Duration limit) {
  waits_[{node, attach}] = Wait{kind, promise, limit, now + promise, now + limit};
}

void Waits::OnWaitOver(absl::Time now, uint32_t node, AttachId attach) {
  const auto wait = waits_.extract({node, attach});
  if (!wait) return;
  const absl::Duration excess = Excess(now, wait.key(), wait.mapped());
  if (excess > absl::ZeroDuration()) {
    ledger_->Violate(Describe(wait.key(), wait.mapped(), excess));
  }
}

std::string Waits::Check(absl::Time now) const {
  for (const auto& [trainer, wait] : waits_) {
    const absl::Duration excess = Excess(now, trainer, wait);
    if (excess > absl::ZeroDuration()) {
      return absl::StrCat(Describe(trainer, wait, excess), ", and waits on");
    }
  }
  return "";
}

absl::Duration Waits::Excess(absl::Time now, const Trainer& trainer, const Wait& wait) const {
  if (stopped_trainers_.count(trainer) > 0) return absl::ZeroDuration();
  const bool daemon_works = stopped_nodes_.count(trainer.first) == 0;
  const absl::Time due = daemon_works ? std::min(wait.promise_due, wait.limit_due) : wait.limit_due;
  return now - due - kWaitSlack;
}

std::string Waits::Describe(const Trainer& trainer, const Wait& wait, absl::Duration excess) const {
  return absl::StrCat("a trainer of node ", trainer.first, " waits for ", WaitKindName(wait.kind),
                      ", ", absl::FormatDuration(excess), " too long: it was to be ",
                      absl::FormatDuration(wait.promise));
}

}  // namespace weightmesh::sim
