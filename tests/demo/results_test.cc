// What letter_trainer wrote.
#include "deploy/demo/results.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/config/temporary_folder.h"

namespace weightmesh::demo {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(Results, OfATrainer) {
  TemporaryFolder folder;
  const auto result = ReadTrainerResult(folder.Write(
      "r.json",
      R"({"method":"mesh","accuracy":0.96,"final_loss":0.5,"seconds":4.5,"first_round":57,"rejoins":2,
          "alone":true,"drained":false,"rounds_published":9})"));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->accuracy, 0.96);
  EXPECT_EQ(result->final_loss, 0.5);
  EXPECT_EQ(result->seconds, 4.5);
  EXPECT_TRUE(result->alone);
  EXPECT_FALSE(result->drained);
  EXPECT_EQ(result->first_round, 57u);
  EXPECT_EQ(result->rejoins, 2u);
  const auto diverged = ReadTrainerResult(
      folder.Write("n.json", R"({"accuracy":0.04,"final_loss":null,"seconds":4.5})"));
  ASSERT_TRUE(diverged.ok()) << diverged.status();
  EXPECT_EQ(diverged->final_loss, 0);
  EXPECT_FALSE(diverged->alone);
}

TEST(Results, OfAnEvaluationAndOfAllAlone) {
  TemporaryFolder folder;
  const auto evaluation = ReadEvaluation(folder.Write("e.json", R"({"scored_on":"test",
      "models":[{"weights_file":"a","accuracy":0.5},{"weights_file":"b","accuracy":0.25}],
      "mean_model_accuracy":0.75})"));
  ASSERT_TRUE(evaluation.ok()) << evaluation.status();
  EXPECT_THAT(evaluation->accuracies, ElementsAre(0.5, 0.25));
  EXPECT_EQ(evaluation->mean_model, 0.75);
  const auto alone = ReadAloneResult(folder.Write(
      "n.json", R"({"accuracy":0.9,"accuracies":[0.8,1],"mean_model_accuracy":0.1,"seconds":1})"));
  ASSERT_TRUE(alone.ok()) << alone.status();
  EXPECT_THAT(alone->accuracies, ElementsAre(0.8, 1));
  EXPECT_EQ(alone->mean_model, 0.1);
}

TEST(Results, ThatAreMissingOrWrongAreNamed) {
  TemporaryFolder folder;
  EXPECT_THAT(std::string(ReadTrainerResult(folder.path() + "/none.json").status().message()),
              HasSubstr("/none.json"));
  EXPECT_THAT(std::string(ReadEvaluation(folder.Write("a.json", "{")).status().message()),
              AllOf(HasSubstr("a.json"), HasSubstr("JSON")));
  EXPECT_THAT(
      std::string(
          ReadTrainerResult(folder.Write("b.json", R"({"accuracy":"high"})")).status().message()),
      AllOf(HasSubstr("b.json"), HasSubstr("\"accuracy\"")));
  EXPECT_THAT(std::string(ReadAloneResult(folder.Write("c.json", "{}")).status().message()),
              HasSubstr("\"accuracies\""));
}

}  // namespace
}  // namespace weightmesh::demo
