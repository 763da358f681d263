// One replica's model, optimizer and shard.
#include "client/examples/learner.h"

namespace letter {
namespace {

std::vector<size_t> LayerEnds(const Mlp& model) {
  std::vector<size_t> ends;
  for (const Layer& layer : model.layers()) ends.push_back(layer.end);
  return ends;
}

}  // namespace

Mlp MakeModel(uint64_t seed) { return Mlp({kFeatures, 128, 64, 64, kClasses}, seed); }

Learner::Learner(const Rows* train, size_t replica, size_t replicas, uint64_t seed)
    : batch_size_(kGlobalBatch / replicas),
      sampler_(train, ShardRows(train->size(), replica, replicas, seed),
               SeededGenerator(seed, "batches", replica)),
      model_(MakeModel(seed)),
      optimizer_(LarsOptions{}, LayerEnds(model_)),
      gradient_(model_.parameters().size()) {}

void Learner::SkipBatches(size_t rounds) { sampler_.Skip(rounds * batch_size_); }

double Learner::ComputeGradient() {
  sampler_.Next(batch_size_, &batch_);
  return model_.Gradient(batch_, kLabelSmoothing, gradient_);
}

void Learner::Step(double learning_rate) {
  optimizer_.Step(model_.parameters(), gradient_, learning_rate);
}

}  // namespace letter
