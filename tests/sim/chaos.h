// Chaos: options and a sequence of faults that are drawn from one seed, and the healing afterwards.
#pragma once

#include <cstdint>
#include <set>
#include <utility>

#include "daemon/core/hash.h"
#include "tests/sim/simulator.h"

namespace weightmesh::sim {

class Chaos {
 public:
  // Of a mesh of 2 to 8 nodes with up to 3 replicas each, whose trainers go on until they are told
  // to finish.
  static SimOptions DrawOptions(uint64_t seed);

  // `simulator` must outlive this; made from DrawOptions(seed), or what is like it.
  Chaos(uint64_t seed, Simulator* simulator);

  // All starts, and is disturbed for some time in any way. Two replicas at least survive. False:
  // the run did not start.
  bool Run();
  // No faults from now on; what was killed stays dead, but its daemon is there again.
  void Heal();
  // The trainers that live take one more step and leave. False: some did not within a while.
  bool Finish();

  uint32_t live() const;  // trainers

 private:
  void Disturb();
  void KillNode();
  void KillTrainer();
  void StopOrResume();
  void Partition();
  void Fault();
  uint32_t OneOf(uint32_t count) { return static_cast<uint32_t>(rng_.Below(count)); }
  SimTrainer& AnyTrainer() { return simulator_->trainer(OneOf(simulator_->trainers())); }

  Simulator* const simulator_;
  CounterRng rng_;
  std::set<std::pair<uint32_t, uint32_t>> blocked_;  // ordered pairs of nodes
};

}  // namespace weightmesh::sim
