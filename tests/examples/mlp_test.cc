// The perceptron's loss and gradient, against values by hand and finite differences.
#include "client/examples/mlp.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "client/examples/learner.h"

namespace letter {
namespace {

constexpr double kSmoothing = 0.1;

Rows RandomRows(size_t count) {
  std::mt19937_64 generator = SeededGenerator(1, "rows");
  Rows rows;
  for (size_t i = 0; i < count; ++i) {
    for (size_t f = 0; f < kFeatures; ++f) {
      rows.inputs.push_back(static_cast<float>(generator() % 2001) / 1000.0F - 1.0F);
    }
    rows.labels.push_back(static_cast<int>(generator() % kClasses));
  }
  return rows;
}

double Loss(Mlp& model, const Rows& rows) {
  std::vector<float> gradient(model.parameters().size());
  return model.Gradient(rows, kSmoothing, gradient);
}

TEST(Mlp, LiesInOneArrayLayerByLayer) {
  const Mlp model = MakeModel(1);
  ASSERT_EQ(model.layers().size(), 4U);
  size_t end = 0;
  for (const Layer& layer : model.layers()) {
    EXPECT_EQ(layer.weight_begin, end);
    EXPECT_EQ(layer.bias_begin, end + layer.inputs * layer.outputs);
    EXPECT_EQ(layer.end, layer.bias_begin + layer.outputs);
    end = layer.end;
  }
  EXPECT_EQ(model.parameters().size(), end);
  EXPECT_EQ(end, 16282U);
}

TEST(Mlp, KnowsNothingWithWeightsOfZero) {
  Mlp model({kFeatures, 8, kClasses}, 1);
  std::ranges::fill(model.parameters(), 0.0F);
  EXPECT_NEAR(Loss(model, RandomRows(10)), std::log(26.0), 1e-5);
}

TEST(Mlp, SmoothsLabels) {
  // One layer whose bias favours the right class by 2: the loss by its definition.
  Mlp model({kFeatures, kClasses}, 1);
  std::ranges::fill(model.parameters(), 0.0F);
  Rows rows = RandomRows(1);
  model.parameters()[model.layers()[0].bias_begin + static_cast<size_t>(rows.labels[0])] = 2;
  const double log_sum = std::log(25 + std::exp(2.0));
  const double on_target = 1 - kSmoothing + kSmoothing / 26;
  EXPECT_NEAR(Loss(model, rows), log_sum - on_target * 2, 1e-5);
  EXPECT_EQ(model.Accuracy(rows), 1.0);
}

// The derivative along a direction, by central differences and by the gradient. Within ±step the
// loss bends little; a unit that crosses ReLU's kink adds what the tolerance covers.
void ExpectDerivative(Mlp& model, const Rows& rows, const std::vector<float>& gradient,
                      const std::vector<float>& direction, double tolerance) {
  constexpr float kStep = 2e-3F;
  const std::vector<float> start(model.parameters().begin(), model.parameters().end());
  double expected = 0;
  double losses[2];
  for (const int side : {0, 1}) {
    const float step = side == 0 ? -kStep : kStep;
    for (size_t i = 0; i < start.size(); ++i) {
      model.parameters()[i] = start[i] + step * direction[i];
    }
    losses[side] = Loss(model, rows);
  }
  std::copy(start.begin(), start.end(), model.parameters().begin());
  for (size_t i = 0; i < start.size(); ++i) expected += gradient[i] * direction[i];
  EXPECT_NEAR((losses[1] - losses[0]) / (2 * kStep), expected, tolerance);
}

TEST(Mlp, GradientAgreesWithFiniteDifferences) {
  Mlp model({kFeatures, 12, 10, kClasses}, 3);
  const Rows rows = RandomRows(64);
  std::vector<float> gradient(model.parameters().size());
  model.Gradient(rows, kSmoothing, gradient);

  // Each parameter of a sample that reaches every tensor.
  for (size_t i = 0; i < gradient.size(); i += 7) {
    std::vector<float> direction(gradient.size(), 0.0F);
    direction[i] = 1;
    SCOPED_TRACE(i);
    ExpectDerivative(model, rows, gradient, direction, 1e-3);
  }
  // All at once, along the gradient's signs: the sum of all absolute derivatives.
  for (const Layer& layer : model.layers()) {
    std::vector<float> direction(gradient.size(), 0.0F);
    double sum = 0;
    for (size_t i = layer.weight_begin; i < layer.end; ++i) {
      direction[i] = gradient[i] > 0 ? 1.0F : -1.0F;
      sum += std::abs(gradient[i]);
    }
    ExpectDerivative(model, rows, gradient, direction, 0.02 * sum);
  }
}

TEST(Mlp, StartsFromTheSeed) {
  const Mlp a = MakeModel(1);
  const Mlp b = MakeModel(1);
  const Mlp c = MakeModel(2);
  EXPECT_TRUE(std::ranges::equal(a.parameters(), b.parameters()));
  EXPECT_FALSE(std::ranges::equal(a.parameters(), c.parameters()));
}

}  // namespace
}  // namespace letter
