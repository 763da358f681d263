// ControlPlane: the unary calls between daemons; exactly one answer for each action.
#pragma once

#include <cstdint>
#include <functional>
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
  void Connect(uint32_t node, const struct Connect& action);

  // While `blocked(a, b)` is true nothing passes from a to b.
  void Block(std::function<bool(uint32_t, uint32_t)> blocked) { blocked_ = std::move(blocked); }

 private:
  // One call: `serve` runs at the callee and gives the event that answers the caller.
  struct Call {
    uint32_t caller = 0;
    std::optional<uint32_t> callee;  // nothing: no such address
    absl::Duration timeout;
    std::function<Event()> serve;
    std::function<Event(std::string)> fail;
  };
  void Start(Call call);
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
};

}  // namespace weightmesh::sim
