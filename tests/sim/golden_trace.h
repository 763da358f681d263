// GoldenTrace: what happens in a simulated mesh, in words and few enough lines to be reviewed.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/string_view.h"
#include "tests/sim/simulator.h"

namespace weightmesh::sim {

class GoldenTrace final : public Observer {
 public:
  // `simulator` must outlive the trace, which watches it from now on.
  explicit GoldenTrace(Simulator* simulator);

  // What has happened since the last call: what daemons said and became of trainers, one line for
  // all who said the same; then the rounds that are over, and the views.
  std::string Take();

  void OnStep(absl::Time now, uint32_t node, const Event& event,
              absl::Span<const Action> actions) override;
  void OnNode(absl::Time now, uint32_t node, ProcessChange change) override;
  void OnTrainer(absl::Time now, uint32_t node, AttachId attach, ProcessChange change) override;

 private:
  struct Fact {
    absl::Time first;
    absl::Time last;
    std::vector<std::string> who;
    std::string what;
  };

  void Add(absl::Time now, const std::string& who, const std::string& what);
  void SeeTrainers(absl::Time now);
  std::string Named(std::string text) const;
  std::string NameOf(ReplicaId replica) const;
  std::string TakeRounds();
  std::string DescribeRound(Round round) const;
  std::string DescribeViews();

  Simulator* const simulator_;
  std::vector<Fact> facts_;
  std::vector<TrainerState> states_;  // by trainer
  // The newest request of a pull, by node, attach, round and segment.
  std::map<std::tuple<uint32_t, AttachId, Round, SegmentId>, ReplicaId> asked_;
  std::map<Round, uint32_t> redirects_;
  Round told_{};  // rounds up to it have been told of
};

}  // namespace weightmesh::sim
