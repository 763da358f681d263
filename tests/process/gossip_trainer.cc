// gossip_trainer: a trainer for process tests, through the public C++ face only.
//
// Each step it learns something seeded, exchanges, and goes on; it writes its weights, and a line
// of what happened, at the end. Paced, it takes a byte from standard input before each step (end of
// file: stop) and writes one after it.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/process/gossip_model.h"
#include "weightmesh/weightmesh.hpp"

namespace {

struct Settings {
  weightmesh::Options mesh;
  std::string result_file;
  uint64_t parameters = 2000;
  uint64_t replica = 0;
  uint64_t steps = 0;  // 0, or paced: until standard input ends
  uint64_t update_seed = 1;
  uint64_t stall_ms_max = 0;
  uint64_t step_ms = 0;
  bool paced = false;
};

struct Summary {
  uint64_t steps = 0;
  uint64_t alone = 0;    // steps without a mesh
  uint64_t skipped = 0;  // steps that published nothing
  double wait_seconds_max = 0;
  std::array<uint64_t, WEIGHTMESH_OUTCOME_COUNT> pulls = {};

  void Add(const weightmesh::RoundResult& round) {
    alone += round.alone;
    wait_seconds_max = std::max(wait_seconds_max, round.wait_seconds);
    for (size_t k = 0; k < pulls.size(); ++k) pulls[k] += round.pulls[k];
  }
};

void SleepMs(uint64_t ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

// Whether another step is wanted.
bool MayStep(const Settings& settings, uint64_t step) {
  if (settings.paced) {
    char byte = 0;
    return read(STDIN_FILENO, &byte, 1) == 1;
  }
  if (settings.steps > 0) return step <= settings.steps;
  fd_set readable;
  FD_ZERO(&readable);
  FD_SET(STDIN_FILENO, &readable);
  timeval at_once{};
  return select(STDIN_FILENO + 1, &readable, nullptr, nullptr, &at_once) == 0;
}

void Write(const Settings& settings, const Summary& summary, const std::vector<float>& weights) {
  std::ofstream(settings.result_file + ".weights", std::ios::binary)
      .write(reinterpret_cast<const char*>(weights.data()),
             static_cast<std::streamsize>(weights.size() * sizeof(float)));
  std::ofstream file(settings.result_file);
  file << summary.steps << " " << summary.alone << " " << summary.skipped << " "
       << summary.wait_seconds_max;
  for (uint64_t count : summary.pulls) file << " " << count;
  file << "\n";
}

int Train(const Settings& settings) {
  std::vector<float> weights =
      weightmesh::InitialWeights(settings.update_seed, settings.parameters);
  std::vector<weightmesh::Tensor> model;
  uint64_t offset = 0;
  for (uint64_t size : weightmesh::TensorSizes(settings.parameters)) {
    model.push_back({"tensor" + std::to_string(model.size()), {size}, weights.data() + offset});
    offset += size;
  }
  weightmesh::Replica replica(settings.mesh, model);
  const bool overlap = settings.mesh.mode == WEIGHTMESH_OVERLAP;
  Summary summary;
  bool to_mix = false;  // overlap: the last step's pulls
  for (uint64_t step = 1; MayStep(settings, step); ++step) {
    weightmesh::Learn(settings.update_seed, settings.replica, step, &weights);
    SleepMs(settings.step_ms);
    if (settings.stall_ms_max > 0) {
      SleepMs(weightmesh::Scramble(settings.replica, step, 77) % settings.stall_ms_max);
    }
    const weightmesh::RoundResult round = overlap ? replica.Step(model) : replica.Exchange(model);
    summary.Add(round);
    summary.skipped += !round.alone && !round.published;
    to_mix = overlap && round.published;
    ++summary.steps;
    if (settings.paced && write(STDOUT_FILENO, "s", 1) != 1) break;
  }
  if (to_mix) summary.Add(replica.Mix(model));
  replica.Leave();
  Write(settings, summary, weights);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("A trainer for process tests.");
  Settings settings;
  app.add_option("--socket", settings.mesh.socket_path)->required();
  app.add_option("--run-id", settings.mesh.run_id)->required();
  app.add_option("--name", settings.mesh.replica_name)->required();
  app.add_option("--result", settings.result_file)->required();
  app.add_option("--replica", settings.replica);
  app.add_option("--replicas", settings.mesh.replicas_min);
  app.add_option("--segments", settings.mesh.segments);
  app.add_option("--schedule", settings.mesh.schedule);
  app.add_option("--wire", settings.mesh.wire);
  app.add_option("--mode", settings.mesh.mode);
  app.add_option("--seed", settings.mesh.seed);
  app.add_option("--deadline-ms", settings.mesh.round_deadline_ms);
  app.add_option("--start-timeout-ms", settings.mesh.start_timeout_ms);
  app.add_option("--parameters", settings.parameters);
  app.add_option("--steps", settings.steps);
  app.add_option("--update-seed", settings.update_seed);
  app.add_option("--stall-ms", settings.stall_ms_max);
  app.add_option("--step-ms", settings.step_ms);
  app.add_flag("--paced", settings.paced);
  CLI11_PARSE(app, argc, argv);
  try {
    return Train(settings);
  } catch (const weightmesh::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 10 + error.status();
  }
}
