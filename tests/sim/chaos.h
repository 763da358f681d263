// Chaos: options and a sequence of faults that are drawn from one seed, and the healing afterwards.
// What can go wrong is in disturbances.cc, what meshes there are in chaos_options.cc.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "daemon/core/hash.h"
#include "tests/sim/simulator.h"

namespace weightmesh::sim {

class Chaos {
 public:
  // Of a mesh of 2 to 8 nodes, now and then of up to 40, with up to 3 replicas each, whose trainers
  // go on until they are told to finish.
  static SimOptions DrawOptions(uint64_t seed);

  // `simulator` must outlive this; made from DrawOptions(seed), or what is like it.
  Chaos(uint64_t seed, Simulator* simulator);

  // All starts, and is disturbed for some time in any way. Two replicas at least take part all the
  // time. False: the run did not start.
  bool Run();
  // No faults from now on; trainers that have ended stay so, but every daemon is there again.
  void Heal();
  // One after the other, under each name whose trainer has ended another one joins. REQUIRES:
  // healed. False: some could not within a while.
  bool ReturnAll();
  // The trainers that live take one more step and leave. False: some did not within a while.
  bool Finish();

  // Rows in the ledger of the trainers that take part.
  std::vector<uint32_t> live() const;
  // What went wrong, for people.
  const std::string& history() const { return history_; }

 private:
  // Swarm testing (Groce et al., ISSTA 2012): each seed leaves out some kinds altogether, so that
  // the others come in mixtures that they would hardly come in otherwise.
  struct Kind {
    const char* name;
    void (Chaos::*disturb)();
  };
  static const std::vector<Kind>& Kinds();

  // disturbances.cc
  void Disturb();
  void KillNode();
  void KillTrainer();
  void StopOrResume();
  void Pause();
  void Block();
  void Split();
  void Fault();
  void Disorder();
  void Slow();
  void JumpClock();
  void Join();
  void Leave();
  void Drain();
  void WaveOfJoins();
  void WaveOfDrains();

  // Whether the trainer will take part for as long as nothing happens to it.
  bool IsStaying(const SimTrainer& trainer) const;
  // Trainers that stay, on other nodes than `but` if it is not null.
  uint32_t Staying(const SimNode* but) const;
  bool IsNameFree(const SimTrainer& trainer) const;
  // A trainer on `node` joins the run under the name of `former`, or under a new one where it is
  // null.
  SimTrainer& JoinAt(uint32_t node, const SimTrainer* former);
  void DrainNode(SimNode& node, bool ends);
  uint32_t OneOf(uint32_t count) { return static_cast<uint32_t>(rng_.Below(count)); }
  bool Coin() { return rng_.Below(2) == 0; }
  SimNode& AnyNode() { return simulator_->node(OneOf(simulator_->nodes())); }
  SimTrainer& AnyTrainer() { return simulator_->trainer(OneOf(simulator_->trainers())); }

  Simulator* const simulator_;
  CounterRng rng_;
  std::vector<Kind> kinds_;                          // that this seed has
  std::set<std::pair<uint32_t, uint32_t>> blocked_;  // ordered pairs of nodes
  std::set<uint32_t> draining_;                      // nodes
  uint32_t rows_used_;                               // of the ledger
  std::string history_;
};

}  // namespace weightmesh::sim
