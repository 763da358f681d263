// GoldenScript: a scenario as a file: commands, and below each what came of it.
//
//   # Comments, and blank lines between blocks.
//   crash 2
//   run 3s
//   ----
//   3.001 node2: ends
//
// Commands (N, M, …: numbers of nodes, which are those of their trainers too):
//   mesh KEY=VALUE …          once, first: nodes, spare, segments, min (replicas), mode, seed,
//                             schedule, step, deadline, rounds
//   seeds N M …               the seeds of node N's next process, instead of node 0
//   node N …                  daemons start
//   trainer N …               trainers attach, at nodes of their number
//   attach N KEY=VALUE …      another trainer at node N: name, run, seed (RunConfig's), min, join=1
//   run TIME
//   crash N, restart N [PORT], stop N, resume N, clock N TIME     of a daemon
//   kill N, leave N           of a trainer: those of the nodes come first, then as they attached
//   drain N TIME [ends]
//   split N M …               nothing passes between these nodes and the others
//   deaf N                    no call comes to node N; its own calls pass, but for their answers
//   heal
//   schedule ROUND            who reads whom, as node 0 has it
//   end                       runs until all trainers are done, and audits
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "tests/sim/golden_trace.h"
#include "tests/sim/simulator.h"

namespace weightmesh::sim {

class GoldenScript {
 public:
  // Runs the commands of `file` and returns the file with what comes of them now. InvalidArgument:
  // names the command that is none.
  static absl::StatusOr<std::string> Replay(absl::string_view file);

 private:
  absl::Status Run(absl::string_view command);
  absl::Status MakeMesh(const std::vector<std::string>& words);
  absl::Status Attach(const std::vector<std::string>& words);
  absl::Status Daemon(const std::vector<std::string>& words);
  absl::Status Trainer(const std::vector<std::string>& words);
  absl::Status Network(const std::vector<std::string>& words);
  absl::Status Show(const std::vector<std::string>& words);

  std::unique_ptr<Simulator> simulator_;
  std::unique_ptr<GoldenTrace> trace_;
  std::string shown_;
  uint32_t next_row_ = 0;
};

}  // namespace weightmesh::sim
