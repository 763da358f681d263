// Weights on disk and their scores.
#include "client/examples/weights_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>

#include "client/examples/learner.h"

namespace letter {
namespace {

std::runtime_error FileError(const std::string& what, const std::string& path) {
  return std::runtime_error("cannot " + what + " weights file '" + path +
                            "': " + std::strerror(errno));
}

double Score(const std::vector<float>& weights, const Rows& score, Mlp* model) {
  std::copy(weights.begin(), weights.end(), model->parameters().begin());
  return model->Accuracy(score);
}

}  // namespace

void WriteWeights(const std::string& path, std::span<const float> weights) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(weights.data()),
             static_cast<std::streamsize>(weights.size_bytes()));
  file.close();
  if (!file) throw FileError("write", path);
}

std::vector<float> ReadWeights(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) throw FileError("open", path);
  const auto bytes = static_cast<size_t>(file.tellg());
  std::vector<float> weights(MakeModel(0).parameters().size());
  const size_t expected = weights.size() * sizeof(float);
  if (bytes != expected) {
    throw std::runtime_error("weights file '" + path + "' has " + std::to_string(bytes) +
                             " bytes instead of " + std::to_string(expected) +
                             "; give a file that letter_trainer --weights wrote");
  }
  file.seekg(0);
  file.read(reinterpret_cast<char*>(weights.data()), static_cast<std::streamsize>(expected));
  if (!file) throw FileError("read", path);
  return weights;
}

Evaluation Evaluate(const std::vector<std::vector<float>>& models, const Rows& score) {
  Evaluation evaluation;
  Mlp model = MakeModel(0);
  std::vector<double> sum(model.parameters().size(), 0.0);
  for (const std::vector<float>& weights : models) {
    evaluation.models.push_back(Score(weights, score, &model));
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += weights[i];
  }
  std::vector<float> mean(sum.size());
  for (size_t i = 0; i < sum.size(); ++i) {
    mean[i] = static_cast<float>(sum[i] / static_cast<double>(models.size()));
  }
  evaluation.mean_model = Score(mean, score, &model);
  return evaluation;
}

}  // namespace letter
