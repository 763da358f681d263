// Baselines: scores the final weights, and trains the same without the mesh to compare: exact
// averaging, and no communication. Used from the main thread only.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "deploy/demo/child_process.h"
#include "deploy/demo/options.h"
#include "deploy/demo/report.h"

namespace weightmesh::demo {

class Baselines {
 public:
  Baselines(const Options& options, const std::string& work_dir);

  // Starts the scoring of `weights_files`, and, if options.baselines, both comparisons.
  absl::Status Start(const std::vector<std::string>& weights_files);

  bool Running();

  // Fills in what they found. REQUIRES: not Running. Errors show the log.
  absl::Status Collect(Report* report);

 private:
  absl::Status StartTrainer(const std::string& name, std::vector<std::string> arguments,
                            const std::string& output_file);
  std::string File(const std::string& name) const { return work_dir_ + "/" + name; }

  const Options options_;
  const std::string work_dir_;
  std::vector<std::unique_ptr<ChildProcess>> children_;
};

}  // namespace weightmesh::demo
