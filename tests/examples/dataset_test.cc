// Splits, shards and batches of UCI Letter.
#include "client/examples/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <numeric>
#include <set>
#include <stdexcept>

#include "tests/examples/letter_data.h"

namespace letter {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;

std::string ErrorOf(const std::string& path) {
  try {
    LoadLetter(path, ScoreOn::kTest);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "no error";
}

// A file of `text` that is gone with the object.
class TextFile {
 public:
  explicit TextFile(const std::string& text)
      : path_(::testing::TempDir() + "dataset_test." + std::to_string(getpid())) {
    std::ofstream(path_) << text;
  }
  ~TextFile() { std::remove(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST(LoadLetter, SplitsInFileOrder) {
  const Split& test = Letter();
  EXPECT_EQ(test.train.size(), 16000U);
  EXPECT_EQ(test.score.size(), 4000U);
  const Split validation = LoadLetter(LetterFile(), ScoreOn::kValidation);
  EXPECT_EQ(validation.train.size(), 14000U);
  EXPECT_EQ(validation.score.size(), 2000U);
  EXPECT_EQ(test.train.labels[0], 'T' - 'A');  // the file's first row
  for (size_t i = 0; i < validation.score.size(); ++i) {
    ASSERT_EQ(validation.score.labels[i], test.train.labels[14000 + i]);
  }
}

TEST(LoadLetter, StandardisesByTheTrainingRows) {
  const Rows& train = Letter().train;
  for (size_t feature = 0; feature < kFeatures; ++feature) {
    double sum = 0;
    double squares = 0;
    for (size_t i = feature; i < train.inputs.size(); i += kFeatures) {
      sum += train.inputs[i];
      squares += train.inputs[i] * train.inputs[i];
    }
    EXPECT_NEAR(sum / 16000, 0, 1e-4);
    EXPECT_NEAR(squares / 16000, 1, 1e-4);
  }
}

TEST(LoadLetter, NamesAMissingFileAndTheCure) {
  EXPECT_THAT(ErrorOf("/nowhere/letters"),
              AllOf(HasSubstr("/nowhere/letters"), HasSubstr("No such file"), HasSubstr("--data")));
}

TEST(LoadLetter, NamesTheLineThatIsWrong) {
  const std::string good = "T,2,8,3,5,1,8,13,0,6,6,10,8,0,8,0,8\n";
  EXPECT_THAT(ErrorOf(TextFile(good + good).path()), HasSubstr("has 2 rows instead of 20000"));
  for (const char* bad :
       {"t,2,8,3,5,1,8,13,0,6,6,10,8,0,8,0,8", "T,2,8,3", "T,2,8,3,5,1,8,13,0,6,6,10,8,0,8,0,16",
        "T,2,8,3,5,1,8,13,0,6,6,10,8,0,8,0,8,9", "T,2,x,3,5,1,8,13,0,6,6,10,8,0,8,0,8", ""}) {
    EXPECT_THAT(ErrorOf(TextFile(good + bad + "\n").path()), HasSubstr("line 2:")) << bad;
  }
}

TEST(ShardRows, AreDisjointAndComplete) {
  for (const size_t replicas : {1U, 3U, 4U, 64U}) {
    std::set<size_t> seen;
    for (size_t k = 0; k < replicas; ++k) {
      const std::vector<size_t> shard = ShardRows(16000, k, replicas, 7);
      EXPECT_NEAR(static_cast<double>(shard.size()), 16000.0 / static_cast<double>(replicas), 1);
      for (const size_t row : shard) {
        ASSERT_LT(row, 16000U);
        ASSERT_TRUE(seen.insert(row).second) << "row " << row << " twice";
      }
    }
    EXPECT_EQ(seen.size(), 16000U);
  }
}

TEST(ShardRows, FollowTheSeed) {
  EXPECT_EQ(ShardRows(100, 1, 4, 7), ShardRows(100, 1, 4, 7));
  EXPECT_NE(ShardRows(100, 1, 4, 7), ShardRows(100, 1, 4, 8));
}

TEST(BatchSampler, DrawsEveryRowOfTheShardOncePerPass) {
  // Row i carries the label i, so that a batch tells its rows.
  Rows rows;
  rows.inputs.assign(20 * kFeatures, 0.0F);
  rows.labels.resize(20);
  std::iota(rows.labels.begin(), rows.labels.end(), 0);
  BatchSampler sampler(&rows, {1, 3, 5, 7, 9, 11}, SeededGenerator(1, "test"));
  Rows batch;
  std::vector<int> drawn;
  for (int i = 0; i < 6; ++i) {  // batches of 4 reach over the end of a pass of 6
    sampler.Next(4, &batch);
    ASSERT_EQ(batch.inputs.size(), 4 * kFeatures);
    drawn.insert(drawn.end(), batch.labels.begin(), batch.labels.end());
  }
  std::set<std::vector<int>> orders;
  for (auto pass = drawn.begin(); pass != drawn.end(); pass += 6) {
    orders.insert({pass, pass + 6});
    EXPECT_EQ(std::set<int>(pass, pass + 6), (std::set<int>{1, 3, 5, 7, 9, 11}));
  }
  EXPECT_GT(orders.size(), 1U) << "every pass in the same order";
}

TEST(BatchSampler, SkippedRowsAreThoseThatWouldHaveBeenDrawn) {
  Rows rows;
  rows.inputs.assign(10 * kFeatures, 0.0F);
  rows.labels.resize(10);
  std::iota(rows.labels.begin(), rows.labels.end(), 0);
  for (const size_t batches : {0U, 1U, 2U, 5U, 9U}) {
    BatchSampler draws(&rows, {0, 1, 2, 3, 4, 5, 6}, SeededGenerator(1, "test"));
    BatchSampler skips(&rows, {0, 1, 2, 3, 4, 5, 6}, SeededGenerator(1, "test"));
    Rows drawn, skipped;
    for (size_t i = 0; i <= batches; ++i) draws.Next(4, &drawn);
    skips.Skip(4 * batches);
    skips.Next(4, &skipped);
    EXPECT_EQ(drawn.labels, skipped.labels) << batches << " batches";
  }
}

TEST(SeededGenerator, KeepsUsesApart) {
  EXPECT_EQ(SeededGenerator(1, "a", 0)(), SeededGenerator(1, "a", 0)());
  EXPECT_NE(SeededGenerator(1, "a", 0)(), SeededGenerator(1, "b", 0)());
  EXPECT_NE(SeededGenerator(1, "a", 0)(), SeededGenerator(1, "a", 1)());
  EXPECT_NE(SeededGenerator(1, "a", 0)(), SeededGenerator(uint64_t{1} << 32, "a", 0)());
}

}  // namespace
}  // namespace letter
