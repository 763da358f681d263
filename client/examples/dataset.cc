// UCI Letter: reading, standardising, sharding, drawing batches.
#include "client/examples/dataset.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <numeric>
#include <stdexcept>
#include <utility>

namespace letter {
namespace {

constexpr int kFeatureMax = 15;

// Where each kind of split ends: rows [0, train_end) train, [train_end, score_end) are scored.
struct Bounds {
  size_t train_end;
  size_t score_end;
};

Bounds BoundsOf(ScoreOn score_on) {
  return score_on == ScoreOn::kTest ? Bounds{16000, kFileRows} : Bounds{14000, 16000};
}

// Appends a line "T,2,8,…" (letter, kFeatures integers of 0–15) to `rows`; false if it is not one
// (`rows` is then of no use).
bool ParseLine(const std::string& line, Rows* rows) {
  if (line.empty() || line[0] < 'A' || line[0] > 'Z') return false;
  const char* position = line.c_str() + 1;
  for (size_t feature = 0; feature < kFeatures; ++feature) {
    if (*position++ != ',') return false;
    char* end = nullptr;
    const long value = std::strtol(position, &end, 10);
    if (end == position || value < 0 || value > kFeatureMax) return false;
    rows->inputs.push_back(static_cast<float>(value));
    position = end;
  }
  if (*position != '\0' && *position != '\r') return false;
  rows->labels.push_back(line[0] - 'A');
  return true;
}

Rows ReadFile(const std::string& path) {
  static const std::string kCure =
      "; give the UCI file letter-recognition.data with --data (the weightmesh sources keep it in "
      "client/examples/data)";
  std::ifstream file(path);
  if (!file) {
    throw std::runtime_error("cannot open data file '" + path + "': " + std::strerror(errno) +
                             kCure);
  }
  Rows rows;
  std::string line;
  while (std::getline(file, line)) {
    if (!ParseLine(line, &rows)) {
      throw std::runtime_error("data file '" + path + "', line " + std::to_string(rows.size() + 1) +
                               ": expected a capital letter and 16 integers of 0-15" + kCure);
    }
  }
  if (rows.size() != kFileRows) {
    throw std::runtime_error("data file '" + path + "' has " + std::to_string(rows.size()) +
                             " rows instead of " + std::to_string(kFileRows) + kCure);
  }
  return rows;
}

Rows Slice(const Rows& rows, size_t begin, size_t end) {
  Rows slice;
  slice.inputs.assign(rows.inputs.begin() + static_cast<ptrdiff_t>(begin * kFeatures),
                      rows.inputs.begin() + static_cast<ptrdiff_t>(end * kFeatures));
  slice.labels.assign(rows.labels.begin() + static_cast<ptrdiff_t>(begin),
                      rows.labels.begin() + static_cast<ptrdiff_t>(end));
  return slice;
}

// Maps `feature` of all rows to mean 0 and variance 1 over the training rows.
void StandardiseFeature(size_t feature, Split* split) {
  double sum = 0;
  double sum_of_squares = 0;
  const std::vector<float>& inputs = split->train.inputs;
  for (size_t i = feature; i < inputs.size(); i += kFeatures) {
    sum += inputs[i];
    sum_of_squares += static_cast<double>(inputs[i]) * inputs[i];
  }
  const auto count = static_cast<double>(split->train.size());
  const double mean = sum / count;
  const double deviation = std::sqrt(sum_of_squares / count - mean * mean);
  for (Rows* rows : {&split->train, &split->score}) {
    for (size_t i = feature; i < rows->inputs.size(); i += kFeatures) {
      rows->inputs[i] = static_cast<float>((rows->inputs[i] - mean) / deviation);
    }
  }
}

}  // namespace

Split LoadLetter(const std::string& path, ScoreOn score_on) {
  const Rows rows = ReadFile(path);
  const Bounds bounds = BoundsOf(score_on);
  Split split{Slice(rows, 0, bounds.train_end), Slice(rows, bounds.train_end, bounds.score_end)};
  for (size_t feature = 0; feature < kFeatures; ++feature) StandardiseFeature(feature, &split);
  return split;
}

std::mt19937_64 SeededGenerator(uint64_t seed, const std::string& purpose, uint64_t index) {
  std::vector<uint32_t> words = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32),
                                 static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32)};
  words.insert(words.end(), purpose.begin(), purpose.end());
  std::seed_seq sequence(words.begin(), words.end());
  return std::mt19937_64(sequence);
}

void Shuffle(std::vector<size_t>& values, std::mt19937_64& generator) {
  for (size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[generator() % i]);
}

std::vector<size_t> ShardRows(size_t row_count, size_t replica, size_t replicas, uint64_t seed) {
  std::vector<size_t> all(row_count);
  std::iota(all.begin(), all.end(), size_t{0});
  std::mt19937_64 generator = SeededGenerator(seed, "shards");
  Shuffle(all, generator);
  std::vector<size_t> shard;
  for (size_t r = replica; r < row_count; r += replicas) shard.push_back(all[r]);
  return shard;
}

BatchSampler::BatchSampler(const Rows* rows, std::vector<size_t> shard, std::mt19937_64 generator)
    : rows_(rows), order_(std::move(shard)), next_(order_.size()), generator_(generator) {}

void BatchSampler::Next(size_t batch_size, Rows* batch) {
  batch->inputs.resize(batch_size * kFeatures);
  batch->labels.resize(batch_size);
  for (size_t i = 0; i < batch_size; ++i) {
    Refill();
    const size_t row = order_[next_++];
    std::copy_n(&rows_->inputs[row * kFeatures], kFeatures, &batch->inputs[i * kFeatures]);
    batch->labels[i] = rows_->labels[row];
  }
}

void BatchSampler::Skip(size_t row_count) {
  while (row_count > 0) {
    Refill();
    const size_t skipped = std::min(row_count, order_.size() - next_);
    next_ += skipped;
    row_count -= skipped;
  }
}

void BatchSampler::Refill() {
  if (next_ < order_.size()) return;
  Shuffle(order_, generator_);
  next_ = 0;
}

}  // namespace letter
