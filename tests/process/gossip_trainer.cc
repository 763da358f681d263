// gossip_trainer: a trainer for process tests, through the public C++ face only.
//
// Each step it learns something seeded, exchanges, and goes on; it writes its weights, and a line
// of what happened, at the end. Paced, it takes a byte from standard input before each step (end of
// file: stop) and writes one after it. Marked, it learns nothing: see marked_training.cc.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "tests/process/gossip_model.h"
#include "tests/process/round_delay.h"
#include "tests/process/trainer_settings.h"
#include "weightmesh/weightmesh.hpp"

namespace weightmesh {
namespace {

using Clock = std::chrono::steady_clock;

void SleepMs(uint64_t ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

void WriteWeights(const std::vector<float>& weights, std::ofstream* file) {
  file->write(reinterpret_cast<const char*>(weights.data()),
              static_cast<std::streamsize>(weights.size() * sizeof(float)));
}

// Of one call. Written at once: the trainer may be killed.
void WriteDelay(const RoundResult& round, Clock::time_point began, std::ofstream* file) {
  RoundDelay row{};
  row.ended_at_us = std::chrono::duration_cast<std::chrono::microseconds>(
                        std::chrono::system_clock::now().time_since_epoch())
                        .count();
  row.seconds = std::chrono::duration<double>(Clock::now() - began).count();
  row.round = round.round;
  row.due = round.segments;
  row.arrived = round.pulls[WEIGHTMESH_ARRIVED];
  row.alone = round.alone;
  row.rejoined = round.rejoined;
  file->write(reinterpret_cast<const char*>(&row), sizeof row).flush();
}

int Train(const TrainerSettings& settings) {
  std::vector<float> weights =
      settings.own_start
          ? OwnInitialWeights(settings.update_seed, settings.replica, settings.parameters)
          : InitialWeights(settings.update_seed, settings.parameters);
  const std::vector<Tensor> model = MakeModel(&weights);
  if (settings.join) {
    std::fill(weights.begin(), weights.end(), std::numeric_limits<float>::quiet_NaN());
  }
  Replica replica =
      settings.join ? Replica::Join(settings.mesh, model) : Replica(settings.mesh, model);
  const bool lockstep = settings.mesh.mode == WEIGHTMESH_LOCKSTEP;
  TrainerSummary summary;
  if (!replica.blob().empty()) summary.blob = replica.blob();
  std::ofstream trace;
  if (settings.trace) trace.open(settings.result_file + ".trace", std::ios::binary);
  std::ofstream delays;
  if (settings.delays) {
    delays.open(settings.result_file + ".delays", std::ios::binary | std::ios::app);
  }
  bool to_mix = false;  // overlap, async: the last step's pulls
  for (uint64_t step = 1; MayStep(settings, step); ++step) {
    if (settings.learning > 0) {
      Learn(settings.update_seed, settings.replica, step, &weights,
            static_cast<float>(settings.learning));
    }
    if (step == settings.poison_step) {
      weights.front() = std::numeric_limits<float>::quiet_NaN();
      weights.back() = std::numeric_limits<float>::infinity();
    }
    SleepMs(settings.step_ms);
    if (settings.stall_ms_max > 0) {
      SleepMs(Scramble(settings.replica, step, 77) % settings.stall_ms_max);
    }
    const Clock::time_point began = Clock::now();
    const RoundResult round = lockstep ? replica.Exchange(model) : replica.Step(model);
    if (settings.delays) WriteDelay(round, began, &delays);
    summary.Add(round);
    summary.skipped += !round.alone && !round.published;
    to_mix = !lockstep && round.published;
    ++summary.steps;
    if (settings.trace) WriteWeights(weights, &trace);
    replica.SetBlob("step-" + std::to_string(step));
    if (settings.paced && write(STDOUT_FILENO, "s", 1) != 1) break;
    if (replica.drained()) {
      summary.drained = true;
      break;
    }
  }
  if (settings.consensus >= 0 && !summary.drained) {
    summary.agreement = replica.Consensus(model, settings.consensus, settings.consensus_timeout_ms);
  } else if (to_mix) {
    summary.Add(replica.Mix(model));
  }
  summary.late = replica.Stats().pulls[WEIGHTMESH_LATE];
  replica.Leave();
  std::ofstream file(settings.result_file + ".weights", std::ios::binary);
  WriteWeights(weights, &file);
  summary.Write(settings.result_file);
  return 0;
}

}  // namespace

bool MayStep(const TrainerSettings& settings, uint64_t step) {
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

std::vector<uint64_t> SegmentBounds(uint64_t parameters, uint64_t segments) {
  std::vector<uint64_t> bounds(segments + 1);
  for (uint64_t k = 0; k <= segments; ++k) bounds[k] = parameters * k / segments;
  return bounds;
}

std::vector<Tensor> MakeModel(std::vector<float>* weights) {
  std::vector<Tensor> model;
  uint64_t offset = 0;
  for (uint64_t size : TensorSizes(weights->size())) {
    model.push_back({"tensor" + std::to_string(model.size()), {size}, weights->data() + offset});
    offset += size;
  }
  return model;
}

}  // namespace weightmesh

int main(int argc, char** argv) {
  CLI::App app("A trainer for process tests.");
  weightmesh::TrainerSettings settings;
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
  app.add_option("--staleness-rounds-max", settings.mesh.staleness_rounds_max);
  app.add_option("--seed", settings.mesh.seed);
  app.add_option("--alpha", settings.mesh.alpha);
  app.add_option("--slots", settings.mesh.slots);
  app.add_option("--deadline-ms", settings.mesh.round_deadline_ms);
  app.add_option("--start-timeout-ms", settings.mesh.start_timeout_ms);
  app.add_option("--parameters", settings.parameters);
  app.add_option("--steps", settings.steps);
  app.add_option("--update-seed", settings.update_seed);
  app.add_option("--learning", settings.learning);
  app.add_flag("--own-start", settings.own_start);
  app.add_option("--poison-step", settings.poison_step);
  app.add_option("--stall-ms", settings.stall_ms_max);
  app.add_option("--step-ms", settings.step_ms);
  app.add_flag("--join", settings.join);
  app.add_flag("--paced", settings.paced);
  app.add_flag("--trace", settings.trace);
  app.add_flag("--delays", settings.delays);
  app.add_flag("--marked", settings.marked);
  app.add_option("--consensus", settings.consensus);
  app.add_option("--consensus-timeout-ms", settings.consensus_timeout_ms);
  CLI11_PARSE(app, argc, argv);
  settings.mesh.allow_different_init = settings.own_start || settings.marked;
  try {
    return settings.marked ? weightmesh::TrainMarked(settings) : weightmesh::Train(settings);
  } catch (const weightmesh::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 10 + error.status();
  }
}
