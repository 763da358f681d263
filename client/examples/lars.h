// LARS, layer-wise adaptive rate scaling with momentum (You, Gitman, Ginsburg 2017,
// arXiv 1708.03888), and the learning rate's warm-up and decay.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace letter {

struct LarsOptions {
  double coefficient = 0.0025;
  double weight_decay = 5e-5;
  double momentum = 0.96;
};

// The optimizer's state for one model.
class Lars {
 public:
  // `layer_ends` are the ascending ends of the layers in the parameters. A layer is scaled as one
  // piece, weights with biases: biases start at 0, where a scale of their own would keep them.
  Lars(const LarsOptions& options, std::vector<size_t> layer_ends);

  // For each layer, with w its parameters, g its gradient, v its momentum:
  //   scale = coefficient · ‖w‖ / (‖g‖ + weight_decay · ‖w‖)     (0 where both norms are)
  //   v = momentum · v + learning_rate · scale · (g + weight_decay · w)
  //   w = w − v
  // REQUIRES: both spans are layer_ends.back() long.
  void Step(std::span<float> parameters, std::span<const float> gradient, double learning_rate);

 private:
  LarsOptions options_;
  std::vector<size_t> layer_ends_;
  std::vector<float> velocity_;
};

// The rate of `round` (0-based) of `rounds`: linear warm-up to `peak` over the first 36/90 of the
// rounds, then polynomial decay of power 2.2 to 0 at the end.
double LearningRate(double peak, size_t round, size_t rounds);

}  // namespace letter
