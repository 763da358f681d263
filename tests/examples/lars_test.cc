// LARS against a computation by hand, and the shape of the learning rate.
#include "client/examples/lars.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace letter {
namespace {

TEST(Lars, TwoStepsByHand) {
  Lars lars({.coefficient = 0.1, .weight_decay = 0.5, .momentum = 0.9}, {2, 3});
  std::vector<float> weights = {3, 4, 2};  // layers (3, 4) and (2)
  const std::vector<float> gradient = {0, 10, -1};

  // Layer 1: ‖w‖ 5, ‖g‖ 10, scale 0.1·5 / (10 + 0.5·5) = 0.04; rate 2·0.04 = 0.08.
  //   g + 0.5·w = (1.5, 12); v = (0.12, 0.96); w = (2.88, 3.04)
  // Layer 2: ‖w‖ 2, ‖g‖ 1, scale 0.1·2 / (1 + 1) = 0.1; g + 0.5·w = 0.
  lars.Step(weights, gradient, 2);
  EXPECT_FLOAT_EQ(weights[0], 2.88F);
  EXPECT_FLOAT_EQ(weights[1], 3.04F);
  EXPECT_FLOAT_EQ(weights[2], 2);

  // Again with rate 1 and no gradient: scale 0.1 / 0.5 = 0.2, so v = 0.9·v + 0.2·0.5·w.
  //   Layer 1: v = (0.108 + 0.288, 0.864 + 0.304); layer 2: v = 0.2.
  lars.Step(weights, std::vector<float>{0, 0, 0}, 1);
  EXPECT_FLOAT_EQ(weights[0], 2.88F - 0.396F);
  EXPECT_FLOAT_EQ(weights[1], 3.04F - 1.168F);
  EXPECT_FLOAT_EQ(weights[2], 1.8F);
}

TEST(Lars, LeavesALayerOfZerosAlone) {
  Lars lars(LarsOptions{}, {2});
  std::vector<float> weights = {0, 0};
  lars.Step(weights, std::vector<float>{0, 0}, 8);
  EXPECT_EQ(weights, (std::vector<float>{0, 0}));
}

TEST(LearningRate, WarmsUpAndDecays) {
  EXPECT_DOUBLE_EQ(LearningRate(8, 0, 280), 8.0 / 112);
  EXPECT_DOUBLE_EQ(LearningRate(8, 55, 280), 4);
  EXPECT_DOUBLE_EQ(LearningRate(8, 111, 280), 8);
  EXPECT_DOUBLE_EQ(LearningRate(8, 112, 280), 8);
  EXPECT_DOUBLE_EQ(LearningRate(8, 196, 280), 8 * std::pow(0.5, 2.2));
  EXPECT_GT(LearningRate(8, 279, 280), 0);
  EXPECT_LT(LearningRate(8, 279, 280), 1e-3);
}

TEST(LearningRate, IsFiniteAndPositiveForAnyLength) {
  for (size_t rounds = 1; rounds < 12; ++rounds) {
    for (size_t round = 0; round < rounds; ++round) {
      const double rate = LearningRate(8, round, rounds);
      EXPECT_GT(rate, 0) << round << " of " << rounds;
      EXPECT_LE(rate, 8) << round << " of " << rounds;
    }
  }
}

}  // namespace
}  // namespace letter
