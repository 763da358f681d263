// Reads what letter_trainer wrote: its result and evaluation files, JSON. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace weightmesh::demo {

// Of one replica, by --method mesh or allreduce.
struct TrainerResult {
  double accuracy = 0;
  double final_loss = 0;  // 0 when it was not finite
  double seconds = 0;
  // Of --method mesh only:
  bool alone = false;  // at the end
  bool drained = false;
  uint64_t first_round = 1;
  uint64_t rejoins = 0;
};

// Of --evaluate, and of --method none for all replicas.
struct ModelScores {
  std::vector<double> accuracies;
  double mean_model = 0;
};

// An error names the file, and the key that it lacks.
absl::StatusOr<TrainerResult> ReadTrainerResult(const std::string& file);
absl::StatusOr<ModelScores> ReadEvaluation(const std::string& file);
absl::StatusOr<ModelScores> ReadAloneResult(const std::string& file);

}  // namespace weightmesh::demo
