// The training loops without a daemon: exact averaging, and replicas by themselves.
#include "client/examples/training.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "client/examples/lars.h"
#include "client/examples/learner.h"
#include "tests/examples/letter_data.h"

namespace letter {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TrainingOptions Short(size_t replicas) {
  TrainingOptions options;
  options.replicas = replicas;
  options.rounds = 6;
  options.report_every = 4;
  return options;
}

// One model trained on the batches of all replicas, put together into one.
std::vector<float> TrainOnJoinedBatches(const Split& split, const TrainingOptions& options) {
  const size_t share = kGlobalBatch / options.replicas;
  std::vector<BatchSampler> samplers;
  for (size_t k = 0; k < options.replicas; ++k) {
    samplers.emplace_back(&split.train,
                          ShardRows(split.train.size(), k, options.replicas, options.seed),
                          SeededGenerator(options.seed, "batches", k));
  }
  Mlp model = MakeModel(options.seed);
  std::vector<size_t> layer_ends;
  for (const Layer& layer : model.layers()) layer_ends.push_back(layer.end);
  Lars optimizer(LarsOptions{}, layer_ends);
  std::vector<float> gradient(model.parameters().size());
  for (size_t round = 0; round < options.rounds; ++round) {
    Rows joined;
    for (BatchSampler& sampler : samplers) {
      Rows batch;
      sampler.Next(share, &batch);
      joined.inputs.insert(joined.inputs.end(), batch.inputs.begin(), batch.inputs.end());
      joined.labels.insert(joined.labels.end(), batch.labels.begin(), batch.labels.end());
    }
    model.Gradient(joined, kLabelSmoothing, gradient);
    optimizer.Step(model.parameters(), gradient,
                   LearningRate(options.peak_learning_rate, round, options.rounds));
  }
  return {model.parameters().begin(), model.parameters().end()};
}

TEST(TrainAllReduce, EqualsOneModelOnTheGlobalBatch) {
  const TrainingOptions options = Short(4);
  const std::vector<float> averaged = TrainAllReduce(Letter(), options).weights;
  const std::vector<float> joined = TrainOnJoinedBatches(Letter(), options);
  const Mlp untrained = MakeModel(options.seed);
  ASSERT_EQ(averaged.size(), joined.size());
  float moved = 0;
  for (size_t i = 0; i < joined.size(); ++i) {
    ASSERT_NEAR(averaged[i], joined[i], 1e-4F) << "parameter " << i;
    moved = std::max(moved, std::abs(joined[i] - untrained.parameters()[i]));
  }
  EXPECT_GT(moved, 0.01F) << "nothing was trained";
}

TEST(TrainAllReduce, OfOneReplicaIsTheReplicaAlone) {
  const TrainingOptions options = Short(1);
  EXPECT_EQ(TrainAllReduce(Letter(), options).weights, TrainAlone(Letter(), options).weights);
}

TEST(TrainAlone, LearnsAndReports) {
  TrainingOptions options = Short(4);
  options.rounds = 40;
  options.report_every = 15;
  std::vector<size_t> rounds;
  options.on_progress = [&](const Progress& progress) { rounds.push_back(progress.round); };
  const TrainingResult result = TrainAlone(Letter(), options);
  EXPECT_THAT(rounds, ElementsAre(15, 30, 40));
  EXPECT_GT(result.accuracy, 0.4);  // guessing gives 0.04
  EXPECT_LT(result.final_loss, result.progress.front().loss);
  EXPECT_EQ(result.weights.size(), MakeModel(1).parameters().size());
}

TEST(TrainAlone, ReplicasDifferByTheirShards) {
  TrainingOptions options = Short(2);
  const TrainingResult first = TrainAlone(Letter(), options);
  EXPECT_EQ(TrainAlone(Letter(), options).weights, first.weights);
  options.replica = 1;
  EXPECT_NE(TrainAlone(Letter(), options).weights, first.weights);
}

// Without a daemon, TrainOnMesh trains on alone, says so once and does not fail.
TEST(TrainOnMesh, WithoutADaemonTrainsOnAlone) {
  for (const weightmesh_mode mode : {WEIGHTMESH_LOCKSTEP, WEIGHTMESH_OVERLAP}) {
    TrainingOptions options = Short(2);
    std::vector<std::string> notices;
    options.on_notice = [&](const std::string& notice) { notices.push_back(notice); };
    MeshOptions mesh;
    mesh.run_id = "letter";
    mesh.mode = mode;
    mesh.socket_path = ::testing::TempDir() + "no-daemon-here.sock";
    const TrainingResult result = TrainOnMesh(Letter(), options, mesh);
    EXPECT_TRUE(result.alone);
    EXPECT_THAT(notices, ElementsAre(HasSubstr("no-daemon-here.sock")));
    EXPECT_EQ(result.rounds_published, 0U);
    EXPECT_EQ(result.weights, TrainAlone(Letter(), options).weights);
  }
}

}  // namespace
}  // namespace letter
