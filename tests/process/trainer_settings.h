// TrainerSettings and TrainerSummary: what the test trainers are told, and what they tell at the
// end.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "weightmesh/weightmesh.hpp"

namespace weightmesh {

struct TrainerSettings {
  Options mesh;
  std::string result_file;
  uint64_t parameters = 2000;
  uint64_t replica = 0;
  uint64_t steps = 0;  // 0, or paced: until standard input ends
  uint64_t update_seed = 1;
  double learning = 0.01;  // size of an update; 0: nothing is learned
  bool own_start = false;  // initial weights differ among replicas
  uint64_t poison_step =
      0;  // in this step the first weight becomes NaN and the last infinite; 0: never
  uint64_t stall_ms_max = 0;
  uint64_t step_ms = 0;
  bool join = false;  // a run that has started; the weights come from there
  bool paced = false;
  bool trace = false;   // the weights after every step go to <result_file>.trace
  bool delays = false;  // a RoundDelay of each step goes to <result_file>.delays
  bool marked = false;
  double consensus = -1;  // at the end all agree within this; below 0: they do not
  uint64_t consensus_timeout_ms = 60000;
};

struct TrainerSummary {
  uint64_t steps = 0;
  uint64_t alone = 0;    // steps without a mesh
  uint64_t skipped = 0;  // steps that published nothing
  uint64_t due = 0;      // pulls that were due
  double wait_seconds_max = 0;
  std::array<uint64_t, WEIGHTMESH_OUTCOME_COUNT> pulls = {};
  bool drained = false;
  Agreement agreement;
  uint64_t late = 0;       // pulls since the attach, the agreement's included
  std::string blob = "-";  // that came with a join, without spaces

  void Add(const RoundResult& round) {
    alone += round.alone;
    due += round.segments;
    wait_seconds_max = std::max(wait_seconds_max, round.wait_seconds);
    for (size_t k = 0; k < pulls.size(); ++k) pulls[k] += round.pulls[k];
  }

  // One line, as TrainerResult reads it.
  void Write(const std::string& path) const {
    std::ofstream file(path);
    file << steps << " " << alone << " " << skipped << " " << due << " " << wait_seconds_max;
    for (uint64_t count : pulls) file << " " << count;
    file << " " << drained << " " << agreement.agreed << " " << agreement.rounds << " "
         << agreement.last_round << " " << agreement.consensus_distance << " " << late << " "
         << blob << "\n";
  }
};

// Whether step `step` (1-based) is wanted.
bool MayStep(const TrainerSettings& settings, uint64_t step);

// Equal slices, as the daemon lays them out; settings.segments of them.
std::vector<uint64_t> SegmentBounds(uint64_t parameters, uint64_t segments);

// The tensors of GossipModel over `weights`.
std::vector<Tensor> MakeModel(std::vector<float>* weights);

// Publishes a MarkedModel and checks what it mixes. The exit code. See marked_training.cc.
int TrainMarked(const TrainerSettings& settings);

}  // namespace weightmesh
