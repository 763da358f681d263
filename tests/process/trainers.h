// GossipRun: the trainers of one run on a Mesh, and what they ended with.
#pragma once

#include <array>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "proto/attach.h"
#include "proto/outcome.h"
#include "tests/process/child.h"
#include "tests/process/mesh.h"
#include "tests/process/round_delay.h"
#include "tests/testing/marked_model.h"

namespace weightmesh {

struct GossipOptions {
  std::string run_id;
  int replicas = 8;
  uint64_t steps = 20;  // 0: until Stop
  uint64_t segments = 18;
  uint64_t parameters = 400'003;
  attach::ScheduleKind schedule = attach::ScheduleKind::kHashCycle;
  WireFormat wire = WireFormat::kFp32;
  attach::Mode mode = attach::Mode::kLockstep;
  uint64_t staleness_rounds_max = 0;  // kAsync: at least 1
  uint64_t seed = 7;
  uint64_t update_seed = 1;
  uint64_t deadline_ms = 5000;
  uint64_t stall_ms = 0;
  bool paced = false;
  std::vector<uint64_t> step_ms;  // by replica; empty: 0
  double alpha = 0.5;
  uint64_t slots = 3;
  double learning = 0.01;    // size of an update; 0: none
  bool own_start = false;    // initial weights differ among replicas
  int poisoned = -1;         // this replica's first weight becomes NaN and its last infinite ...
  uint64_t poison_step = 0;  // ... in this step
  bool trace = false;        // keep the weights after every step
  bool delays = false;       // keep what each round took
  bool marked = false;       // TrainMarked instead
  double consensus = -1;     // at the end all agree within this; below 0: they do not
  uint64_t consensus_timeout_ms = 60'000;
};

struct TrainerResult {
  int exit_code = -1;
  uint64_t steps = 0;
  uint64_t alone = 0;
  uint64_t skipped = 0;
  uint64_t due = 0;
  double wait_seconds_max = 0;
  std::array<uint64_t, kOutcomeCount> pulls{};
  bool drained = false;  // it ended because its daemon drains
  bool agreed = false;   // the next: of the agreement at the end
  uint64_t agreement_rounds = 0;
  uint64_t last_round = 0;
  double consensus_distance = 0;
  uint64_t late = 0;  // pulls since the attach, the agreement's included
  std::string blob;   // that came with a join; "-": none
  std::vector<float> weights;

  uint64_t Pulls(Outcome outcome) const { return pulls[static_cast<size_t>(outcome)]; }
  // Of all outcomes.
  uint64_t AllPulls() const { return std::accumulate(pulls.begin(), pulls.end(), uint64_t{0}); }
  // "ARRIVED 359 GONE 1"
  std::string DescribePulls() const;
};

// What a marked trainer found.
struct MarkResult {
  uint64_t torn = 1;  // until the result is read
  uint64_t misplaced = 1;
  uint64_t miscounted = 1;
  std::vector<uint64_t> rounds;  // by step: the round that it was published as; 0: none
  std::vector<MarkRecord> records;
};

std::string ReplicaName(int replica);

// Where each replica of the run begins, by replica.
std::vector<std::vector<float>> StartWeights(const GossipOptions& options);

class GossipRun {
 public:
  // Starts replica k at daemon k mod the mesh's size. `mesh` must outlive the run.
  GossipRun(Mesh* mesh, GossipOptions options);

  const GossipOptions& options() const { return options_; }
  Child& trainer(int k) { return *trainers_[k]; }
  // Starts trainer k (again, or the next one) as one that joins the run, at daemon k mod the mesh's
  // size.
  void Join(int k);
  // Tells all to stop after their step.
  void Stop();
  // Paced trainers: has all take step `step` (1-based), and waits until each segment that it pulls
  // has landed, so that in overlap none is late and no round number is skipped. False after
  // `limit`.
  bool StepTogether(uint64_t step, absl::Duration limit);
  // Waits for the end of trainer k and reads its result.
  TrainerResult Result(int k, absl::Duration limit);
  // After Result(k): the weights after every step, if traced; what was found, if marked.
  std::vector<std::vector<float>> Trace(int k) const;
  MarkResult Marks(int k) const;
  // At any time: every round of the trainers that replica k has had, if they keep them.
  std::vector<RoundDelay> Delays(int k) const;
  // Statistics of replica k from its own daemon; empty when it does not answer.
  v1::ReplicaStats Stats(int k) const;

 private:
  std::string ResultFile(int k) const;
  std::vector<std::string> Arguments(int k) const;
  void Start(int k, std::vector<std::string> arguments);

  Mesh* const mesh_;
  const GossipOptions options_;
  std::vector<std::unique_ptr<Child>> trainers_;
};

// The weights that every replica must end with, computed in this process: it shares the schedule
// and the mix with the product, nothing else. By replica.
std::vector<std::vector<float>> ReferenceWeights(const GossipOptions& options);

}  // namespace weightmesh
