// ControlPlane: the unary calls between daemons; exactly one answer for each action.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "daemon/core/actions.h"
#include "daemon/core/events.h"
#include "tests/sim/world.h"

namespace weightmesh::sim {

class DataPlane;

class ControlPlane {
 public:
  // Both must outlive the plane.
  ControlPlane(World* world, DataPlane* data) : world_(world), data_(data) {}

  void Sync(uint32_t node, const struct Sync& action);
  void Probe(uint32_t node, const struct Probe& action);
  void Gossip(uint32_t node, const struct Gossip& action);
  void IndirectProbe(uint32_t node, const swim::IndirectProbe& action);
  // What a node answers to calls that it was fed.
  void Answer(const AnswerGossip& action) { End(action.call, action.answer, false); }
  void Answer(const swim::AnswerIndirectProbe& action) {
    End(action.call, action.message, action.ack);
  }
  void Connect(uint32_t node, const struct Connect& action);

  // While `blocked(a, b)` is true nothing passes from a to b.
  void Block(std::function<bool(uint32_t, uint32_t)> blocked) { blocked_ = std::move(blocked); }

 private:
  // Sends the event that answers a call back to its caller.
  using Reply = std::function<void(Event)>;
  // One call: `serve` runs at the callee, which replies at once or later.
  struct Call {
    uint32_t caller = 0;
    std::optional<uint32_t> callee;  // nothing: no such address
    absl::Duration timeout;
    std::function<void(Reply)> serve;
    std::function<Event(std::string)> fail;
  };
  void Start(Call call);
  void End(swim::CallId call, const absl::StatusOr<swim::Message>& answer, bool ack);
  absl::Duration Delay() {
    return world_->Draw(world_->options.control_delay, world_->options.control_jitter);
  }
  bool Passes(uint32_t from, uint32_t to) {
    return !world_->Chance(world_->options.control_loss) && !(blocked_ && blocked_(from, to));
  }
  static std::optional<uint32_t> IndexOf(const World& world, const std::string& address);

  World* const world_;
  DataPlane* const data_;
  std::function<bool(uint32_t, uint32_t)> blocked_;
  // Calls of the failure detector that its callees have not answered yet.
  std::map<swim::CallId, std::function<void(const absl::StatusOr<swim::Message>&, bool ack)>> fed_;
  uint64_t last_call_ = 0;
};

}  // namespace weightmesh::sim
