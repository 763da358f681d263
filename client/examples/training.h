// The training loops: one replica on the mesh, one replica alone, several with exact averaging of
// their gradients. TrainOnMesh is the one to read to learn how a trainer uses weightmesh.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
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
struct MeshOptions : weightmesh::Options {
  bool join = false;  // a run that has started, instead of waiting for all replicas and founding it
  // In overlap and async, too, the run's rounds are this replica's: one that was held up passes
  // over those that it missed and ends with the others. Otherwise it counts its own, to the last.
  bool keep_up = false;
  // Set: after the last round all exchange without training until the consensus distance is at most
  // this, so that the weights of any replica are the model.
  std::optional<double> consensus;
};

struct TrainingResult {
  double accuracy = 0;  // share of the score rows, of the final weights
  double final_loss = 0;
  std::vector<Progress> progress;
  size_t rounds = 0;   // of the run when it ended: all, unless its daemon was drained
  double seconds = 0;  // of the rounds: without attaching and loading
  std::vector<float> weights;

  // On the mesh only:
  size_t first_round = 1;  // that this replica took part in: more than 1 where it joined later
  size_t rejoins = 0;      // times that its daemon had died, was back, and the run was joined again
  size_t rounds_alone = 0;          // that it trained by itself
  bool alone = false;               // at the end: the mesh was absent, or lost and not back
  bool drained = false;             // its daemon was emptied: this is how far it came
  weightmesh::Agreement agreement;  // where MeshOptions::consensus asked for one
  size_t rounds_published = 0;
  size_t rounds_mixed = 0;
  std::array<uint64_t, WEIGHTMESH_OUTCOME_COUNT> pulls = {};  // by weightmesh_outcome
  double wait_seconds = 0;
};

// Trains replica `options.replica` and shares its weights over the mesh, in `mesh.mode`. Waits for
// all `options.replicas`, or joins them: then training goes on from the run's round, with its
// learning rate, to the same last round. Without a daemon, or when it dies, trains on alone and
// says so through on_notice, until the daemon is back. Throws weightmesh::Error when the daemon
// refuses the run, or there is none to join.
TrainingResult TrainOnMesh(const Split& split, const TrainingOptions& options, MeshOptions mesh);

// Trains replica `options.replica` on its own shard, without communication.
TrainingResult TrainAlone(const Split& split, const TrainingOptions& options);

// Trains all `options.replicas` in this process as all-reduce does: equal weights, each on its own
// shard, every step along the mean of their gradients. `options.replica` is ignored.
TrainingResult TrainAllReduce(const Split& split, const TrainingOptions& options);

}  // namespace letter
