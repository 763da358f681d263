// Calls with delay, loss and dead nodes.
#include "tests/sim/control_plane.h"

#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "tests/sim/data_plane.h"
#include "tests/sim/node.h"

namespace weightmesh::sim {

// Nobody answers at an address that a node has had before.
std::optional<uint32_t> ControlPlane::IndexOf(const World& world, const std::string& address) {
  uint32_t index = 0;
  const absl::string_view name = absl::string_view(address).substr(0, address.find(':'));
  const bool known = absl::SimpleAtoi(absl::StripPrefix(name, "node"), &index) &&
                     index < world.nodes.size() && world.nodes[index]->address() == address;
  if (!known) return std::nullopt;
  return index;
}

// What a call holds, its messages above all, goes when it has ended and nobody will serve it any
// more, not when its time is up: thousands of nodes have many calls within a timeout.
void ControlPlane::Start(Call new_call) {
  struct Open : Call {
    bool ended = false;
    int unserved = 0;
  };
  const auto call = std::make_shared<Open>(Open{std::move(new_call)});
  const auto let_go = [call] {
    if (!call->ended || call->unserved > 0) return;
    call->serve = nullptr;
    call->fail = nullptr;
  };
  SimNode* const caller = world_->nodes[call->caller];
  const auto end = [call, caller, let_go](const Event& event) {
    call->ended = true;
    caller->Step(event);
    let_go();
  };
  const auto fail = [call, end](const char* reason) {
    if (!call->ended) end(call->fail(reason));
  };
  caller->process().PostToSelf(call->timeout, [fail] { fail("deadline exceeded"); });
  if (!call->callee.has_value()) return;
  SimNode* const callee = world_->nodes[*call->callee];
  if (!Passes(call->caller, *call->callee)) return;
  if (!callee->process().is_up()) {
    caller->process().PostToSelf(Delay(), [fail] { fail("connection refused"); });
    return;
  }
  const auto reply = [this, call, end, caller,
                      life = caller->process().generation()](Event answer) {
    if (caller->process().generation() != life) return;  // its connection is closed
    if (!Passes(*call->callee, call->caller)) return;
    caller->process().PostToSelf(Delay(), [call, end, answer = std::move(answer)] {
      if (!call->ended) end(answer);
    });
  };
  call->unserved = world_->Chance(world_->options.control_duplicate) ? 2 : 1;
  for (int copy = 0, copies = call->unserved; copy < copies; ++copy) {
    callee->process().PostToSelf(Delay(), [call, reply, let_go] {
      call->serve(reply);
      --call->unserved;
      let_go();
    });
  }
}

void ControlPlane::Sync(uint32_t node, const struct Sync& action) {
  const auto callee = IndexOf(*world_, action.address);
  const auto message = std::make_shared<const SyncMessage>(world_->nodes[node]->core().MakeSync());
  Call call{node, callee, action.timeout, nullptr, nullptr};
  call.serve = [this, callee, message, address = action.address](const Reply& reply) {
    SimNode* const peer = world_->nodes[*callee];
    peer->Step(SyncReceived{*message});
    if (absl::Status known = peer->core().CheckCaller(message->self); !known.ok()) {
      return reply(SyncRefused{address, std::string(known.message())});
    }
    reply(SyncAnswered{address, peer->core().MakeSync(message.get())});
  };
  call.fail = [address = action.address](std::string reason) -> Event {
    return SyncFailed{address, std::move(reason)};
  };
  Start(std::move(call));
}

void ControlPlane::Probe(uint32_t node, const struct Probe& action) {
  const auto callee = IndexOf(*world_, action.address);
  Call call{node, callee, action.timeout, nullptr, nullptr};
  call.serve = [this, callee, id = action.node](const Reply& reply) {
    const NodeInfo& self = world_->nodes[*callee]->core().self();
    if (self.node_id != id) return reply(ProbeFailed{id, "another daemon answers at its address"});
    reply(ProbeAnswered{self.node_id, self.session});
  };
  call.fail = [id = action.node](std::string reason) -> Event {
    return ProbeFailed{id, std::move(reason)};
  };
  Start(std::move(call));
}

void ControlPlane::Gossip(uint32_t node, const struct Gossip& action) {
  const auto callee = IndexOf(*world_, action.address);
  Call call{node, callee, action.timeout, nullptr, nullptr};
  call.serve = [this, callee, action](const Reply& reply) {
    const swim::CallId id{++last_call_};
    fed_[id] = [action, reply](const absl::StatusOr<swim::Message>& answer, bool) {
      if (answer.ok()) return reply(GossipAnswered{action.address, action.probe, *answer});
      reply(GossipFailed{action.address, action.probe, std::string(answer.status().message()),
                         absl::IsAlreadyExists(answer.status())});
    };
    world_->nodes[*callee]->Step(GossipReceived{id, action.message});
  };
  call.fail = [action](std::string reason) -> Event {
    return GossipFailed{action.address, action.probe, std::move(reason)};
  };
  Start(std::move(call));
}

void ControlPlane::IndirectProbe(uint32_t node, const swim::IndirectProbe& action) {
  const auto callee = IndexOf(*world_, action.via_address);
  Call call{node, callee, action.timeout, nullptr, nullptr};
  call.serve = [this, callee, action](const Reply& reply) {
    const swim::CallId id{++last_call_};
    fed_[id] = [probe = action.id, reply](const absl::StatusOr<swim::Message>& answer, bool ack) {
      if (!answer.ok()) return reply(IndirectProbeFailed{probe});
      reply(IndirectProbeAnswered{probe, ack, *answer});
    };
    world_->nodes[*callee]->Step(
        IndirectProbeReceived{id, action.target, action.timeout, action.message});
  };
  call.fail = [probe = action.id](const std::string&) -> Event {
    return IndirectProbeFailed{probe};
  };
  Start(std::move(call));
}

void ControlPlane::End(swim::CallId call, const absl::StatusOr<swim::Message>& answer, bool ack) {
  if (const auto fed = fed_.extract(call)) fed.mapped()(answer, ack);
}

void ControlPlane::Connect(uint32_t node, const struct Connect& action) {
  const auto callee = IndexOf(*world_, action.address);
  Call call{node, callee, action.timeout, nullptr, nullptr};
  call.serve = [this, node, callee,
                life = world_->nodes[node]->process().generation()](const Reply& reply) {
    const NodeInfo& self = world_->nodes[*callee]->core().self();
    SimProcess& caller = world_->nodes[node]->process();
    if (caller.is_up() && caller.generation() == life) data_->Link(node, *callee);
    reply(LinkReady{self.node_id, self.session});
  };
  call.fail = [id = action.node](std::string reason) -> Event {
    return LinkFailed{id, std::move(reason)};
  };
  Start(std::move(call));
}

}  // namespace weightmesh::sim
