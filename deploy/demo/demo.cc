// The order of a demo.
#include "deploy/demo/demo.h"

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "deploy/demo/baselines.h"
#include "deploy/demo/results.h"

namespace weightmesh::demo {
namespace {

constexpr absl::Duration kPollInterval = absl::Milliseconds(200);
// Nothing trained for so long: something hangs.
constexpr double kStallSecondsMax = 60;

double Seconds() {
  static const absl::Time start = absl::Now();
  return absl::ToDoubleSeconds(absl::Now() - start);
}

absl::Status Interrupted() { return absl::CancelledError("interrupted"); }

// `name` is "replica-3"; -1 when it is another's.
int ReplicaIndex(absl::string_view name, int replicas) {
  for (int k = 0; k < replicas; ++k) {
    if (name == absl::StrCat("replica-", k)) return k;
  }
  return -1;
}

void FillFromStats(const v1::ReplicaStats& stats, int replicas, ReplicaReport* report) {
  report->rounds_published = stats.rounds_published();
  report->redirects = stats.redirects();
  report->bytes_received = stats.bytes_received();
  for (const v1::OutcomeCount& pulls : stats.pulls()) {
    std::string name = v1::Outcome_Name(pulls.outcome());
    report->pulls[std::string(absl::StripPrefix(name, "OUTCOME_"))] = pulls.count();
  }
  for (const v1::SourceStats& source : stats.sources()) {
    const int index = ReplicaIndex(source.name(), replicas);
    if (index >= 0) report->arrived_from[static_cast<size_t>(index)] = source.arrived();
  }
}

std::vector<uint64_t> RoundsOfAll(const Options& options) {
  std::vector<uint64_t> rounds;
  for (int k = 0; k < options.nodes; ++k) rounds.push_back(RoundsOf(options, k));
  return rounds;
}

}  // namespace

Demo::Demo(const Options& options, const std::string& work_dir, Interrupt* interrupt,
           Screen* screen)
    : options_(options),
      work_dir_(work_dir),
      interrupt_(interrupt),
      screen_(screen),
      cluster_(options, work_dir, [interrupt] { return interrupt->came(); }),
      track_(RoundsOfAll(options), options.chaos.has_value()) {
  if (options_.chaos.has_value()) chaos_.emplace(options_, &cluster_, &track_, screen_);
}

absl::Status Demo::Run() {
  const std::string pace =
      options_.pace_ms == 0 ? "" : absl::StrCat(", at least ", options_.pace_ms, " ms a round");
  const std::string slow = options_.slow.has_value()
                               ? absl::StrCat(", of trainer ", options_.slow->trainer, " ",
                                              options_.slow->factor, " times that")
                               : "";
  const std::string chaos =
      options_.chaos.has_value() ? absl::StrCat(", chaos of seed ", *options_.chaos) : "";
  screen_->Say(absl::StrCat("Starting daemons and trainers, ", options_.nodes, " each (",
                            options_.schedule, ", ", options_.mode, ", wire ", options_.wire, ", ",
                            options_.segments, " segments", pace, slow, chaos, "); logs in ",
                            work_dir_));
  if (absl::Status status = cluster_.StartDaemons(); !status.ok()) return status;
  if (absl::Status status = cluster_.StartTrainers(); !status.ok()) return status;
  Watch watch(cluster_.addresses());
  if (absl::Status status = Train(&watch); !status.ok()) return status;
  absl::StatusOr<Report> report = MakeReport();
  if (!report.ok()) return report.status();
  if (!options_.keep_running) cluster_.EndDaemons();
  if (absl::Status status = Score(&*report); !status.ok()) return status;
  if (absl::Status status = Print(*report); !status.ok()) return status;
  if (options_.keep_running) {
    screen_->Say("Ctrl-C ends the daemons.");
    while (!interrupt_->Wait(kPollInterval)) {
      if (absl::Status status = cluster_.Check(); !status.ok()) return status;
    }
    cluster_.EndDaemons();
  }
  const std::vector<int> deserted = Deserted(*report);
  if (deserted.empty()) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("replica ", deserted[0], " lost its daemon, or never had it; see ", work_dir_,
                   "/daemon-", deserted[0], ".log and trainer-", deserted[0], ".log:\n",
                   LastLines(absl::StrCat(work_dir_, "/trainer-", deserted[0], ".log"), 12)));
}

absl::Status Demo::Train(Watch* watch) {
  steps_seen_at_ = Seconds();
  for (bool running = true; running;) {
    if (interrupt_->Wait(kPollInterval)) return Interrupted();
    // Asked before the statistics are, so that the last ones are complete.
    running = cluster_.TrainersRunning();
    if (absl::Status status = cluster_.Check(); !status.ok()) return status;
    const std::vector<std::optional<v1::Stats>> answers = watch->Poll(kRunId);
    track_.Update(Seconds(), answers);
    KillWhenDue();
    const double now = Seconds();
    if (chaos_.has_value()) {
      ShowEvents(answers, watch);
      if (absl::Status status = MakeChaos(watch, now); !status.ok()) return status;
      running = running || chaos_->IsPausing();
    }
    screen_->Show(track_.View(now), now, !running);
    if (absl::Status status = CheckProgress(now); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Demo::MakeChaos(Watch* watch, double now) {
  absl::Status status = chaos_->Look(now);
  for (int node : chaos_->TakeRestarted()) {
    watch->Follow(node, cluster_.addresses()[static_cast<size_t>(node)]);
  }
  return status;
}

void Demo::ShowEvents(const std::vector<std::optional<v1::Stats>>& answers, Watch* watch) {
  for (size_t k = 0; k < answers.size(); ++k) {
    if (answers[k].has_value()) names_.Learn(static_cast<int>(k), answers[k]->node_id());
  }
  if (!answers[0].has_value()) return;  // it would be asked in vain
  const std::vector<v1::Event> events = watch->NewEvents(0);
  if (!chaos_->begun()) return;
  for (const v1::Event& event : events) {
    screen_->Say(absl::StrCat("          daemon 0: ", names_.Apply(event.text())));
  }
}

void Demo::KillWhenDue() {
  if (killed_ || !options_.kill.has_value()) return;
  const Kill& kill = *options_.kill;
  const ReplicaRow& row = track_.replicas()[static_cast<size_t>(kill.node)].row();
  if (row.round < kill.round) return;
  killed_ = true;
  cluster_.KillDaemon(kill.node);
  track_.Mark(kill.node, "daemon killed");
  screen_->Say(absl::StrCat("Killed daemon ", kill.node, " at round ", row.round,
                            ": its trainer goes on alone, the others redirect."));
}

absl::Status Demo::CheckProgress(double now) {
  uint64_t steps = 0;
  for (const ReplicaTrack& replica : track_.replicas()) steps += replica.row().steps;
  if (steps != steps_seen_) {
    steps_seen_ = steps;
    steps_seen_at_ = now;
  }
  // A trainer whose daemon was killed goes on unseen.
  if (killed_ || now - steps_seen_at_ < kStallSecondsMax) return absl::OkStatus();
  std::string message =
      absl::StrCat("no replica went on for ", kStallSecondsMax, " s; the ends of the logs:\n");
  for (int k = 0; k < options_.nodes; ++k) {
    for (const char* what : {"trainer", "daemon"}) {
      const std::string log = absl::StrCat(work_dir_, "/", what, "-", k, ".log");
      absl::StrAppend(&message, "  ", log, "\n", LastLines(log, 3));
    }
  }
  return absl::DeadlineExceededError(message);
}

absl::StatusOr<Report> Demo::MakeReport() const {
  Report report;
  report.options = options_;
  report.work_dir = work_dir_;
  if (chaos_.has_value()) report.chaos = chaos_->counts();
  for (int k = 0; k < options_.nodes; ++k) {
    absl::StatusOr<ReplicaReport> replica = MakeReplicaReport(k);
    if (!replica.ok()) return replica.status();
    report.training_seconds = std::max(report.training_seconds, replica->seconds);
    report.replicas.push_back(*std::move(replica));
  }
  return report;
}

absl::StatusOr<ReplicaReport> Demo::MakeReplicaReport(int k) const {
  ReplicaReport replica;
  replica.away = chaos_.has_value() && chaos_->IsMissing(k);
  const absl::StatusOr<TrainerResult> result = ReadTrainerResult(cluster_.ResultFile(k));
  replica.has_result = result.ok();
  if (!result.ok() && !replica.away) return result.status();
  if (result.ok()) {
    replica.accuracy = result->accuracy;
    replica.final_loss = result->final_loss;
    replica.seconds = result->seconds;
    replica.alone = result->alone;
    replica.first_round = result->first_round;
    replica.rejoins = result->rejoins;
  }
  replica.daemon_killed = killed_ && options_.kill->node == k;
  replica.daemon_address = cluster_.addresses()[static_cast<size_t>(k)];
  replica.arrived_from.resize(static_cast<size_t>(options_.nodes));
  const auto& last = track_.replicas()[static_cast<size_t>(k)].last();
  if (last.has_value()) FillFromStats(*last, options_.nodes, &replica);
  return replica;
}

absl::Status Demo::Score(Report* report) {
  if (options_.baselines) {
    screen_->Say("Training the same with exact averaging, and with no communication ...");
  }
  std::vector<std::string> weights;
  for (int k = 0; k < options_.nodes; ++k) {
    if (Counts(report->replicas[static_cast<size_t>(k)]) || options_.nodes == 1) {
      weights.push_back(cluster_.WeightsFile(k));
    }
  }
  Baselines baselines(options_, work_dir_);
  if (absl::Status status = baselines.Start(weights); !status.ok()) return status;
  while (baselines.Running()) {
    if (interrupt_->Wait(kPollInterval)) return Interrupted();
  }
  return baselines.Collect(report);
}

absl::Status Demo::Print(const Report& report) const {
  if (!options_.json) {
    std::fputs(ReportText(report).c_str(), stdout);
  } else {
    const absl::StatusOr<std::string> text = ReportJson(report);
    if (!text.ok()) return text.status();
    std::fputs(text->c_str(), stdout);
  }
  std::fflush(stdout);
  return absl::OkStatus();
}

}  // namespace weightmesh::demo
