// Striking, and bringing back.
#include "deploy/demo/chaos.h"

#include <signal.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace weightmesh::demo {
namespace {

// All have trained for so many rounds before the first strike.
constexpr uint64_t kRoundsBefore = 5;
constexpr double kStrikeSeconds = 1;
// Who does not leave, or does not take part again, for so long hangs.
constexpr double kPatienceSeconds = 90;

}  // namespace

Chaos::Chaos(const Options& options, Cluster* cluster, MeshTrack* track, Screen* screen)
    : quiet_from_(options.rounds - std::min(options.rounds, QuietRounds(options))),
      cluster_(cluster),
      track_(track),
      screen_(screen),
      plan_(*options.chaos, options.nodes),
      nodes_(static_cast<size_t>(options.nodes)) {
  counts_.seed = *options.chaos;
}

absl::Status Chaos::Look(double now) {
  for (int k = 0; k < static_cast<int>(nodes_.size()); ++k) {
    if (absl::Status status = Advance(k, now); !status.ok()) return status;
  }
  if (!begun_) {
    begun_ = track_->View(now).round >= kRoundsBefore;
    begun_at_ = strike_due_ = now;
    return absl::OkStatus();
  }
  if (track_->newest_round() >= quiet_from_) return BringBackAll(now);
  if (now < strike_due_) return absl::OkStatus();
  strike_due_ = std::max(strike_due_ + kStrikeSeconds, now);
  std::vector<NodeState> states;
  for (const Node& node : nodes_) {
    // Where a daemon still starts, there may be nobody to stop yet.
    states.push_back({node.state.presence, node.state.paused || node.daemon_starts});
  }
  const std::optional<Strike> strike = plan_.Next(states);
  if (!strike.has_value()) return absl::OkStatus();
  if (strike->blow == Blow::kBringBack) return BringBack(strike->node, now);
  Do(*strike, now);
  return absl::OkStatus();
}

absl::Status Chaos::BringBackAll(double now) {
  for (int k = 0; k < static_cast<int>(nodes_.size()); ++k) {
    if (nodes_[static_cast<size_t>(k)].state.presence != Presence::kAway) continue;
    if (cluster_->HasFinished(k) || cluster_->CameTooLate(k)) continue;
    if (absl::Status status = BringBack(k, now); !status.ok()) return status;
  }
  return absl::OkStatus();
}

std::vector<int> Chaos::TakeRestarted() { return std::exchange(restarted_, {}); }

bool Chaos::IsPausing() const {
  return std::any_of(nodes_.begin(), nodes_.end(),
                     [](const Node& node) { return node.state.paused; });
}

void Chaos::Do(const Strike& strike, double now) {
  const int k = strike.node;
  Node& node = nodes_[static_cast<size_t>(k)];
  switch (strike.blow) {
    case Blow::kKillTrainer:
      ++counts_.trainers_killed;
      Tell(now, absl::StrCat("trainer ", k, " killed"));
      cluster_->KillTrainer(k);
      track_->Mark(k, "trainer killed");
      node.state.presence = Presence::kAway;
      return;
    case Blow::kKillDaemon:
      ++counts_.daemons_killed;
      Tell(now, absl::StrCat("daemon ", k, " killed; its trainer goes on alone"));
      cluster_->KillDaemon(k);
      track_->Mark(k, "daemon killed");
      node.state.presence = Presence::kAway;
      return;
    case Blow::kDrain:
      ++counts_.drains;
      Tell(now, absl::StrCat("daemon ", k, " drains"));
      cluster_->DrainDaemon(k);
      track_->Mark(k, "draining");
      node.state.presence = Presence::kLeaving;
      node.since = now;
      return;
    case Blow::kPauseTrainer:
      return Pause(k, /*daemon=*/false, strike.pause_seconds, now);
    case Blow::kPauseDaemon:
      return Pause(k, /*daemon=*/true, strike.pause_seconds, now);
    case Blow::kBringBack:
      return;
  }
}

void Chaos::Pause(int k, bool daemon, double seconds, double now) {
  Node& node = nodes_[static_cast<size_t>(k)];
  const std::string who = daemon ? "daemon" : "trainer";
  ++(daemon ? counts_.daemons_paused : counts_.trainers_paused);
  Tell(now, absl::StrFormat("%s %d stopped for %.1f s", who, k, seconds));
  if (daemon) {
    cluster_->SignalDaemon(k, SIGSTOP);
  } else {
    cluster_->SignalTrainer(k, SIGSTOP);
  }
  node.daemon_stopped = daemon;
  node.pause_ends = now + seconds;
  node.state.paused = true;
  if (node.state.presence == Presence::kHere) track_->Mark(k, who + " stopped");
}

absl::Status Chaos::BringBack(int k, double now) {
  Node& node = nodes_[static_cast<size_t>(k)];
  node.daemon_starts = !cluster_->DaemonRunning(k);
  node.trainer_joins = !cluster_->TrainerRunning(k);
  Tell(now, absl::StrCat(!node.daemon_starts  ? absl::StrCat("trainer ", k)
                         : node.trainer_joins ? absl::StrCat("daemon ", k, " and its trainer")
                                              : absl::StrCat("daemon ", k),
                         " started again"));
  track_->Mark(k, node.daemon_starts ? "daemon starts" : "joining");
  node.state.presence = Presence::kComing;
  node.since = now;
  return node.daemon_starts ? cluster_->BeginDaemon(k) : cluster_->JoinTrainer(k);
}

absl::Status Chaos::Advance(int k, double now) {
  if (nodes_[static_cast<size_t>(k)].state.presence != Presence::kAway &&
      cluster_->AbortedByUcx(k) && !cluster_->HasFinished(k)) {
    LoseDaemon(k, now);
    return absl::OkStatus();
  }
  if (nodes_[static_cast<size_t>(k)].state.paused) {
    EndPause(k, now);
    return absl::OkStatus();
  }
  switch (nodes_[static_cast<size_t>(k)].state.presence) {
    case Presence::kLeaving:
      return EndDrain(k, now);
    case Presence::kComing:
      return Return(k, now);
    case Presence::kHere:
    case Presence::kAway:
      break;
  }
  return absl::OkStatus();
}

void Chaos::EndPause(int k, double now) {
  Node& node = nodes_[static_cast<size_t>(k)];
  if (now < node.pause_ends) return;
  if (node.daemon_stopped) {
    cluster_->SignalDaemon(k, SIGCONT);
  } else {
    cluster_->SignalTrainer(k, SIGCONT);
  }
  node.state.paused = false;
  if (node.state.presence == Presence::kHere) track_->Mark(k, "");
}

void Chaos::LoseDaemon(int k, double now) {
  Node& node = nodes_[static_cast<size_t>(k)];
  ++counts_.daemons_aborted;
  Tell(now, absl::StrCat("daemon ", k, " was aborted by UCX (openucx/ucx#8175)"));
  if (node.state.paused) cluster_->SignalTrainer(k, SIGCONT);
  // A trainer that was about to join may not look for a daemon any more.
  if (node.state.presence == Presence::kComing && node.trainer_joins) cluster_->KillTrainer(k);
  node.daemon_starts = false;
  node.state = {Presence::kAway, false};
  track_->Mark(k, "daemon aborted");
}

absl::Status Chaos::EndDrain(int k, double now) {
  Node& node = nodes_[static_cast<size_t>(k)];
  if (cluster_->DaemonRunning(k) || cluster_->TrainerRunning(k)) {
    if (now < node.since + kPatienceSeconds) return absl::OkStatus();
    return cluster_->Failure(k, absl::StrCat("did not leave within ", kPatienceSeconds, " s"));
  }
  Tell(now, absl::StrCat("daemon ", k, " has drained, and its trainer has left"));
  track_->Mark(k, "drained");
  node.state.presence = Presence::kAway;
  return absl::OkStatus();
}

absl::Status Chaos::Return(int k, double now) {
  Node& node = nodes_[static_cast<size_t>(k)];
  if (node.daemon_starts) {
    const absl::StatusOr<bool> ready = cluster_->DaemonReady(k);
    if (!ready.ok()) return ready.status();
    if (!*ready) return absl::OkStatus();
    node.daemon_starts = false;
    restarted_.push_back(k);
    track_->Mark(k, "joining");
    return node.trainer_joins ? cluster_->JoinTrainer(k) : absl::OkStatus();
  }
  const bool active = track_->replicas()[static_cast<size_t>(k)].active();
  if (!active && cluster_->TrainerRunning(k)) {
    if (now < node.since + kPatienceSeconds) return absl::OkStatus();
    return cluster_->Failure(
        k, absl::StrCat("was brought back, and took no part within ", kPatienceSeconds, " s"));
  }
  // One that has ended already has taken part, unless there was nothing left to take part in.
  if (cluster_->CameTooLate(k) || (!active && !node.trainer_joins)) {
    Tell(now, absl::StrCat("replica ", k, " came too late: the run is over"));
    track_->Mark(k, "too late");
    node.state.presence = Presence::kAway;
    return absl::OkStatus();
  }
  ++(node.trainer_joins ? counts_.joins : counts_.rejoins);
  Tell(now, absl::StrFormat("replica %d takes part again, after %.1f s", k, now - node.since));
  track_->Mark(k, "");
  node.state.presence = Presence::kHere;
  return absl::OkStatus();
}

void Chaos::Tell(double now, const std::string& what) {
  screen_->Say(
      absl::StrFormat("%6.1f s, round %d: %s", now - begun_at_, track_->newest_round(), what));
}

}  // namespace weightmesh::demo
