// A trainer that never learns: it publishes a MarkedModel, and checks what it mixed. Its step_ms
// lie between publish and mix.
//
// Overlap and async: what was mixed is checked between the publish and the next mix, in place of
// computation.
#include <chrono>
#include <cstdint>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/process/trainer_settings.h"
#include "tests/testing/marked_model.h"

namespace weightmesh {
namespace {

template <typename Row>
void WriteRows(const std::string& path, const std::vector<Row>& rows) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(rows.data()),
             static_cast<std::streamsize>(rows.size() * sizeof(Row)));
}

}  // namespace

int TrainMarked(const TrainerSettings& settings) {
  std::vector<float> weights(settings.parameters);
  std::vector<float> mixed;  // what the last mix left
  const std::vector<Tensor> model = MakeModel(&weights);
  MarkedModel marks(settings.replica, settings.mesh.replicas_min,
                    SegmentBounds(settings.parameters, settings.mesh.segments));
  marks.Write(0, &weights);
  Replica replica(settings.mesh, model);
  const bool lockstep = settings.mesh.mode == WEIGHTMESH_LOCKSTEP;
  TrainerSummary summary;
  std::vector<uint64_t> rounds{0};  // by step: the round that it was published as; 0: none
  bool to_check = false;
  RoundResult last;
  for (uint64_t step = 1; MayStep(settings, step) && !replica.alone(); ++step) {
    marks.Write(step, &weights);
    const RoundResult published = replica.Publish(model);
    summary.Add(published);
    summary.skipped += !published.alone && !published.published;
    rounds.push_back(published.published ? replica.Stats().last_round : 0);
    ++summary.steps;
    if (published.alone) break;
    if (!lockstep && to_check)
      marks.Check(mixed, step - 1, last.round, last.pulls[WEIGHTMESH_ARRIVED]);
    std::this_thread::sleep_for(std::chrono::milliseconds(settings.step_ms));
    last = replica.Mix(model);
    last.wait_seconds += published.wait_seconds;
    summary.Add(last);
    to_check = last.round != 0;
    if (!to_check) continue;
    if (lockstep) {
      marks.Check(weights, step, last.round, last.pulls[WEIGHTMESH_ARRIVED]);
    } else {
      mixed = weights;
    }
  }
  replica.Leave();
  summary.Write(settings.result_file);
  WriteRows(settings.result_file + ".rounds", rounds);
  WriteRows(settings.result_file + ".records", marks.records());
  std::ofstream(settings.result_file + ".marks")
      << marks.torn() << " " << marks.misplaced() << " " << marks.miscounted() << "\n";
  return 0;
}

}  // namespace weightmesh
