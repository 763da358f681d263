// What the demo is asked to do: the launcher's command line.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace weightmesh::demo {

// Replicas of one demo. The trainer shares a batch of 2,048 among them.
constexpr int kNodesMax = 64;

// This model's step takes a few milliseconds, less than processes that share two cores need to hear
// of each other: a pull has no round to overlap with. So the demo paces overlap by default.
constexpr uint64_t kOverlapPaceMs = 20;

// --kill K@ROUND: daemon `node` is killed when its replica reaches `round`.
struct Kill {
  int node = 0;
  uint64_t round = 0;
};

struct Options {
  int nodes = 4;
  uint64_t rounds = 280;
  uint64_t segments = 18;
  std::string schedule = "hash_cycle";
  std::string wire = "fp32";
  std::string mode = "lockstep";
  uint64_t seed = 1;
  // Least time of a round, in milliseconds. By default 0 in lockstep, kOverlapPaceMs in overlap.
  uint64_t pace_ms = 0;
  std::optional<Kill> kill;
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

// `programs` is the folder of weightmeshd, letter_trainer and weightmeshctl by default.
ParsedOptions ParseOptions(int argc, const char* const* argv, const std::string& programs);

}  // namespace weightmesh::demo
