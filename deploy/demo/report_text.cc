// The report as tables for people.
#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "deploy/demo/report.h"

namespace weightmesh::demo {
namespace {

std::string Percent(double share) { return absl::StrFormat("%6.2f %%", 100 * share); }

// Replicas that count.
size_t SurvivorCount(const Report& report) {
  return static_cast<size_t>(std::count_if(report.replicas.begin(), report.replicas.end(), Counts));
}

// What has become of a replica; empty: nothing special.
const char* FateText(const ReplicaReport& replica) {
  if (replica.daemon_killed) return "   its daemon was killed";
  if (replica.away) return "   it was away at the end";
  return replica.alone ? "   it ended alone" : "";
}

// What is special about trainer k's speed; empty when nothing is.
std::string SlowText(const Options& options, int k) {
  if (!options.slow.has_value() || options.slow->trainer != k) return "";
  return absl::StrFormat("   %g times slower, %d rounds", options.slow->factor,
                         RoundsOf(options, k));
}

std::string AccuracyText(const Report& report) {
  const size_t survivors = SurvivorCount(report);
  const bool some_lost = survivors > 0 && survivors < report.replicas.size();
  std::string text = "Test accuracy, rows 16,001-20,000 of UCI Letter\n";
  for (size_t k = 0; k < report.replicas.size(); ++k) {
    const ReplicaReport& replica = report.replicas[k];
    absl::StrAppend(
        &text, absl::StrFormat("  replica %-12d %s%s%s\n", k,
                               replica.has_result ? Percent(replica.accuracy) : "     -  ",
                               FateText(replica), SlowText(report.options, static_cast<int>(k))));
  }
  absl::StrAppend(
      &text,
      absl::StrFormat("  %-20s %s\n", some_lost ? "mean of the others" : "mean of these",
                      Percent(MeanAccuracy(report))),
      absl::StrFormat("  %-20s %s\n", some_lost ? "their mean model" : "the mean model",
                      Percent(report.mean_model_accuracy)));
  if (report.all_reduce_accuracy.has_value()) {
    absl::StrAppend(&text, absl::StrFormat("  exact averaging      %s   all gradients averaged in "
                                           "each round\n",
                                           Percent(*report.all_reduce_accuracy)));
  }
  if (report.alone.has_value() && !report.alone->accuracies.empty()) {
    const auto [least, most] =
        std::minmax_element(report.alone->accuracies.begin(), report.alone->accuracies.end());
    absl::StrAppend(&text,
                    absl::StrFormat("  no communication     %s   mean of %d, each on its own shard "
                                    "(%.2f to %.2f)\n",
                                    Percent(report.alone->mean), report.alone->accuracies.size(),
                                    100 * *least, 100 * *most));
  }
  return text;
}

std::string MatrixText(const Report& report) {
  std::string text = "Segments pulled: who (row) from whom (column)\n  replica ";
  for (size_t k = 0; k < report.replicas.size(); ++k) absl::StrAppendFormat(&text, "%8d", k);
  absl::StrAppend(&text, "\n");
  for (size_t k = 0; k < report.replicas.size(); ++k) {
    absl::StrAppendFormat(&text, "  %7d ", k);
    for (size_t source = 0; source < report.replicas.size(); ++source) {
      const auto& from = report.replicas[k].arrived_from;
      if (source == k) {
        absl::StrAppendFormat(&text, "%8s", "-");
      } else {
        absl::StrAppendFormat(&text, "%8d", source < from.size() ? from[source] : 0);
      }
    }
    absl::StrAppend(&text, "\n");
  }
  return text;
}

using PullCounts = std::map<std::string, uint64_t>;  // by outcome

std::string CountsText(const PullCounts& counts) {
  uint64_t total = 0;
  for (const auto& [outcome, count] : counts) total += count;
  if (total == 0) return " none";
  std::string text;
  for (const auto& [outcome, count] : counts) {
    if (count == 0) continue;
    absl::StrAppendFormat(&text, " %s %d (%.2f %%)", outcome, count,
                          100.0 * static_cast<double>(count) / static_cast<double>(total));
  }
  return text;
}

// With --slow, those of the slow one and of the others apart.
std::string SlowPullsText(const Report& report) {
  if (!report.options.slow.has_value()) return "";
  PullCounts slow, others;
  for (size_t k = 0; k < report.replicas.size(); ++k) {
    const bool is_slow = report.options.slow->trainer == static_cast<int>(k);
    for (const auto& [outcome, count] : report.replicas[k].pulls) {
      (is_slow ? slow : others)[outcome] += count;
    }
  }
  return absl::StrCat("  of the slow replica:", CountsText(slow),
                      "\n  of the others:", CountsText(others), "\n");
}

std::string PullsText(const Report& report) {
  PullCounts sums;
  uint64_t redirects = 0, bytes = 0;
  for (const ReplicaReport& replica : report.replicas) {
    for (const auto& [outcome, count] : replica.pulls) sums[outcome] += count;
    redirects += replica.redirects;
    bytes += replica.bytes_received;
  }
  std::string text = absl::StrCat("Pulls:", CountsText(sums));
  absl::StrAppendFormat(&text, "; %d redirects; %.1f MB moved; trained %.1f s\n", redirects,
                        static_cast<double>(bytes) / 1e6, report.training_seconds);
  absl::StrAppend(&text, SlowPullsText(report));
  return text;
}

std::string ChaosText(const Report& report) {
  if (!report.chaos.has_value()) return "";
  const ChaosReport& chaos = *report.chaos;
  std::string text = absl::StrFormat(
      "Chaos (seed %d): killed %d trainers and %d daemons, drained %d daemons, stopped %d trainers "
      "and %d daemons\n  for a moment; %d joins, %d rejoins, %d away at the end\n",
      chaos.seed, chaos.trainers_killed, chaos.daemons_killed, chaos.drains, chaos.trainers_paused,
      chaos.daemons_paused, chaos.joins, chaos.rejoins, AwayCount(report));
  if (chaos.daemons_aborted > 0) {
    absl::StrAppendFormat(&text,
                          "  UCX aborted %d daemons, as it may before 1.14 when a peer dies "
                          "(openucx/ucx#8175)\n",
                          chaos.daemons_aborted);
  }
  return text;
}

// So that a shell takes it as one word.
std::string Quoted(const std::string& word) {
  if (word.find_first_of(" '\"$&;()<>|*?\\`\t\n") == std::string::npos) return word;
  std::string quoted = "'";
  for (char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

}  // namespace

bool Counts(const ReplicaReport& replica) { return !replica.daemon_killed && !replica.away; }

size_t AwayCount(const Report& report) {
  return static_cast<size_t>(
      std::count_if(report.replicas.begin(), report.replicas.end(),
                    [](const ReplicaReport& replica) { return replica.away; }));
}

double MeanAccuracy(const Report& report) {
  const bool all = SurvivorCount(report) == 0;
  double sum = 0;
  for (const ReplicaReport& replica : report.replicas) {
    if (all || Counts(replica)) sum += replica.accuracy;
  }
  const size_t count = all ? report.replicas.size() : SurvivorCount(report);
  return count == 0 ? 0 : sum / static_cast<double>(count);
}

std::vector<int> Deserted(const Report& report) {
  std::vector<int> deserted;
  for (size_t k = 0; k < report.replicas.size(); ++k) {
    const ReplicaReport& replica = report.replicas[k];
    if (replica.alone && Counts(replica)) deserted.push_back(static_cast<int>(k));
  }
  return deserted;
}

std::string CommandsText(const Report& report) {
  const auto alive = std::find_if(report.replicas.begin(), report.replicas.end(), Counts);
  if (alive == report.replicas.end()) return "";
  const std::string command = absl::StrCat("  ", Quoted(report.options.weightmeshctl), " --daemon ",
                                           alive->daemon_address, " ");
  std::string text;
  for (const char* what :
       {"topology", "stats", "links", "runs", "schedule --round 1 --segment 0"}) {
    absl::StrAppend(&text, command, what, "\n");
  }
  return text;
}

std::string ReportText(const Report& report) {
  std::string text =
      absl::StrCat("\n", AccuracyText(report), "\n", MatrixText(report), "\n", PullsText(report),
                   ChaosText(report), "Logs, results and weights: ", report.work_dir, "\n");
  if (report.options.keep_running) {
    absl::StrAppend(&text, "The daemons run on. Look further with\n", CommandsText(report));
  } else {
    absl::StrAppend(&text,
                    "To look further, add --keep-running: the daemons stay up for commands as\n",
                    CommandsText(report));
  }
  return text;
}

}  // namespace weightmesh::demo
