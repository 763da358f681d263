// Weights on disk, and the mean model.
#include "client/examples/weights_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <stdexcept>

#include "client/examples/learner.h"

namespace letter {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class WeightsFile : public ::testing::Test {
 protected:
  ~WeightsFile() override { std::remove(path_.c_str()); }
  std::string path_ = ::testing::TempDir() + "weights_file_test." + std::to_string(getpid());
};

TEST_F(WeightsFile, ComesBackAsItWas) {
  const Mlp model = MakeModel(3);
  WriteWeights(path_, model.parameters());
  const std::vector<float> weights = ReadWeights(path_);
  EXPECT_TRUE(std::equal(weights.begin(), weights.end(), model.parameters().begin(),
                         model.parameters().end()));
}

TEST_F(WeightsFile, ErrorsNameTheFileAndTheCure) {
  std::ofstream(path_) << "short";
  try {
    ReadWeights(path_);
    FAIL() << "a file of 5 bytes was read";
  } catch (const std::runtime_error& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr(path_), HasSubstr("5 bytes instead of 65128"),
                                    HasSubstr("--weights")));
  }
  EXPECT_THROW(ReadWeights("/nowhere/weights"), std::runtime_error);
  EXPECT_THROW(WriteWeights("/nowhere/weights", {}), std::runtime_error);
}

TEST(Evaluate, ScoresEachModelAndTheirMean) {
  // Models that always answer A, or B, by their last biases; the mean favours A by its larger bias.
  const size_t parameters = MakeModel(0).parameters().size();
  std::vector<float> always_a(parameters, 0.0F);
  std::vector<float> always_b(parameters, 0.0F);
  always_a[parameters - kClasses] = 2;
  always_b[parameters - kClasses + 1] = 1;
  Rows rows;
  rows.inputs.assign(4 * kFeatures, 0.0F);
  rows.labels = {0, 0, 0, 1};
  const Evaluation evaluation = Evaluate({always_a, always_b}, rows);
  EXPECT_THAT(evaluation.models, ::testing::ElementsAre(0.75, 0.25));
  EXPECT_EQ(evaluation.mean_model, 0.75);
}

}  // namespace
}  // namespace letter
