// World: what all parts of one simulation share.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "daemon/core/hash.h"
#include "daemon/core/ids.h"
#include "tests/sim/event_queue.h"
#include "tests/sim/ledger.h"
#include "tests/sim/observer.h"
#include "tests/sim/options.h"

namespace weightmesh::sim {

class SimNode;

struct World {
  World(SimOptions sim_options, uint32_t trainers)
      : options(std::move(sim_options)),
        ledger(trainers, options.segments),
        rng(Hash64({options.seed, 1})) {}

  SimOptions options;  // the faults may change on the way
  EventQueue queue;
  Ledger ledger;
  CounterRng rng;  // of the network
  std::vector<Observer*> observers;
  // Of all nodes, for benchmarks: how many steps, and how long they took if `times_core`.
  uint64_t core_steps = 0;
  bool times_core = false;
  std::chrono::steady_clock::duration core_time{};
  std::vector<SimNode*> nodes;
  std::map<ReplicaId, uint32_t> rows;  // the ledger's row of a replica's trainer

  uint32_t TrainerOf(ReplicaId replica) const { return rows.at(replica); }

  // At least `least`, and up to `jitter` more.
  absl::Duration Draw(absl::Duration least, absl::Duration jitter) {
    return least + jitter * rng.Unit();
  }
  // Whether the fault hits the next operation of its kind; `count` counts those.
  bool Hits(const Fault& fault, uint64_t* count) {
    return ++*count == fault.nth || Chance(fault.rate);
  }
  bool Chance(double probability) { return probability > 0 && rng.Unit() < probability; }

  static NodeId NodeIdOf(uint32_t index) { return NodeId{Mix64(index + 1), index + 1}; }
  static uint32_t IndexOf(NodeId node) { return static_cast<uint32_t>(node.low - 1); }
  static std::string AddressOf(uint32_t index) { return absl::StrCat("node", index, ":7070"); }
};

}  // namespace weightmesh::sim
