// Probes: direct, by way of others, and for others.
#include <algorithm>

#include "daemon/core/swim.h"

namespace weightmesh::swim {

void Swim::ProbeTick(absl::Time now, SwimActions* actions) {
  if (has_left()) return;
  std::vector<ProbeId> overdue;
  for (const auto& [id, probe] : probes_) {
    if (probe.deadline <= now) overdue.push_back(id);
  }
  for (ProbeId id : overdue) Fail(now, id, actions);

  if (now < next_probe_ || order_.size() == 0) return;
  next_probe_ = now + ScaledByHealth(options_.probe_interval, health_.score());
  StartProbe(now, *Find(order_.Next()), actions);
}

void Swim::StartProbe(absl::Time now, const Member& member, SwimActions* actions) {
  const NodeId node = member.info.node_id;
  if (probes_.size() >= kOpenProbesMax || probe_of_.contains(node)) return;
  const ProbeId id{++last_probe_};
  OpenProbe probe;
  probe.node = node;
  probe.deadline = now + ScaledByHealth(options_.probe_interval, health_.score());
  probes_.emplace(id, probe);
  probe_of_.emplace(node, id);
  actions->push_back(Probe{id, node, member.info.control_address,
                           ScaledByHealth(options_.probe_timeout, health_.score()),
                           MakeMessage(node, 0)});
}

void Swim::ProbeAnswered(absl::Time now, ProbeId id, const Message& answer, SwimActions* actions) {
  Observe(now);
  TakeInAnswer(now, answer, actions);
  EndRelay(id, answer.from.node_id, actions);
  const auto found = probes_.find(id);
  if (found != probes_.end()) {
    // Where the node was, another one may answer.
    if (found->second.node == answer.from.node_id) {
      Succeed(id);
    } else {
      AskOthers(now, id, &found->second, actions);
    }
  }
  Schedule(now);
}

void Swim::ProbeFailed(absl::Time now, ProbeId id, SwimActions* actions) {
  Observe(now);
  EndRelay(id, NodeId{}, actions);
  const auto found = probes_.find(id);
  if (found != probes_.end()) AskOthers(now, id, &found->second, actions);
  Schedule(now);
}

void Swim::EndRelay(ProbeId id, NodeId answered_by, SwimActions* actions) {
  const auto found = relays_.find(id);
  if (found == relays_.end()) return;
  const Relay relay = found->second;
  relays_.erase(found);
  actions->push_back(AnswerIndirectProbe{relay.call, answered_by == relay.target, Header()});
}

void Swim::AskOthers(absl::Time now, ProbeId id, OpenProbe* probe, SwimActions* actions) {
  if (!probe->direct) return;
  probe->direct = false;
  const Member* target = Find(probe->node);
  if (probe->excused || target == nullptr || probe->deadline <= now) return Fail(now, id, actions);
  const auto can_help = [&](NodeId node) {
    return node != probe->node && Find(node)->state == MemberState::kAlive;
  };
  const std::vector<NodeId> helpers = order_.Sample(options_.indirect_probes, can_help);
  if (helpers.empty()) return Fail(now, id, actions);
  probe->pending = probe->silent = static_cast<uint32_t>(helpers.size());
  for (NodeId helper : helpers) {
    actions->push_back(IndirectProbe{id, helper, Find(helper)->info.control_address, target->info,
                                     probe->deadline - now, MakeMessage(helper, 0)});
  }
}

void Swim::IndirectProbeAsked(absl::Time now, CallId call, const NodeInfo& target,
                              absl::Duration timeout, const Message& request,
                              SwimActions* actions) {
  Observe(now);
  TakeIn(now, request, actions);
  const Member* member = Find(target.node_id);
  // Only nodes that are known here are called: nobody is to be made to call strangers.
  if (member == nullptr || target.node_id == self_ || relays_.size() >= kRelaysMax) {
    const bool ack = target.node_id == self_;
    actions->push_back(AnswerIndirectProbe{
        call, ack, MakeMessage(request.from.node_id, request.from.session, &request)});
    return Schedule(now);
  }
  const ProbeId id{++last_probe_};
  relays_.emplace(id, Relay{call, target.node_id});
  const absl::Duration timeout_max = options_.health_max * options_.probe_interval;
  actions->push_back(Probe{id, target.node_id, member->info.control_address,
                           RelayTimeout(std::clamp(timeout, absl::ZeroDuration(), timeout_max)),
                           MakeMessage(target.node_id, 0)});
  Schedule(now);
}

void Swim::IndirectProbeAnswered(absl::Time now, ProbeId id, bool ack, const Message& answer,
                                 SwimActions* actions) {
  Observe(now);
  TakeInAnswer(now, answer, actions);
  const auto found = probes_.find(id);
  if (found != probes_.end() && found->second.pending > 0) {
    --found->second.pending;
    --found->second.silent;
    if (ack) {
      Succeed(id);
    } else if (found->second.pending == 0) {
      Fail(now, id, actions);
    }
  }
  Schedule(now);
}

void Swim::IndirectProbeFailed(absl::Time now, ProbeId id, SwimActions* actions) {
  Observe(now);
  const auto found = probes_.find(id);
  if (found != probes_.end() && found->second.pending > 0 && --found->second.pending == 0) {
    Fail(now, id, actions);
  }
  Schedule(now);
}

void Swim::Succeed(ProbeId id) {
  const auto found = probes_.find(id);
  health_.ProbeAnswered();
  probe_of_.erase(found->second.node);
  probes_.erase(found);
}

void Swim::Fail(absl::Time now, ProbeId id, SwimActions* actions) {
  const auto found = probes_.find(id);
  const OpenProbe probe = found->second;
  probe_of_.erase(probe.node);
  probes_.erase(found);
  if (probe.excused) return;
  health_.ProbeFailed(probe.silent);
  Member* member = table_.Find(probe.node);
  if (member == nullptr || !member->MayLive()) return;
  if (!Accuse(now, member, {self_}, actions)) return;
  table_.Changed(member);
  queue_.Push(probe.node);
}

}  // namespace weightmesh::swim
