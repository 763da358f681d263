// Commands of golden scenarios.
#include "tests/sim/golden_script.h"

#include <algorithm>
#include <limits>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace weightmesh::sim {
namespace {

constexpr absl::string_view kOutputBegins = "----";

// A number; what is none is seen by who uses it, for no node has that number.
uint32_t Number(absl::string_view word) {
  uint32_t number = std::numeric_limits<uint32_t>::max();
  return absl::SimpleAtoi(word, &number) ? number : std::numeric_limits<uint32_t>::max();
}

absl::Duration Time(absl::string_view word) {
  absl::Duration time;
  absl::ParseDuration(word, &time);
  return time;
}

// KEY=VALUE; an empty key where there is no '='.
std::pair<std::string, std::string> Setting(absl::string_view word) {
  const std::vector<std::string> parts = absl::StrSplit(word, absl::MaxSplits('=', 1));
  return parts.size() == 2 ? std::pair(parts[0], parts[1]) : std::pair("", parts[0]);
}

}  // namespace

absl::StatusOr<std::string> GoldenScript::Replay(absl::string_view file) {
  GoldenScript script;
  std::string replayed;
  bool is_output = false;
  for (absl::string_view line : absl::StrSplit(absl::StripTrailingAsciiWhitespace(file), '\n')) {
    if (is_output) {
      is_output = !line.empty();
      continue;
    }
    absl::StrAppend(&replayed, line, "\n");
    if (line == kOutputBegins) {
      if (script.simulator_ == nullptr) return absl::InvalidArgumentError("no mesh");
      absl::StrAppend(&replayed, std::exchange(script.shown_, ""), script.trace_->Take(), "\n");
      is_output = true;
    } else if (!line.empty() && line[0] != '#') {
      if (absl::Status status = script.Run(line); !status.ok()) return status;
    }
  }
  return absl::StrCat(absl::StripTrailingAsciiWhitespace(replayed), "\n");
}

absl::Status GoldenScript::Run(absl::string_view command) {
  const std::vector<std::string> words = absl::StrSplit(command, ' ', absl::SkipEmpty());
  if (words[0] == "mesh") return MakeMesh(words);
  if (simulator_ == nullptr) return absl::InvalidArgumentError("the first command makes the mesh");
  for (const auto& run : {&GoldenScript::Daemon, &GoldenScript::Trainer, &GoldenScript::Network,
                          &GoldenScript::Show}) {
    const absl::Status status = (this->*run)(words);
    if (!absl::IsUnimplemented(status)) return status;
  }
  return absl::InvalidArgumentError(absl::StrCat("no command: ", command));
}

absl::Status GoldenScript::MakeMesh(const std::vector<std::string>& words) {
  SimOptions options;
  options.run.seed = 7;
  options.run.replicas_min = 0;  // all
  options.run.round_deadline = absl::Seconds(1);
  options.step = absl::Milliseconds(100);
  options.segments = 2;
  options.rounds = std::numeric_limits<uint64_t>::max();
  options.keepalive = absl::Seconds(2);
  for (size_t k = 1; k < words.size(); ++k) {
    const auto [key, value] = Setting(words[k]);
    if (key == "nodes") {
      options.nodes = Number(value);
    } else if (key == "spare") {
      options.spare_rows = Number(value);
    } else if (key == "segments") {
      options.segments = Number(value);
    } else if (key == "min") {
      options.run.replicas_min = Number(value);
    } else if (key == "mode" && value == "overlap") {
      options.run.mode = Mode::kOverlap;
    } else if (key == "seed") {
      options.seed = Number(value);
    } else if (key == "step") {
      options.step = Time(value);
    } else if (key == "deadline") {
      options.run.round_deadline = Time(value);
    } else if (key == "rounds") {
      options.rounds = Number(value);
    } else {
      return absl::InvalidArgumentError(absl::StrCat("no setting: ", words[k]));
    }
  }
  next_row_ = options.nodes;
  simulator_ = std::make_unique<Simulator>(options);
  trace_ = std::make_unique<GoldenTrace>(simulator_.get());
  return absl::OkStatus();
}

absl::Status GoldenScript::Daemon(const std::vector<std::string>& words) {
  static const std::set<std::string> kCommands = {"seeds", "node",   "crash", "restart",
                                                  "stop",  "resume", "clock", "drain"};
  if (kCommands.count(words[0]) == 0) return absl::UnimplementedError("");
  if (words.size() < 2) return absl::InvalidArgumentError("which node?");
  std::vector<uint32_t> nodes;
  for (size_t k = 1; k < words.size(); ++k) nodes.push_back(Number(words[k]));
  if (nodes[0] >= simulator_->nodes()) return absl::InvalidArgumentError("no such node");
  SimNode& node = simulator_->node(nodes[0]);
  if (words[0] == "seeds") {
    std::vector<std::string> seeds;
    for (size_t k = 1; k < nodes.size(); ++k) seeds.push_back(World::AddressOf(nodes[k]));
    node.SetSeeds(std::move(seeds));
  } else if (words[0] == "node") {
    for (uint32_t one : nodes) simulator_->node(one).Start();
  } else if (words[0] == "crash") {
    node.Kill();
  } else if (words[0] == "restart") {
    node.Kill();
    if (words.size() > 2) node.MoveTo(absl::StrCat("node", nodes[0], ":", words[2]));
    node.Start();
  } else if (words[0] == "stop") {
    node.Stop();
  } else if (words[0] == "resume") {
    node.Resume();
  } else if (words[0] == "clock" && words.size() > 2) {
    node.JumpClock(Time(words[2]));
  } else if (words[0] == "drain" && words.size() > 2) {
    node.Drain(Time(words[2]), words.back() == "ends");
  } else {
    return absl::InvalidArgumentError("how long?");
  }
  return absl::OkStatus();
}

absl::Status GoldenScript::Trainer(const std::vector<std::string>& words) {
  if (words[0] == "attach") return Attach(words);
  if (words[0] == "trainer") {
    for (size_t k = 1; k < words.size(); ++k) simulator_->trainer(Number(words[k])).Start();
    return absl::OkStatus();
  }
  if (words[0] != "kill" && words[0] != "leave") return absl::UnimplementedError("");
  const uint32_t number = words.size() < 2 ? simulator_->trainers() : Number(words[1]);
  if (number >= simulator_->trainers()) return absl::InvalidArgumentError("no such trainer");
  SimTrainer& trainer = simulator_->trainer(number);
  words[0] == "kill" ? trainer.Kill() : trainer.Finish();
  return absl::OkStatus();
}

absl::Status GoldenScript::Attach(const std::vector<std::string>& words) {
  if (words.size() < 2) return absl::InvalidArgumentError("where?");
  std::string name;
  for (const std::string& word : words) {
    const auto [key, value] = Setting(word);
    if (key == "name") name = value;
  }
  // Under the name of another one, its row of the ledger.
  uint32_t row = std::numeric_limits<uint32_t>::max();
  for (uint32_t k = 0; k < simulator_->trainers(); ++k) {
    if (simulator_->trainer(k).name() == absl::StrCat("replica ", name)) {
      row = simulator_->trainer(k).index();
    }
  }
  if (row == std::numeric_limits<uint32_t>::max()) row = next_row_++;
  if (row >= simulator_->ledger().trainers() || Number(words[1]) >= simulator_->nodes()) {
    return absl::InvalidArgumentError("no such node, or too few spare rows");
  }
  simulator_
      ->AddTrainer(Number(words[1]), row,
                   [&](TrainerOptions* options) {
                     options->name = absl::StrCat("replica ", name);
                     for (const std::string& word : words) {
                       const auto [key, value] = Setting(word);
                       if (key == "run") options->run_id = value;
                       if (key == "seed") options->founding.config.seed = Number(value);
                       if (key == "min") options->founding.config.replicas_min = Number(value);
                       if (key == "join") options->joins = true;
                     }
                   })
      .Start();
  return absl::OkStatus();
}

absl::Status GoldenScript::Network(const std::vector<std::string>& words) {
  std::set<uint32_t> some;
  for (size_t k = 1; k < words.size(); ++k) some.insert(Number(words[k]));
  if (words[0] == "split") {
    simulator_->Part(
        [some](uint32_t a, uint32_t b) { return (some.count(a) > 0) != (some.count(b) > 0); });
  } else if (words[0] == "deaf") {
    simulator_->control().Block([some](uint32_t, uint32_t to) { return some.count(to) > 0; });
  } else if (words[0] == "heal") {
    simulator_->Part(nullptr);
  } else {
    return absl::UnimplementedError("");
  }
  return absl::OkStatus();
}

absl::Status GoldenScript::Show(const std::vector<std::string>& words) {
  if (words[0] == "run" && words.size() == 2) {
    simulator_->RunFor(Time(words[1]));
  } else if (words[0] == "schedule" && words.size() == 2) {
    for (uint32_t segment = 0; segment < simulator_->options().segments; ++segment) {
      const auto schedule =
          simulator_->node(0).core().ScheduleOf("run", Round{Number(words[1])}, SegmentId{segment});
      if (!schedule.ok()) return schedule.status();
      absl::StrAppend(&shown_, "round ", words[1], ", segment ", segment, ": ");
      absl::StrAppend(&shown_,
                      absl::StrJoin(schedule->assignments, "; ",
                                    [](std::string* text, const AssignmentSnapshot& one) {
                                      absl::StrAppend(text, one.reader_name, " reads ",
                                                      one.source_name);
                                    }),
                      "\n");
    }
  } else if (words[0] == "end") {
    for (uint32_t k = 0; k < simulator_->trainers(); ++k) {
      if (simulator_->options().rounds == std::numeric_limits<uint64_t>::max()) {
        simulator_->trainer(k).Finish();
      }
    }
    const bool ended = simulator_->RunToEnd(absl::Seconds(60));
    const std::string audit = simulator_->Audit();
    absl::StrAppend(&shown_, ended ? "all are done; " : "some go on; ",
                    "audit: ", audit.empty() ? "clean" : audit, "\n");
  } else {
    return absl::UnimplementedError("");
  }
  return absl::OkStatus();
}

}  // namespace weightmesh::sim
