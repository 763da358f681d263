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
  bool alone = false;          // at the end: it lost its daemon for good, or never had it
  bool daemon_killed = false;  // on purpose, for good
  bool away = false;           // at the end, with chaos: its result, if it has one, is of before
  bool has_result = true;      // accuracy, final_loss and seconds are known
  uint64_t first_round = 1;    // of its last life: more than 1 where it joined
  uint64_t rejoins = 0;        // of its last life, after deaths of its daemon
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

// What was done to the mesh, and what came of it.
struct ChaosReport {
  uint64_t seed = 0;
  uint64_t trainers_killed = 0;
  uint64_t daemons_killed = 0;
  uint64_t drains = 0;
  uint64_t trainers_paused = 0;
  uint64_t daemons_paused = 0;
  uint64_t daemons_aborted = 0;  // by UCX before 1.14, see Cluster::AbortedByUcx
  uint64_t joins = 0;            // trainers that were started again and took part
  uint64_t rejoins = 0;          // trainers that took part again when their daemon was back
};

struct Report {
  Options options;
  std::optional<ChaosReport> chaos;
  std::vector<ReplicaReport> replicas;
  double mean_model_accuracy = 0;  // of the model that is the mean of those of MeanAccuracy
  std::optional<double> all_reduce_accuracy;
  std::optional<AloneReport> alone;
  double training_seconds = 0;  // of the slowest replica
  std::string work_dir;         // where the logs are
};

// Whether its model counts at the end: its daemon was not killed for good, and it is not away.
bool Counts(const ReplicaReport& replica);

size_t AwayCount(const Report& report);

// Mean of the own accuracies of the replicas that count; of all, if none does.
double MeanAccuracy(const Report& report);

// Replicas that ended alone although nobody had taken their daemon: then the demo has failed.
std::vector<int> Deserted(const Report& report);

// Final tables, ending with a line break.
std::string ReportText(const Report& report);

// One document, ending with a line break. InvalidArgument when a path in it is not UTF-8.
absl::StatusOr<std::string> ReportJson(const Report& report);

// The commands by which one looks further, while the daemons run.
std::string CommandsText(const Report& report);

}  // namespace weightmesh::demo
