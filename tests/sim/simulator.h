// Simulator: a whole mesh in virtual time: daemons, trainers and the two planes between them, one
// thread. The core that runs here is the one of production. The checks of tests/sim/check that hold
// at any time always watch; the planes themselves see to it that memory is not misused.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "tests/sim/check/limits.h"
#include "tests/sim/check/pulls.h"
#include "tests/sim/check/slots.h"
#include "tests/sim/check/waits.h"
#include "tests/sim/control_plane.h"
#include "tests/sim/data_plane.h"
#include "tests/sim/node.h"
#include "tests/sim/trainer.h"
#include "tests/sim/world.h"

namespace weightmesh::sim {

class Simulator {
 public:
  // All nodes are down, all trainers of `options` are there and not attached: trainer k lives on
  // node k / replicas_per_node, is named "replica k" and belongs to the run "run".
  explicit Simulator(SimOptions options);

  // All nodes come up, in waves where the options say so; each trainer attaches at a random time
  // within attach_spread.
  void StartAll();
  // The two halves of it.
  void StartNodes();
  void AttachAll();
  // A trainer on `node` beyond those of the options; not attached. `change` may edit what it asks
  // for. Its mixes are in the ledger where `ledger_row` says.
  SimTrainer& AddTrainer(uint32_t node, uint32_t ledger_row,
                         const std::function<void(TrainerOptions*)>& change);

  // `observer` is told of all from now on, and must outlive the simulator.
  void Watch(Observer* observer) { world_->observers.push_back(observer); }

  // From now on frames and calls are lost with these chances.
  void Lose(double frames, double calls);
  void Inject(const SimFaults& faults);
  // Calls take up to `jitter` longer, and overtake each other; some requests come twice.
  void Disorder(absl::Duration jitter, double duplicate);
  // Nothing passes between nodes of which `apart` holds, either way: data links hang, as a cable
  // that was pulled makes them. Null: all passes again.
  void Part(const std::function<bool(uint32_t, uint32_t)>& apart);
  // The steps of the trainer with that row in the ledger take `factor` times as long.
  void Slow(uint32_t ledger_row, double factor);

  // Time goes on by `time`, until `done` (true), or until the end of `limit` (false).
  void RunFor(absl::Duration time);
  bool RunUntil(const std::function<bool()>& done, absl::Duration limit);
  // Until every trainer that was started is done and its arena is freed; false after `limit`.
  bool RunToEnd(absl::Duration limit = absl::Minutes(10));

  SimNode& node(uint32_t index) { return *nodes_[index]; }
  SimTrainer& trainer(uint32_t index) { return *trainers_[index]; }
  uint32_t nodes() const { return static_cast<uint32_t>(nodes_.size()); }
  uint32_t trainers() const { return static_cast<uint32_t>(trainers_.size()); }
  const SimOptions& options() const { return world_->options; }
  const Ledger& ledger() const { return world_->ledger; }
  Ledger& ledger() { return world_->ledger; }
  ControlPlane& control() { return *control_; }
  DataPlane& data() { return *data_; }
  absl::Duration elapsed() const { return world_->queue.now() - absl::UnixEpoch(); }
  uint64_t tasks_run() const { return world_->queue.tasks_run(); }
  // Steps of all cores so far, and the seconds that they took since TimeCore.
  uint64_t core_steps() const { return world_->core_steps; }
  double core_seconds() const { return std::chrono::duration<double>(world_->core_time).count(); }
  void TimeCore() { world_->times_core = true; }

  // What a trainer's core counted. REQUIRES: its node is up and still knows the run.
  ReplicaStatistics StatisticsOf(uint32_t trainer) const;
  // By live node: digest of the view of the run, 0 where it has not started or is unknown.
  std::vector<uint64_t> ViewDigests(absl::string_view run_id) const;
  // Empty when nothing was violated, nobody waits for too long, every pull of a trainer that is
  // done has exactly one outcome, the one that the trainer saw, and no transfer is open when all
  // are done; otherwise what is wrong, with the seed.
  std::string Audit() const;

 private:
  static bool IsOver(const SimTrainer& trainer);
  TrainerOptions DefaultTrainer(uint32_t index) const;

  std::unique_ptr<World> world_;
  LeasedSlots leased_slots_;
  PullsEndOnce pulls_end_once_;
  Limits limits_;
  Waits waits_;
  std::unique_ptr<DataPlane> data_;
  std::unique_ptr<ControlPlane> control_;
  std::vector<std::unique_ptr<SimNode>> nodes_;
  std::vector<std::unique_ptr<SimTrainer>> trainers_;
};

}  // namespace weightmesh::sim
