// Whose process speaks: restarted daemons, and two live processes with one node_id (a state
// directory that was copied, as with a cloned disk), of which the later one is refused.
//
// A process that speaks as a known node is believed once that one's own process is known to be
// gone: it is silent, another one answers at its address, or a probe of it fails. Whoever is
// refused ends, unless a run that it takes part in would lose by it.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "daemon/core/node_core_impl.h"

namespace weightmesh {
namespace {

constexpr absl::Duration kClaimProbeTimeout = absl::Seconds(1);

std::string DescribeTwin(const NodeInfo& stays, const NodeInfo& goes) {
  return absl::StrCat("node_id ", stays.node_id.ToString(), " belongs to the daemon at ",
                      stays.control_address, ", which started earlier and is alive; the one at ",
                      goes.control_address,
                      " runs on a copy of its state directory: stop it, delete node_id there, and "
                      "start it again");
}

}  // namespace

// False: nothing of what `sender` says is to be believed, now at least.
bool NodeCore::Impl::Admits(const NodeInfo& sender, absl::Duration uptime,
                            absl::string_view answered_at, bool* is_successor) {
  if (sender.node_id == options_.self.node_id) {
    MeetTwin(sender, uptime);
    return false;
  }
  const Admission admission = membership_.Admit(now_, sender, uptime, answered_at);
  if (admission == Admission::kContested) {
    membership_.ProbeNow(now_, sender.node_id, kClaimProbeTimeout, actions_);
  }
  *is_successor = admission == Admission::kSuccessor;
  return admission == Admission::kKnown || admission == Admission::kSuccessor;
}

void NodeCore::Impl::MergeSync(const SyncMessage& message, absl::string_view answered_at) {
  bool is_successor = false;
  if (!Admits(message.self, message.uptime, answered_at, &is_successor)) return;
  const bool in_order = membership_.Learn(now_, message);
  Heard(message.self.node_id);
  if (!in_order) return;
  if (is_successor) BuryFormerSession(message.self);
  for (const RunState& state : message.runs) MergeRun(message.self, state);
}

// Who gossips, speaks for itself as in a sync. Errors as PeerService.Gossip says.
absl::Status NodeCore::Impl::TakeInSpeaker(const swim::Message& message,
                                           absl::string_view answered_at) {
  const NodeInfo& sender = message.from;
  bool is_successor = false;
  if (Admits(sender, message.uptime, answered_at, &is_successor)) {
    membership_.Speaks(now_, sender, message.uptime);
    Heard(sender.node_id);
    if (is_successor) BuryFormerSession(sender);
    return absl::OkStatus();
  }
  if (absl::Status caller = CheckCaller(sender); !caller.ok()) return caller;
  // Its own words, by way of a seed.
  if (sender.node_id == options_.self.node_id) return absl::OkStatus();
  return absl::AbortedError(absl::StrCat("node ", sender.node_id.ToString(),
                                         " was another process, which is asked first "
                                         "whether it lives; try again"));
}

// This node's own id: from this process itself, by way of a seed, or from another one.
void NodeCore::Impl::MeetTwin(const NodeInfo& twin, absl::Duration uptime) {
  if (twin.session == options_.self.session || twin.session == twin_.session) return;
  if (!StartedLater(twin, now_ - uptime, options_.self, started_at_)) {
    // A late word of a process that is gone: two are never at one address.
    if (twin.control_address == options_.self.control_address) return;
    return LoseIdentity(DescribeTwin(twin, options_.self));
  }
  twin_ = twin;
  Warn(absl::StrCat(DescribeTwin(options_.self, twin), "; it is refused"));
}

void NodeCore::Impl::On(const SyncRefused& event) {
  membership_.SyncFailed(now_, event.address);  // which answered: it is not silent
  LoseIdentity(event.reason);
}

// One peer's word ends no training: a daemon with active replicas goes on, cut off from that peer.
void NodeCore::Impl::LoseIdentity(const std::string& reason) {
  const bool active = std::any_of(locals_.begin(), locals_.end(), [](const auto& entry) {
    return TakesPart(entry.second->state()) && !entry.second->gone();
  });
  if (!active) {
    if (!ended_) Emit(EndDaemon{reason});
    ended_ = true;
  } else if (!identity_lost_) {
    Warn(absl::StrCat(reason, "; this daemon goes on until its trainers have ended"));
  }
  identity_lost_ = true;
}

// The known process of a node that another one claims to be seems to live. Only an answer to a
// probe that began since shows that: another answer, or a word, may have been long on its way.
bool NodeCore::Impl::AskFormerAgain(NodeId node, bool answered) {
  if (!membership_.IsClaimed(node)) return false;
  if (answered && membership_.WasProbedSinceClaim(node)) return false;
  membership_.ProbeNow(now_, node, kClaimProbeTimeout, actions_);
  return true;
}

// The probe of a node that another process claims to be has ended; false if nobody does.
bool NodeCore::Impl::SettleClaim(NodeId node, bool former_lives) {
  const auto settled = membership_.Settle(now_, node, former_lives);
  if (!settled.has_value()) return false;
  const NodeInfo& stays = membership_.Find(node)->info;
  if (former_lives) Warn(absl::StrCat(DescribeTwin(stays, settled->gone), "; it is refused"));
  if (!settled->replaced) return true;
  Heard(node);
  BuryFormerSession(stays);
  return true;
}

absl::Status NodeCore::Impl::CheckCaller(const NodeInfo& from) const {
  if (from.node_id == options_.self.node_id) {
    if (from.session == options_.self.session || from.session != twin_.session) {
      return absl::OkStatus();
    }
    return absl::AlreadyExistsError(DescribeTwin(options_.self, from));
  }
  const Peer* peer = membership_.Find(from.node_id);
  if (peer == nullptr || peer->info.session == from.session) return absl::OkStatus();
  if (peer->refused_session == from.session) {
    return absl::AlreadyExistsError(DescribeTwin(peer->info, from));
  }
  return absl::OkStatus();
}

// Who may be a link's other end: another node, by the process of it that is believed.
absl::Status NodeCore::Impl::CheckLinkOffer(const NodeInfo& from) const {
  if (absl::Status caller = CheckCaller(from); !caller.ok()) return caller;
  if (from.node_id == options_.self.node_id) {
    return absl::InvalidArgumentError(
        absl::StrCat("node_id ", from.node_id.ToString(),
                     " is that of the daemon that is asked; give each daemon a state directory of "
                     "its own, and delete node_id where one was copied"));
  }
  const Peer* peer = membership_.Find(from.node_id);
  if (peer != nullptr && peer->info.session != from.session) {
    return absl::FailedPreconditionError(
        absl::StrCat("node ", from.node_id.ToString(),
                     " is known here by another session; sync first, then connect"));
  }
  return absl::OkStatus();
}

// A daemon that comes back as another process has lost its trainers.
void NodeCore::Impl::BuryFormerSession(const NodeInfo& from) {
  for (auto& [name, run] : runs_) {
    std::vector<ReplicaId> gone;
    for (const auto& [replica, member] : run->members()) {
      if (member.node == from.node_id && member.session != from.session) gone.push_back(replica);
    }
    for (ReplicaId replica : gone) {
      if (run->started()) {
        run->Bury(replica);
      } else {
        run->Erase(replica);
      }
    }
    run->reports().erase(from.node_id);
  }
}

}  // namespace weightmesh
