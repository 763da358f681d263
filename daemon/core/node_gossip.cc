// Who is there: the failure detector's calls, and what follows from what it finds out.
//
// A node that the mesh holds for dead is silent here too, and its replicas are left out of views to
// come where the schedule allows it; any sign of life of it ends both at once, and tells it to
// refute. Of one that has left there are no signs of life: only another process of it comes back.
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/core/node_core_impl.h"

namespace weightmesh {
namespace {

// Of a call with all that this node knows, which the other side did not ask for.
constexpr absl::Duration kIntroductionTimeout = absl::Seconds(2);

}  // namespace

// --- calls ---

void NodeCore::Impl::On(const GossipReceived& event) {
  if (absl::Status speaker = TakeInSpeaker(event.message, ""); !speaker.ok()) {
    return Emit(AnswerGossip{event.call, speaker});
  }
  swim::SwimActions todo;
  swim::Message answer = swim_.Answer(now_, event.message, &todo);
  Emit(AnswerGossip{event.call, Stamped(std::move(answer))});
  Perform(std::move(todo));
}

void NodeCore::Impl::On(const IndirectProbeReceived& event) {
  if (absl::Status speaker = TakeInSpeaker(event.message, ""); !speaker.ok()) {
    return Emit(AnswerGossip{event.call, speaker});
  }
  swim::SwimActions todo;
  swim_.IndirectProbeAsked(now_, event.call, event.target, event.timeout, event.message, &todo);
  Perform(std::move(todo));
}

// Another one than the probed node may answer at its address: Swim sees to that.
void NodeCore::Impl::On(const GossipAnswered& event) {
  if (drain_.has_value()) drain_->unheard.erase(event.address);
  const bool is_probe = event.probe != swim::ProbeId{};
  swim::SwimActions todo;
  if (!TakeInSpeaker(event.message, event.address).ok()) {
    if (is_probe) swim_.ProbeFailed(now_, event.probe, &todo);
  } else if (is_probe) {
    swim_.ProbeAnswered(now_, event.probe, event.message, &todo);
  } else {
    swim_.Answered(now_, event.message, &todo);
  }
  Perform(std::move(todo));
}

void NodeCore::Impl::On(const GossipFailed& event) {
  if (drain_.has_value()) drain_->unheard.erase(event.address);
  if (event.refused) LoseIdentity(event.reason);
  if (event.probe == swim::ProbeId{}) return;
  swim::SwimActions todo;
  swim_.ProbeFailed(now_, event.probe, &todo);
  Perform(std::move(todo));
}

void NodeCore::Impl::On(const IndirectProbeAnswered& event) {
  swim::SwimActions todo;
  if (TakeInSpeaker(event.message, "").ok()) {
    swim_.IndirectProbeAnswered(now_, event.probe, event.ack, event.message, &todo);
  } else {
    swim_.IndirectProbeFailed(now_, event.probe, &todo);
  }
  Perform(std::move(todo));
}

void NodeCore::Impl::On(const IndirectProbeFailed& event) {
  swim::SwimActions todo;
  swim_.IndirectProbeFailed(now_, event.probe, &todo);
  Perform(std::move(todo));
}

swim::Message NodeCore::Impl::Stamped(swim::Message message) const {
  message.uptime = now_ - started_at_;
  return message;
}

void NodeCore::Impl::Perform(swim::SwimActions actions) {
  for (swim::SwimAction& action : actions) {
    if (auto* probe = std::get_if<swim::Probe>(&action)) {
      Emit(Gossip{probe->address, probe->timeout, probe->id, Stamped(std::move(probe->message))});
    } else if (auto* news = std::get_if<swim::Gossip>(&action)) {
      Emit(Gossip{news->address, news->timeout, {}, Stamped(std::move(news->message))});
    } else if (auto* all = std::get_if<swim::PushPull>(&action)) {
      Emit(Gossip{all->address, all->timeout, {}, Stamped(std::move(all->message))});
    } else if (auto* indirect = std::get_if<swim::IndirectProbe>(&action)) {
      indirect->message = Stamped(std::move(indirect->message));
      Emit(std::move(*indirect));
    } else if (auto* answer = std::get_if<swim::AnswerIndirectProbe>(&action)) {
      answer->message = Stamped(std::move(answer->message));
      Emit(std::move(*answer));
    } else {
      OnNotice(std::get<swim::Notice>(action));
    }
  }
}

// Who has answered a sync, and is not in the failure detector's eyes: it is told of this node, and
// answers with all that it knows. So a node comes into a mesh by its seeds.
void NodeCore::Impl::Introduce(const NodeInfo& node) {
  const Peer* peer = membership_.Find(node.node_id);
  if (peer == nullptr || peer->info != node) return;
  const swim::Member* known = swim_.Find(node.node_id);
  if (known != nullptr && known->MayLive() && known->info.session == node.session) return;
  Emit(Gossip{node.control_address, kIntroductionTimeout, {}, Stamped(swim_.Whole())});
}

// --- what it found out ---

std::string NodeCore::Impl::DescribeAccuser(NodeId by) const {
  if (by.IsZero()) return "others";
  if (by == options_.self.node_id) return "this daemon";
  return DescribeNode(by);
}

// A node whose record says something has replicas, or had them, and told of a change in them.
void NodeCore::Impl::FollowNews(NodeId node) {
  const swim::Member* member = swim_.Find(node);
  if (member == nullptr || member->record.empty()) return;
  membership_.Follow(now_, member->info, /*in_turn=*/hosted_.empty(), actions_);
}

void NodeCore::Impl::OnNotice(const swim::Notice& notice) {
  const NodeInfo& node = notice.node;
  const std::string name =
      absl::StrCat("node ", node.node_id.ToString(), " at ", node.control_address);
  switch (notice.kind) {
    case swim::NoticeKind::kJoined:
      membership_.Meet(now_, node);
      FollowNews(node.node_id);
      return Inform(absl::StrCat(name, " is in the mesh, of ", swim_.living(), " daemons now"));
    case swim::NoticeKind::kSuspected:
      return Inform(
          absl::StrCat(name, " is suspected: it did not answer ", DescribeAccuser(notice.by)));
    case swim::NoticeKind::kRefuted:
      return Inform(absl::StrCat(name, " lives: it has refuted the suspicion"));
    case swim::NoticeKind::kDied:
      Gone(node, absl::StrCat("is dead: it did not answer ", DescribeAccuser(notice.by),
                              ", and has not refuted that in time"));
      return DropLink(node);
    case swim::NoticeKind::kLeft:
      Gone(node, "has left the mesh");
      return membership_.MarkLeft(node.node_id, node.session, true);
    case swim::NoticeKind::kReturned:
      membership_.Meet(now_, node);
      membership_.MarkLeft(node.node_id, node.session, false);
      // Another process of it is believed once it speaks for itself: node_identity.cc.
      if (membership_.Find(node.node_id) != nullptr &&
          membership_.Find(node.node_id)->info.session == node.session) {
        Heard(node.node_id);
      }
      FollowNews(node.node_id);
      return Inform(absl::StrCat(name, " is back in the mesh"));
    case swim::NoticeKind::kChanged:
      membership_.Moves(now_, node);
      return FollowNews(node.node_id);
    case swim::NoticeKind::kDefended:
      return Warn(absl::StrCat("this daemon was held for dead or suspect by ",
                               DescribeAccuser(notice.by), "; it has told the mesh that it lives"));
    case swim::NoticeKind::kRestarted:  // believed once it speaks for itself: node_identity.cc
      return FollowNews(node.node_id);
    case swim::NoticeKind::kContested:  // likewise
    case swim::NoticeKind::kForgotten:  // node_forgetting.cc forgets by its own rules
      return;
  }
}

// Of an earlier process nothing is left to bury: its successor has spoken.
void NodeCore::Impl::Gone(const NodeInfo& node, const std::string& how) {
  const Peer* peer = membership_.Find(node.node_id);
  if (peer == nullptr || peer->info.session != node.session) return;
  Warn(absl::StrCat("node ", node.node_id.ToString(), " at ", peer->info.control_address, " ", how,
                    "; ", swim_.living(), " daemons are left"));
  membership_.ForgetPathLoss(node.node_id);
  membership_.MarkSilent(now_, node.node_id, how);
  membership_.Explain(node.node_id, how);
  SetHostGone(node.node_id, true);
}

// Where packets vanish, a link hangs for long after the node is back: it is made anew then.
void NodeCore::Impl::DropLink(const NodeInfo& dead) {
  const Peer* peer = membership_.Find(dead.node_id);
  if (peer == nullptr || peer->linked_session != dead.session) return;
  membership_.LinkCut(now_, dead.node_id);
  Emit(weightmesh::CutLink{dead.node_id});
}

void NodeCore::Impl::SetHostGone(NodeId node, bool gone) {
  for (auto& [name, run] : runs_) {
    for (const auto& [replica, member] : run->members()) {
      if (!run->started() || member.node != node || member.host_gone == gone) continue;
      if (gone) {
        run->heal_watch().Gone(member.number);
      } else if (TakesPart(member.info.state) && IsReachable(member)) {
        run->heal_watch().Returned(now_, member.number);
      }
    }
    run->SetHostGone(node, gone);
  }
}

}  // namespace weightmesh
