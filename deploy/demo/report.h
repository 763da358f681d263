// Report: what the demo found, and how it is told, as text or as JSON. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "deploy/demo/options.h"

namespace weightmesh::demo {

struct ReplicaReport {
  double accuracy = 0;  // share of the test rows, of this replica's own final weights
  double final_loss = 0;
  double seconds = 0;          // of training
  bool alone = false;          // it lost, or never had, its daemon
  bool daemon_killed = false;  // on purpose
  // From the daemon's statistics, the last there were:
  uint64_t rounds_published = 0;
  uint64_t redirects = 0;
  uint64_t bytes_received = 0;
  std::map<std::string, uint64_t> pulls;  // by outcome: "ARRIVED", …
  std::vector<uint64_t> arrived_from;     // by replica
  std::string daemon_address;
};

// The same training with no communication, each replica by itself.
struct AloneReport {
  std::vector<double> accuracies;
  double mean = 0;
  double mean_model = 0;
};

struct Report {
  Options options;
  std::vector<ReplicaReport> replicas;
  double mean_model_accuracy = 0;  // of the model that is the mean of those of MeanAccuracy
  std::optional<double> all_reduce_accuracy;
  std::optional<AloneReport> alone;
  double training_seconds = 0;  // of the slowest replica
  std::string work_dir;         // where the logs are
};

// Mean of the own accuracies of the replicas whose daemon was not killed; of all, if each was.
double MeanAccuracy(const Report& report);

// Replicas that trained alone although nobody killed their daemon: then the demo has failed.
std::vector<int> Deserted(const Report& report);

// Final tables, ending with a line break.
std::string ReportText(const Report& report);

// One document, ending with a line break. InvalidArgument when a path in it is not UTF-8.
absl::StatusOr<std::string> ReportJson(const Report& report);

// The commands by which one looks further, while the daemons run.
std::string CommandsText(const Report& report);

}  // namespace weightmesh::demo
