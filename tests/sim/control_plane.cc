// Calls with delay, loss and dead nodes.
#include "tests/sim/control_plane.h"

#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "tests/sim/data_plane.h"
#include "tests/sim/node.h"

namespace weightmesh::sim {

std::optional<uint32_t> ControlPlane::IndexOf(const World& world, const std::string& address) {
  uint32_t index = 0;
  const absl::string_view digits = absl::StripSuffix(absl::StripPrefix(address, "node"), ":7070");
  if (!absl::SimpleAtoi(digits, &index) || index >= world.nodes.size()) return std::nullopt;
  return index;
}

void ControlPlane::Start(Call new_call) {
  const auto call = std::make_shared<const Call>(std::move(new_call));
  const auto ended = std::make_shared<bool>(false);
  SimNode* const caller = world_->nodes[call->caller];
  const auto fail = [call, ended, caller](const std::string& reason) {
    if (*ended) return;
    *ended = true;
    caller->Step(call->fail(reason));
  };
  caller->process().PostToSelf(call->timeout, [fail] { fail("deadline exceeded"); });
  if (!call->callee.has_value()) return;
  SimNode* const callee = world_->nodes[*call->callee];
  if (!Passes(call->caller, *call->callee)) return;
  if (!callee->process().is_up()) {
    caller->process().PostToSelf(Delay(), [fail] { fail("connection refused"); });
    return;
  }
  callee->process().PostToSelf(Delay(), [this, call, ended, caller] {
    Event answer = call->serve();
    if (!Passes(*call->callee, call->caller)) return;
    caller->process().PostToSelf(Delay(), [ended, caller, answer = std::move(answer)] {
      if (*ended) return;
      *ended = true;
      caller->Step(answer);
    });
  });
}

void ControlPlane::Sync(uint32_t node, const struct Sync& action) {
  const auto callee = IndexOf(*world_, action.address);
  const auto message = std::make_shared<const SyncMessage>(world_->nodes[node]->core().MakeSync());
  Call call{node, callee, action.timeout, nullptr, nullptr};
  call.serve = [this, callee, message, address = action.address]() -> Event {
    SimNode* const peer = world_->nodes[*callee];
    peer->Step(SyncReceived{*message});
    if (absl::Status known = peer->core().CheckCaller(message->self); !known.ok()) {
      return SyncRefused{address, std::string(known.message())};
    }
    return SyncAnswered{address, peer->core().MakeSync()};
  };
  call.fail = [address = action.address](std::string reason) -> Event {
    return SyncFailed{address, std::move(reason)};
  };
  Start(std::move(call));
}

void ControlPlane::Probe(uint32_t node, const struct Probe& action) {
  const auto callee = IndexOf(*world_, action.address);
  Call call{node, callee, action.timeout, nullptr, nullptr};
  call.serve = [this, callee]() -> Event {
    const NodeInfo& self = world_->nodes[*callee]->core().self();
    return ProbeAnswered{self.node_id, self.session};
  };
  call.fail = [id = action.node](std::string reason) -> Event {
    return ProbeFailed{id, std::move(reason)};
  };
  Start(std::move(call));
}

void ControlPlane::Connect(uint32_t node, const struct Connect& action) {
  const auto callee = IndexOf(*world_, action.address);
  Call call{node, callee, action.timeout, nullptr, nullptr};
  call.serve = [this, node, callee, life = world_->nodes[node]->process().generation()]() -> Event {
    const NodeInfo& self = world_->nodes[*callee]->core().self();
    SimProcess& caller = world_->nodes[node]->process();
    if (caller.is_up() && caller.generation() == life) data_->Link(node, *callee);
    return LinkReady{self.node_id, self.session};
  };
  call.fail = [id = action.node](std::string reason) -> Event {
    return LinkFailed{id, std::move(reason)};
  };
  Start(std::move(call));
}

}  // namespace weightmesh::sim
