// A multi-layer perceptron with ReLU between its layers: forward, loss, gradient, accuracy. All its
// parameters lie in one array, layer after layer, so that an optimizer and a mesh can walk them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "client/examples/dataset.h"

namespace letter {

// One dense layer: y = x·W + b, W row-major inputs × outputs.
struct Layer {
  size_t inputs;
  size_t outputs;
  size_t weight_begin;  // index of W in the parameters
  size_t bias_begin;    // index of b, right behind W
  size_t end;
};

class Mlp {
 public:
  // `widths` are the inputs, the hidden layers and the classes. Weights are drawn evenly from
  // ±sqrt(6 / inputs) (He et al. 2015) by `seed`, biases are 0. Calls BLAS with one thread.
  Mlp(const std::vector<size_t>& widths, uint64_t seed);

  std::span<float> parameters() { return parameters_; }
  std::span<const float> parameters() const { return parameters_; }
  const std::vector<Layer>& layers() const { return layers_; }

  // Writes the gradient of the loss over `batch` to `gradient` (as long as the parameters) and
  // returns the loss: the mean cross-entropy against (1 − smoothing)·one-hot + smoothing / classes.
  double Gradient(const Rows& batch, double label_smoothing, std::span<float> gradient);

  // The share of `rows` whose most likely class is their label.
  double Accuracy(const Rows& rows);

 private:
  // Fills activations_; the last are the logits.
  void Forward(const Rows& batch);
  // Turns logits into the loss's derivative by them, in place; returns the loss.
  double SoftmaxLoss(const Rows& batch, double label_smoothing);

  std::vector<Layer> layers_;
  std::vector<float> parameters_;
  std::vector<std::vector<float>> activations_;  // after each layer, rows × outputs
  std::vector<float> upstream_;                  // loss's derivative by a layer's inputs
};

}  // namespace letter
