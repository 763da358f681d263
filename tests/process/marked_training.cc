// A trainer that never learns: before each publish every parameter becomes a mark of replica,
// segment and step. With alpha = 1 a mixed block is then exactly the peer's, so that the trainer
// itself can tell a torn, misplaced or mixed-up block from a good one.
//
// Overlap: what was mixed is checked between the publish and the next mix, in place of computation.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "tests/process/gossip_model.h"
#include "tests/process/trainer_settings.h"

namespace weightmesh {
namespace {

constexpr uint64_t kBlockParameters = 16384;  // of fp32: 64 KiB

class Marks {
 public:
  explicit Marks(const TrainerSettings& settings)
      : segments_(settings.mesh.segments),
        replica_(settings.replica),
        replicas_(settings.mesh.replicas_min),
        bounds_(SegmentBounds(settings.parameters, segments_)) {}

  void Write(uint64_t step, std::vector<float>* weights) const {
    for (uint64_t segment = 0; segment < segments_; ++segment) {
      std::fill(weights->begin() + bounds_[segment], weights->begin() + bounds_[segment + 1],
                Mark(segments_, replica_, segment, step));
    }
  }

  // `weights` after the mix of what was published in `step`.
  void Check(const std::vector<float>& weights, uint64_t step, const RoundResult& round) {
    uint64_t whole = 0;  // segments that are a peer's from end to end
    for (uint64_t segment = 0; segment < segments_; ++segment) {
      const float own = Mark(segments_, replica_, segment, step);
      const float* found = nullptr;
      bool kept = false;
      for (uint64_t at = bounds_[segment]; at < bounds_[segment + 1]; at += kBlockParameters) {
        const float* const block = &weights[at];
        const uint64_t size = std::min(kBlockParameters, bounds_[segment + 1] - at);
        if (std::any_of(block, block + size, [&](float x) { return x != *block; })) {
          ++torn;
          kept = true;
        } else if (*block == own) {
          kept = true;
        } else if (found != nullptr && *found != *block) {
          ++torn;  // two blocks of one segment, of two snapshots
        } else {
          found = block;
        }
      }
      if (found != nullptr) Record(*found, segment, round.round);
      whole += found != nullptr && !kept;
    }
    miscounted += whole != round.pulls[WEIGHTMESH_ARRIVED];
  }

  uint64_t torn = 0;        // blocks, or segments, of more than one snapshot
  uint64_t misplaced = 0;   // segments that bear no mark of theirs
  uint64_t miscounted = 0;  // rounds of which another number ARRIVED than was mixed
  std::vector<MarkRecord> records;

 private:
  void Record(float found, uint64_t segment, uint64_t round) {
    const bool whole_number = found >= 0 && found < 0x1p24f && found == std::floor(found);
    const uint64_t mark = whole_number ? static_cast<uint64_t>(found) : 0;
    const uint64_t place = mark / kMarkSteps;
    if (!whole_number || place % segments_ != segment || place / segments_ >= replicas_) {
      ++misplaced;
      return;
    }
    records.push_back({round, static_cast<uint32_t>(segment),
                       static_cast<uint32_t>(place / segments_), mark % kMarkSteps});
  }

  const uint64_t segments_;
  const uint64_t replica_;
  const uint64_t replicas_;
  const std::vector<uint64_t> bounds_;
};

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
  Marks marks(settings);
  marks.Write(0, &weights);
  Replica replica(settings.mesh, model);
  const bool overlap = settings.mesh.mode == WEIGHTMESH_OVERLAP;
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
    if (overlap && to_check) marks.Check(mixed, step - 1, last);
    last = replica.Mix(model);
    last.wait_seconds += published.wait_seconds;
    summary.Add(last);
    to_check = last.round != 0;
    if (!to_check) continue;
    if (overlap) {
      mixed = weights;
    } else {
      marks.Check(weights, step, last);
    }
  }
  replica.Leave();
  summary.Write(settings.result_file);
  WriteRows(settings.result_file + ".rounds", rounds);
  WriteRows(settings.result_file + ".records", marks.records);
  std::ofstream(settings.result_file + ".marks")
      << marks.torn << " " << marks.misplaced << " " << marks.miscounted << "\n";
  return 0;
}

}  // namespace weightmesh
