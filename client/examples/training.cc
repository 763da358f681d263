// The training loops.
#include "client/examples/training.h"

#include <algorithm>
#include <random>
#include <span>
#include <thread>
#include <utility>

#include "client/examples/lars.h"
#include "client/examples/learner.h"

namespace letter {
namespace {

using Clock = std::chrono::steady_clock;

// What the loops share: the time of rounds, and what is told of them.
class RoundLog {
 public:
  explicit RoundLog(const TrainingOptions& options)
      : options_(options),
        generator_(SeededGenerator(options.seed, "stalls", options.replica)),
        start_(Clock::now()),
        round_start_(start_) {}

  // Pauses as --stall-ms asks; returns the round's learning rate.
  double Begin(size_t round) {
    round_start_ = Clock::now();
    if (options_.stall.count() > 0) {
      const uint64_t choices = static_cast<uint64_t>(options_.stall.count()) + 1;
      std::this_thread::sleep_for(std::chrono::milliseconds(generator_() % choices));
    }
    return LearningRate(options_.peak_learning_rate, round, options_.rounds);
  }

  bool IsReportDue(size_t round) const {
    return (round + 1) % options_.report_every == 0 || round + 1 == options_.rounds;
  }

  void Report(const Progress& progress) {
    result_.progress.push_back(progress);
    options_.on_progress(progress);
  }

  // Waits until the round has taken as long as --pace-ms asks.
  void End(size_t round, double loss) {
    result_.rounds = round + 1;
    result_.final_loss = loss;
    if (options_.pace.count() > 0) std::this_thread::sleep_until(round_start_ + options_.pace);
  }

  TrainingResult& result() { return result_; }

  TrainingResult Finish(Mlp& model, const Rows& score) {
    result_.seconds = std::chrono::duration<double>(Clock::now() - start_).count();
    result_.accuracy = model.Accuracy(score);
    result_.weights.assign(model.parameters().begin(), model.parameters().end());
    return std::move(result_);
  }

 private:
  const TrainingOptions& options_;
  std::mt19937_64 generator_;
  Clock::time_point start_;
  Clock::time_point round_start_;
  TrainingResult result_;
};

// The model as the mesh sees it. The pointers live as long as the model.
std::vector<weightmesh::Tensor> TensorsOf(Mlp& model) {
  std::vector<weightmesh::Tensor> tensors;
  float* parameters = model.parameters().data();
  for (const Layer& layer : model.layers()) {
    const std::string name = "layer" + std::to_string(tensors.size() / 2);
    tensors.push_back(
        {name + ".weight", {layer.inputs, layer.outputs}, parameters + layer.weight_begin});
    tensors.push_back({name + ".bias", {layer.outputs}, parameters + layer.bias_begin});
  }
  return tensors;
}

// Adds what an exchange did to the result.
void Count(const weightmesh::RoundResult& exchanged, TrainingResult* result) {
  result->rounds_published += exchanged.published ? 1 : 0;
  result->rounds_mixed += exchanged.round > 0 ? 1 : 0;
  result->wait_seconds += exchanged.wait_seconds;
  for (size_t k = 0; k < result->pulls.size(); ++k) result->pulls[k] += exchanged.pulls[k];
}

// Says when this replica becomes alone, or is not any more, and why.
void NoticeAlone(const weightmesh::Replica& replica, const weightmesh::RoundResult& exchanged,
                 const TrainingOptions& options, TrainingResult* result) {
  if (exchanged.rejoined && !exchanged.alone) {
    ++result->rejoins;
    options.on_notice("the daemon is back, and this replica has joined the run again");
  }
  if (replica.alone() && !result->alone) options.on_notice(replica.message());
  result->drained = replica.drained();
  result->alone = replica.alone() && !result->drained;
}

// Which round comes next. They are the run's: whoever joins it goes on from where it is.
class RoundCount {
 public:
  // `follows`: also without having joined anew, this replica takes the run's rounds as its own. In
  // lockstep that makes a difference only where it was left behind.
  RoundCount(size_t next, bool follows) : next_(next), follows_(follows) {}

  // 0-based.
  size_t next() const { return next_; }

  // After `exchanged`, of round next().
  void Advance(const weightmesh::RoundResult& exchanged, weightmesh::Replica* replica) {
    ++next_;
    rejoined_ = rejoined_ || exchanged.rejoined;
    if (!exchanged.published || (!rejoined_ && !follows_)) return;
    const size_t of_the_run = replica->Stats().last_round;
    // Alone, it may have come further than the others.
    next_ = rejoined_ ? of_the_run : std::max(next_, of_the_run);
    rejoined_ = false;
  }

 private:
  size_t next_;
  const bool follows_;
  bool rejoined_ = false;  // and has published nothing since
};

}  // namespace

TrainingResult TrainOnMesh(const Split& split, const TrainingOptions& options, MeshOptions mesh) {
  Learner learner(&split.train, options.replica, options.replicas, options.seed);
  const std::vector<weightmesh::Tensor> tensors = TensorsOf(learner.model());

  // Attach: waits until all replicas of the run are there. Or join those that are, and take over
  // their weights.
  mesh.replica_name = "replica-" + std::to_string(options.replica);
  mesh.replicas_min = static_cast<uint32_t>(options.replicas);
  mesh.progress = [&options](const char* message) { options.on_notice(message); };
  weightmesh::Replica replica =
      mesh.join ? weightmesh::Replica::Join(mesh, tensors) : weightmesh::Replica(mesh, tensors);

  RoundLog log(options);
  weightmesh::RoundResult exchanged;
  NoticeAlone(replica, exchanged, options, &log.result());
  const bool lockstep = mesh.mode == WEIGHTMESH_LOCKSTEP;
  // Where the run is: the learning rate and the data go on from there.
  log.result().first_round = std::max<size_t>(1, replica.first_round());
  RoundCount rounds(log.result().first_round - 1, lockstep || mesh.keep_up);
  learner.SkipBatches(rounds.next());
  while (rounds.next() < options.rounds) {
    const size_t round = rounds.next();
    const double learning_rate = log.Begin(round);

    // The trainer's own business: a batch, and a step of the optimizer.
    const double loss = learner.ComputeGradient();
    learner.Step(learning_rate);

    // The mesh's: share these weights, and mix in a peer's.
    exchanged = lockstep ? replica.Exchange(tensors) : replica.Step(tensors);
    Count(exchanged, &log.result());
    rounds.Advance(exchanged, &replica);

    if (log.IsReportDue(round)) {
      const double accuracy = learner.model().Accuracy(split.score);
      replica.Report("loss", loss);
      replica.Report("accuracy", accuracy);
      replica.Report("learning_rate", learning_rate);
      log.Report({round + 1, loss, accuracy, learning_rate});
    }
    NoticeAlone(replica, exchanged, options, &log.result());
    log.result().rounds_alone += log.result().alone ? 1 : 0;
    log.End(round, loss);
    if (replica.drained())
      break;  // the node is wanted for something else: the result so far counts
  }
  // In overlap and async the last step's pulls are still to be mixed, by the agreement or here.
  if (mesh.consensus.has_value() && !replica.alone()) {
    log.result().agreement = replica.Consensus(tensors, *mesh.consensus);
    if (!log.result().agreement.agreed) options.on_notice(replica.message());
  } else if (!lockstep && exchanged.published) {
    exchanged = replica.Mix(tensors);
    Count(exchanged, &log.result());
    NoticeAlone(replica, exchanged, options, &log.result());
  }
  TrainingResult result = log.Finish(learner.model(), split.score);
  replica.Leave();
  return result;
}

TrainingResult TrainAlone(const Split& split, const TrainingOptions& options) {
  Learner learner(&split.train, options.replica, options.replicas, options.seed);
  RoundLog log(options);
  for (size_t round = 0; round < options.rounds; ++round) {
    const double learning_rate = log.Begin(round);
    const double loss = learner.ComputeGradient();
    learner.Step(learning_rate);
    if (log.IsReportDue(round)) {
      log.Report({round + 1, loss, learner.model().Accuracy(split.score), learning_rate});
    }
    log.End(round, loss);
  }
  return log.Finish(learner.model(), split.score);
}

TrainingResult TrainAllReduce(const Split& split, const TrainingOptions& options) {
  std::vector<Learner> learners;
  for (size_t k = 0; k < options.replicas; ++k) {
    learners.emplace_back(&split.train, k, options.replicas, options.seed);
  }
  Learner& first = learners.front();
  const float share = 1.0F / static_cast<float>(options.replicas);
  RoundLog log(options);
  for (size_t round = 0; round < options.rounds; ++round) {
    const double learning_rate = log.Begin(round);

    // The mean gradient, gathered in the first learner.
    double loss = 0;
    for (Learner& learner : learners) loss += learner.ComputeGradient() * share;
    const std::span<float> mean = first.gradient();
    for (size_t i = 0; i < mean.size(); ++i) {
      for (size_t k = 1; k < learners.size(); ++k) mean[i] += learners[k].gradient()[i];
      mean[i] *= share;
    }

    // Equal weights and equal gradients give equal steps: one is computed, the others copy it.
    first.Step(learning_rate);
    const std::span<const float> stepped = first.model().parameters();
    for (size_t k = 1; k < learners.size(); ++k) {
      std::copy(stepped.begin(), stepped.end(), learners[k].model().parameters().begin());
    }

    if (log.IsReportDue(round)) {
      log.Report({round + 1, loss, first.model().Accuracy(split.score), learning_rate});
    }
    log.End(round, loss);
  }
  return log.Finish(first.model(), split.score);
}

}  // namespace letter
