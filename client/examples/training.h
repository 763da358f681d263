// The training loops: one replica on the mesh, one replica alone, several with exact averaging of
// their gradients. TrainOnMesh is the one to read to learn how a trainer uses weightmesh.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>
#include <weightmesh/weightmesh.hpp>

#include "client/examples/dataset.h"

namespace letter {

// Where a replica stands after a round.
struct Progress {
  size_t round = 0;  // 1 … rounds
  double loss = 0;   // of this replica's batch
  double accuracy = 0;
  double learning_rate = 0;
};

struct TrainingOptions {
  size_t replica = 0;
  size_t replicas = 1;
  size_t rounds = 280;
  uint64_t seed = 1;  // of weights, shards and batches
  double peak_learning_rate = 4;
  std::chrono::milliseconds pace{0};   // least time of a round
  std::chrono::milliseconds stall{0};  // before each round, a random pause of up to this
  size_t report_every = 10;            // rounds from one Progress to the next

  std::function<void(const Progress&)> on_progress = [](const Progress&) {};
  std::function<void(const std::string&)> on_notice = [](const std::string&) {};  // for people
};

// How TrainOnMesh exchanges. run_id is required, the rest has defaults; replicas_min and
// replica_name are set by TrainOnMesh.
using MeshOptions = weightmesh::Options;

struct TrainingResult {
  double accuracy = 0;  // share of the score rows, of the final weights
  double final_loss = 0;
  std::vector<Progress> progress;
  double seconds = 0;  // of the rounds: without attaching and loading
  std::vector<float> weights;

  // On the mesh only:
  bool alone = false;  // the mesh was absent or lost: this replica went on by itself
  size_t rounds_published = 0;
  size_t rounds_mixed = 0;
  std::array<uint64_t, WEIGHTMESH_OUTCOME_COUNT> pulls = {};  // by weightmesh_outcome
  double wait_seconds = 0;
};

// Trains replica `options.replica` and shares its weights over the mesh, in `mesh.mode`. Waits for
// all `options.replicas`. Without a daemon, or when it dies, trains on alone and says so once
// through on_notice. Throws weightmesh::Error when the daemon refuses the run.
TrainingResult TrainOnMesh(const Split& split, const TrainingOptions& options, MeshOptions mesh);

// Trains replica `options.replica` on its own shard, without communication.
TrainingResult TrainAlone(const Split& split, const TrainingOptions& options);

// Trains all `options.replicas` in this process as all-reduce does: equal weights, each on its own
// shard, every step along the mean of their gradients. `options.replica` is ignored.
TrainingResult TrainAllReduce(const Split& split, const TrainingOptions& options);

}  // namespace letter
