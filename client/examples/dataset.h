// UCI Letter: reading the file, splitting it, sharding it over replicas, drawing batches.
// Everything random is a function of seeds and gives the same rows on every machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace letter {

inline constexpr size_t kFeatures = 16;
inline constexpr size_t kClasses = 26;
inline constexpr size_t kFileRows = 20000;

// Rows of the data set, or a batch of them.
struct Rows {
  std::vector<float> inputs;  // size() × kFeatures, row-major, standardised
  std::vector<int> labels;    // 0 for A … 25 for Z
  size_t size() const { return labels.size(); }
};

struct Split {
  Rows train;
  Rows score;
};

enum class ScoreOn {
  kTest,        // train on rows 1–16,000, score on 16,001–20,000
  kValidation,  // train on rows 1–14,000, score on 14,001–16,000: to choose hyper-parameters
};

// Reads `path` and standardises every feature to mean 0 and variance 1 over the training rows.
// Throws std::runtime_error naming the file, the line and the cure.
Split LoadLetter(const std::string& path, ScoreOn score_on);

// A generator for one use of a run's seed; `purpose` keeps the uses apart.
std::mt19937_64 SeededGenerator(uint64_t seed, const std::string& purpose, uint64_t index = 0);

// Puts `values` in random order (Fisher–Yates; std::shuffle differs between standard libraries).
void Shuffle(std::vector<size_t>& values, std::mt19937_64& generator);

// The rows of replica `replica` of `replicas`: after one seeded shuffle of all `row_count` rows,
// every row r with r % replicas == replica. The shards are disjoint and cover all rows.
std::vector<size_t> ShardRows(size_t row_count, size_t replica, size_t replicas, uint64_t seed);

// Draws batches from a shard without replacement, in a new random order each time it is used up; a
// batch may reach over that end.
class BatchSampler {
 public:
  // REQUIRES: `shard` is not empty and indexes `rows`, which outlives the sampler.
  BatchSampler(const Rows* rows, std::vector<size_t> shard, std::mt19937_64 generator);

  // Replaces `batch` by the next `batch_size` rows.
  void Next(size_t batch_size, Rows* batch);

  // Passes over `row_count` rows.
  void Skip(size_t row_count);

 private:
  // Begins a new order where the last is used up.
  void Refill();

  const Rows* rows_;
  std::vector<size_t> order_;
  size_t next_;
  std::mt19937_64 generator_;
};

}  // namespace letter
