// Final weights on disk, and the scores of models read from there. Raw fp32 in the machine's byte
// order, in the order of Mlp::parameters().
#pragma once

#include <span>
#include <string>
#include <vector>

#include "client/examples/dataset.h"

namespace letter {

// Both throw std::runtime_error naming the file and the cure.
void WriteWeights(const std::string& path, std::span<const float> weights);
std::vector<float> ReadWeights(const std::string& path);

// Accuracies on `score`.
struct Evaluation {
  std::vector<double> models;  // of each
  double mean_model = 0;       // of the one model whose weights are the mean of all
};

// REQUIRES: at least one model; each has the weights of MakeModel.
Evaluation Evaluate(const std::vector<std::vector<float>>& models, const Rows& score);

}  // namespace letter
