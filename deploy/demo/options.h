// What the demo is asked to do: the launcher's command line.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace weightmesh::demo {

// Replicas of one demo. The trainer shares a batch of 2,048 among them.
constexpr int kNodesMax = 64;

// This model's step takes a few milliseconds, less than processes that share two cores need to hear
// of each other: a pull has no round to overlap with. So the demo paces overlap and async by
// default.
constexpr uint64_t kOverlapPaceMs = 20;

// With --chaos somebody is struck every second: a round takes long enough to be hit. A lost peer is
// waited for less long than by default.
constexpr uint64_t kChaosPaceMs = 200;
constexpr uint64_t kChaosRoundDeadlineMs = 2000;
constexpr int kChaosNodesMin = 3;
// At the end nobody is struck for so long, and those who are away come back.
constexpr uint64_t kChaosQuietMs = 10'000;

// --kill K@ROUND: daemon `node` is killed when its replica reaches `round`.
struct Kill {
  int node = 0;
  uint64_t round = 0;
};

// --slow K:FACTOR: rounds of trainer `trainer` take at least `factor` times pace_ms.
struct Slow {
  int trainer = 0;
  double factor = 1;
};
constexpr double kSlowFactorMax = 100;

struct Options {
  int nodes = 4;
  uint64_t rounds = 280;
  uint64_t segments = 18;
  std::string schedule = "hash_cycle";
  std::string wire = "fp32";
  std::string mode = "lockstep";
  uint64_t seed = 1;
  // Least time of a round, in milliseconds. By default kChaosPaceMs with chaos; else 0 in lockstep,
  // otherwise kOverlapPaceMs.
  uint64_t pace_ms = 0;
  std::optional<Slow> slow;
  std::optional<Kill> kill;
  std::optional<uint64_t> chaos;  // the seed of who is struck when
  bool keep_running = false;
  bool json = false;
  bool baselines = true;

  std::string weightmeshd;
  std::string letter_trainer;
  std::string weightmeshctl;
  std::string data;      // empty: the trainer's own default
  std::string work_dir;  // empty: a fresh temporary folder
};

struct ParsedOptions {
  Options options;
  std::optional<int> exit_code;  // set: print `text` and end
  std::string text;
};

// Of one trainer. One that is slower takes fewer rounds in overlap and async, so that all end at
// about the same time; in lockstep the others wait for it.
uint64_t RoundsOf(const Options& options, int trainer);
uint64_t PaceMsOf(const Options& options, int trainer);

// How many rounds at the end are quiet with --chaos. REQUIRES: pace_ms > 0.
uint64_t QuietRounds(const Options& options);

// `programs` is the folder of weightmeshd, letter_trainer and weightmeshctl by default.
ParsedOptions ParseOptions(int argc, const char* const* argv, const std::string& programs);

}  // namespace weightmesh::demo
