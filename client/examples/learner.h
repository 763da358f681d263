// A learner: one replica's model, optimizer and shard of the data. It knows nothing of other
// replicas; training.h has the loops that join learners.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "client/examples/dataset.h"
#include "client/examples/lars.h"
#include "client/examples/mlp.h"

namespace letter {

inline constexpr size_t kGlobalBatch = 2048;
inline constexpr double kLabelSmoothing = 0.1;

// The model that is trained; all replicas of a seed start with equal weights.
Mlp MakeModel(uint64_t seed);

class Learner {
 public:
  // The learner of replica `replica` of `replicas`: its batches are kGlobalBatch / replicas rows of
  // its own shard of `train`, which must outlive it. REQUIRES: replica < replicas <= kGlobalBatch.
  Learner(const Rows* train, size_t replica, size_t replicas, uint64_t seed);

  // Passes over the batches of `rounds` rounds that this learner was not there for.
  void SkipBatches(size_t rounds);

  // Draws the next batch, sets gradient(), returns the batch's loss.
  double ComputeGradient();

  // One optimizer step along gradient().
  void Step(double learning_rate);

  Mlp& model() { return model_; }
  std::span<float> gradient() { return gradient_; }

 private:
  size_t batch_size_;
  BatchSampler sampler_;
  Mlp model_;
  Lars optimizer_;
  Rows batch_;
  std::vector<float> gradient_;
};

}  // namespace letter
