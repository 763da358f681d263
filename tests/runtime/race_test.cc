// The promises of a round in miniature, for ThreadSanitizer: publishers and readers race at full
// speed through the real client, executor, core, arenas and data plane, and no block that is mixed
// is of another round; what faulty transports spoil is counted and not mixed; every pull ends once.
#include <gtest/gtest.h>

#include <array>
#include <barrier>
#include <chrono>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "tests/runtime/mini_mesh.h"
#include "tests/testing/marked_model.h"
#include "weightmesh/weightmesh.hpp"

namespace weightmesh {
namespace {

constexpr int kReplicas = 3;
constexpr uint64_t kSegments = 4;
// Segments of two blocks and a piece; a multiple of 8 bytes each, so that there is no padding,
// where a flipped bit would harm nobody.
constexpr uint64_t kParameters = kSegments * 33'000;
constexpr uint64_t kSteps = 60;

std::vector<uint64_t> Bounds() {
  std::vector<uint64_t> bounds;
  for (uint64_t k = 0; k <= kSegments; ++k) bounds.push_back(k * kParameters / kSegments);
  return bounds;
}

// One trainer thread's results.
struct Trained {
  MarkedModel marks;
  std::map<uint64_t, uint64_t> step_of_round;
  uint64_t due = 0;
  std::array<uint64_t, WEIGHTMESH_OUTCOME_COUNT> pulls = {};

  uint64_t AllPulls() const {
    uint64_t sum = 0;
    for (const uint64_t count : pulls) sum += count;
    return sum;
  }
};

// How trainers go.
struct Pace {
  weightmesh_mode mode = WEIGHTMESH_LOCKSTEP;
  uint64_t deadline_ms = 60'000;
  // Between publish and mix; in async of replica 0 three times that. In overlap what the transfers
  // have: a replica that is always first, with less than they take under ThreadSanitizer, would mix
  // nothing.
  uint64_t compute_ms = 0;
  uint32_t staleness_rounds_max = 0;  // async
};

// `attached_all`: nobody is through its few rounds before the last one has begun.
void Train(const MiniMesh& mesh, const Pace& pace, int replica, std::barrier<>* attached_all,
           Trained* trained) {
  const weightmesh_mode mode = pace.mode;
  std::vector<float> weights(kParameters);
  std::vector<float> mixed;
  const std::vector<Tensor> model = {{"first", {1000}, weights.data()},
                                     {"second", {kParameters - 1000}, weights.data() + 1000}};
  Options options;
  options.socket_path = mesh.socket(replica);
  options.run_id = "race";
  options.replica_name = "replica-" + std::to_string(replica);
  options.replicas_min = kReplicas;
  options.mode = mode;
  options.staleness_rounds_max = pace.staleness_rounds_max;
  options.alpha = 1;
  options.segment_bounds = Bounds();
  options.round_deadline_ms = pace.deadline_ms;
  options.allow_different_init = true;
  options.mix_threads = 2;
  Replica attached(options, model);
  attached_all->arrive_and_wait();
  RoundResult last;
  const uint64_t slowness = mode == WEIGHTMESH_ASYNC && replica == 0 ? 3 : 1;
  const uint64_t compute_ms = pace.compute_ms * slowness;
  for (uint64_t step = 1; step <= kSteps / slowness; ++step) {
    trained->marks.Write(step, &weights);
    const RoundResult published = attached.Publish(model);
    ASSERT_FALSE(published.alone) << attached.message();
    if (published.published) trained->step_of_round[attached.Stats().last_round] = step;
    // Overlap and async: the last round is looked at while this one's pulls are under way.
    if (mode != WEIGHTMESH_LOCKSTEP && last.round != 0) {
      trained->marks.Check(mixed, step - 1, last.round, last.pulls[WEIGHTMESH_ARRIVED]);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(compute_ms));
    last = attached.Mix(model);
    ASSERT_FALSE(last.alone) << attached.message();
    trained->due += last.segments;
    for (size_t k = 0; k < trained->pulls.size(); ++k) trained->pulls[k] += last.pulls[k];
    if (last.round == 0) continue;
    if (mode == WEIGHTMESH_LOCKSTEP) {
      trained->marks.Check(weights, step, last.round, last.pulls[WEIGHTMESH_ARRIVED]);
    } else {
      mixed = weights;
    }
  }
  attached.Leave();
}

std::vector<Trained> TrainAll(const MiniMesh& mesh, const Pace& pace) {
  std::vector<Trained> all;
  for (int k = 0; k < kReplicas; ++k) {
    all.push_back({MarkedModel(k, kReplicas, Bounds()), {}, 0, {}});
  }
  std::barrier attached_all(kReplicas);
  std::vector<std::thread> threads;
  for (int k = 0; k < kReplicas; ++k) {
    threads.emplace_back([&, k] { Train(mesh, pace, k, &attached_all, &all[k]); });
  }
  for (std::thread& thread : threads) thread.join();
  return all;
}

// No block is torn or out of place, all are of a round that was asked for, and each pull ended as
// one thing.
void ExpectWholeSnapshots(const std::vector<Trained>& all, const Pace& pace) {
  for (size_t k = 0; k < all.size(); ++k) {
    SCOPED_TRACE("replica " + std::to_string(k));
    EXPECT_EQ(all[k].marks.torn(), 0u);
    EXPECT_EQ(all[k].marks.misplaced(), 0u);
    EXPECT_EQ(all[k].marks.miscounted(), 0u);
    EXPECT_FALSE(all[k].marks.records().empty())
        << "nothing was mixed; pulls by outcome: " << testing::PrintToString(all[k].pulls);
    for (const MarkRecord& record : all[k].marks.records()) {
      ASSERT_TRUE(IsOfARoundThatWillDo(record, all[record.replica].step_of_round,
                                       pace.mode == WEIGHTMESH_ASYNC, pace.staleness_rounds_max))
          << "step " << record.step << " of replica " << record.replica << " in round "
          << record.round;
    }
    EXPECT_EQ(all[k].AllPulls(), all[k].due);
  }
}

TEST(MiniRace, InLockstepNothingIsLostOrTorn) {
  MiniMesh mesh(kReplicas);
  const Pace pace{.mode = WEIGHTMESH_LOCKSTEP};
  const std::vector<Trained> all = TrainAll(mesh, pace);
  ExpectWholeSnapshots(all, pace);
  for (const Trained& trained : all) {
    EXPECT_EQ(trained.pulls[WEIGHTMESH_ARRIVED], kSteps * kSegments);
  }
}

TEST(MiniRace, InOverlapNothingIsTorn) {
  MiniMesh mesh(kReplicas);
  const Pace pace{.mode = WEIGHTMESH_OVERLAP, .compute_ms = 50};
  ExpectWholeSnapshots(TrainAll(mesh, pace), pace);
}

TEST(MiniRace, InAsyncNothingIsTornOrTooOld) {
  MiniMesh mesh(kReplicas);
  const Pace pace{.mode = WEIGHTMESH_ASYNC, .compute_ms = 15, .staleness_rounds_max = 5};
  const std::vector<Trained> all = TrainAll(mesh, pace);
  ExpectWholeSnapshots(all, pace);
  uint64_t older = 0;
  for (const Trained& trained : all) {
    for (const MarkRecord& record : trained.marks.records()) {
      older += !IsOfARoundThatWillDo(record, all[record.replica].step_of_round, false, 0);
    }
  }
  EXPECT_GT(older, 0u) << "nothing was of another round: that tests overlap";
}

TEST(MiniRace, WhatIsSpoiledIsCountedAndNeverMixed) {
  MiniMesh mesh(kReplicas,
                {{.seed = 1, .corrupt = {.rate = 0.1}}, {.seed = 2, .tear = {.rate = 0.1}}});
  const Pace pace{.mode = WEIGHTMESH_LOCKSTEP};
  const std::vector<Trained> all = TrainAll(mesh, pace);
  ExpectWholeSnapshots(all, pace);
  for (int k = 0; k < kReplicas; ++k) {
    const FaultCounts faults = mesh.faults(k);
    EXPECT_EQ(all[k].pulls[WEIGHTMESH_CORRUPT], faults.corrupted + faults.torn) << "replica " << k;
    EXPECT_EQ(all[k].pulls[WEIGHTMESH_ARRIVED] + all[k].pulls[WEIGHTMESH_CORRUPT],
              kSteps * kSegments);
    EXPECT_TRUE(k == 2 || faults.corrupted + faults.torn > 0);
  }
}

// Everything at once, with a short deadline: late data, lost words, cut links.
TEST(MiniRace, WhateverFailsEveryPullEndsOnce) {
  std::vector<FaultOptions> faults(kReplicas);
  for (int k = 0; k < kReplicas; ++k) {
    faults[k].seed = 10 + k;
    faults[k].fail_pull = faults[k].drop_request = faults[k].drop_answer = {.rate = 0.02};
    faults[k].drop_cancel = faults[k].duplicate_request =
        faults[k].duplicate_answer = {.rate = 0.02};
    faults[k].duplicate_send = faults[k].fail_send = {.rate = 0.02};
    faults[k].corrupt = faults[k].tear = {.rate = 0.02};
    faults[k].stop_pull = faults[k].stop_send = {.rate = 0.005};
    faults[k].delay_ms_max = 2;
  }
  for (const Pace& pace : {Pace{.mode = WEIGHTMESH_LOCKSTEP, .deadline_ms = 200, .compute_ms = 5},
                           Pace{.mode = WEIGHTMESH_OVERLAP, .deadline_ms = 200, .compute_ms = 50},
                           Pace{.mode = WEIGHTMESH_ASYNC,
                           .deadline_ms = 200,
                           .compute_ms = 20,
                           .staleness_rounds_max = 8}}) {
    SCOPED_TRACE("weightmesh_mode " + std::to_string(pace.mode));
    MiniMesh mesh(kReplicas, faults);
    ExpectWholeSnapshots(TrainAll(mesh, pace), pace);
  }
}

}  // namespace
}  // namespace weightmesh
