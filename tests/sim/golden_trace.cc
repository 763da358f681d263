// Words for events.
#include "tests/sim/golden_trace.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace weightmesh::sim {
namespace {

const char* StateName(TrainerState state) {
  switch (state) {
    case TrainerState::kNew:
      return "is new";
    case TrainerState::kAttaching:
      return "attaches";
    case TrainerState::kJoining:
      return "catches up";
    case TrainerState::kTraining:
      return "trains";
    case TrainerState::kLeaving:
      return "leaves";
    case TrainerState::kLeft:
      return "has left";
    case TrainerState::kRefused:
      return "is refused";
    case TrainerState::kAlone:
      return "is alone: its daemon is gone";
    case TrainerState::kDead:
      return "is dead";
  }
  return "is lost";
}

std::string Seconds(absl::Time time) {
  return absl::StrFormat("%.3f", absl::ToDoubleSeconds(time - absl::UnixEpoch()));
}

}  // namespace

GoldenTrace::GoldenTrace(Simulator* simulator) : simulator_(simulator) { simulator->Watch(this); }

void GoldenTrace::OnStep(absl::Time now, uint32_t node, const Event&,
                         absl::Span<const Action> actions) {
  SeeTrainers(now);
  for (const Action& action : actions) {
    if (const auto* log = std::get_if<Log>(&action)) {
      if (log->level != LogLevel::kDebug) Add(now, absl::StrCat("node", node), Named(log->text));
    } else if (const auto* start = std::get_if<StartPull>(&action)) {
      const PullRequest& request = start->request;
      const auto [asked, first] =
          asked_.try_emplace({node, start->attach, request.round, request.segment}, request.source);
      if (!first) ++redirects_[request.round];
    } else if (std::holds_alternative<Drained>(action)) {
      Add(now, absl::StrCat("node", node), "is drained");
    }
  }
}

void GoldenTrace::OnNode(absl::Time now, uint32_t node, ProcessChange change) {
  constexpr const char* kWords[] = {"starts", "ends", "stands still", "goes on",
                                    "finds its clock ahead"};
  Add(now, absl::StrCat("node", node), kWords[static_cast<size_t>(change)]);
}

void GoldenTrace::OnTrainer(absl::Time now, uint32_t, AttachId, ProcessChange) { SeeTrainers(now); }

void GoldenTrace::SeeTrainers(absl::Time now) {
  states_.resize(simulator_->trainers(), TrainerState::kNew);
  for (uint32_t k = 0; k < simulator_->trainers(); ++k) {
    const SimTrainer& trainer = simulator_->trainer(k);
    if (trainer.state() == states_[k]) continue;
    states_[k] = trainer.state();
    std::string what = StateName(trainer.state());
    if (trainer.state() == TrainerState::kRefused) {
      absl::StrAppend(&what, ": ", Named(trainer.refusal_message()));
    }
    Add(now, trainer.name(), what);
  }
}

// One line for all who say the same between two calls of Take.
void GoldenTrace::Add(absl::Time now, const std::string& who, const std::string& what) {
  for (Fact& fact : facts_) {
    const bool said = std::find(fact.who.begin(), fact.who.end(), who) != fact.who.end();
    if (fact.what != what || said) continue;
    fact.last = now;
    fact.who.push_back(who);
    return;
  }
  facts_.push_back(Fact{now, now, {who}, what});
}

// Nodes by name in place of their ids.
std::string GoldenTrace::Named(std::string text) const {
  for (uint32_t k = 0; k < simulator_->nodes(); ++k) {
    const std::string id = World::NodeIdOf(k).ToString();
    text = absl::StrReplaceAll(
        text, {{absl::StrCat("node ", id, " at node", k, ":7070"), absl::StrCat("node", k)}});
    text = absl::StrReplaceAll(text, {{absl::StrCat("node ", id), absl::StrCat("node", k)},
                                      {id, absl::StrCat("node", k)}});
  }
  text = absl::StrReplaceAll(text, {{"replica replica", "replica"}});
  // Different at each, and so at each a line of its own.
  return text.substr(0, text.find(", of "));
}

std::string GoldenTrace::Take() {
  SeeTrainers(absl::UnixEpoch() + simulator_->elapsed());
  std::string text;
  for (Fact& fact : facts_) {
    std::sort(fact.who.begin(), fact.who.end());
    absl::StrAppend(&text, Seconds(fact.first));
    if (Seconds(fact.last) != Seconds(fact.first)) absl::StrAppend(&text, "-", Seconds(fact.last));
    absl::StrAppend(&text, " ", absl::StrJoin(fact.who, ", "), ": ", fact.what, "\n");
  }
  facts_.clear();
  return absl::StrCat(text, TakeRounds(), DescribeViews());
}

// Those that everybody who trains has passed; at the end, all.
std::string GoldenTrace::TakeRounds() {
  Round end{};
  bool somebody_trains = false;
  for (uint32_t k = 0; k < simulator_->trainers(); ++k) {
    const SimTrainer& trainer = simulator_->trainer(k);
    if (trainer.state() != TrainerState::kTraining) continue;
    end = somebody_trains ? std::min(end, trainer.newest_round()) : trainer.newest_round();
    somebody_trains = true;
  }
  std::string text;
  std::string same;
  Round first{};
  const auto tell = [&](Round last) {
    if (same.empty()) return;
    const std::string which = first == last
                                  ? absl::StrCat("round ", Value(first))
                                  : absl::StrCat("rounds ", Value(first), "-", Value(last));
    absl::StrAppend(&text, which, ": ", same, "\n");
  };
  for (const auto& [round, record] : simulator_->ledger().rounds()) {
    if (round <= told_ || (somebody_trains && Next(round) >= end)) continue;
    const std::string now = DescribeRound(round);
    if (now != same) {
      tell(told_);
      same = now;
      first = round;
    }
    told_ = round;
  }
  tell(told_);
  return text;
}

std::string GoldenTrace::DescribeRound(Round round) const {
  const Ledger& ledger = simulator_->ledger();
  const Ledger::RoundRecord& record = ledger.rounds().at(round);
  std::vector<uint32_t> rows;
  std::vector<uint32_t> reads;  // by row: of all its segments
  bool once = true;
  for (uint32_t row = 0; row < ledger.trainers(); ++row) {
    if (std::isnan(record.values[row * ledger.segments()])) continue;
    rows.push_back(row);
    reads.push_back(0);
    for (uint32_t segment = 0; segment < ledger.segments(); ++segment) {
      const uint32_t count = record.reads[row * ledger.segments() + segment];
      reads.back() += count;
      once &= count == 1;
    }
  }
  std::string text = absl::StrCat("mixed by ", absl::StrJoin(rows, " "));
  if (once) {
    absl::StrAppend(&text, ", each is read once");
  } else {
    absl::StrAppend(&text, ", read ", absl::StrJoin(reads, " "), " times");
  }
  for (uint32_t k = 0; k < kOutcomeCount; ++k) {
    if (k == static_cast<uint32_t>(Outcome::kArrived) || record.outcomes[k] == 0) continue;
    absl::StrAppend(&text, ", ", record.outcomes[k], " ", OutcomeName(static_cast<Outcome>(k)));
  }
  const auto redirects = redirects_.find(round);
  if (redirects != redirects_.end()) absl::StrAppend(&text, ", ", redirects->second, " redirected");
  return text;
}

// Who takes part in the next round of each run, and who of the daemons believes so.
std::string GoldenTrace::DescribeViews() {
  std::map<std::string, std::vector<std::string>> believers;
  for (uint32_t k = 0; k < simulator_->nodes(); ++k) {
    SimNode& node = simulator_->node(k);
    if (!node.process().is_up()) continue;
    for (const RunSnapshot& run : node.core().Runs()) {
      if (!run.started) continue;
      const Round next = Next(run.newest_round);
      std::set<std::string> names;
      const auto schedule = node.core().ScheduleOf(run.run_id, next, SegmentId{0});
      for (const AssignmentSnapshot& one : schedule->assignments) {
        names.insert(one.reader_name.empty() ? "one unheard of" : one.reader_name);
      }
      believers[absl::StrCat("view of ", run.run_id, ": ", absl::StrJoin(names, ", "))].push_back(
          absl::StrCat("node", k));
    }
  }
  std::string text;
  for (const auto& [view, nodes] : believers) {
    absl::StrAppend(&text, view, " (", absl::StrJoin(nodes, " "), ")\n");
  }
  return text;
}

}  // namespace weightmesh::sim
