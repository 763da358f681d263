// What marked trainers recorded, against what was published and the schedule.
#include "tests/process/marks.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "daemon/core/schedule.h"
#include "daemon/core/view.h"

namespace weightmesh {
namespace {

// Who reads from whom, as every daemon computes it.
class Sources {
 public:
  explicit Sources(const GossipOptions& options)
      : schedule_(MakeSchedule(options.schedule, options.seed)) {
    std::vector<ReplicaId> ids;
    for (int k = 0; k < options.replicas; ++k) {
      ids.push_back(MakeReplicaId(options.run_id, ReplicaName(k)));
    }
    view_ = View(ids);
    replica_of_rank_.resize(ids.size());
    for (int k = 0; k < options.replicas; ++k) {
      rank_of_replica_.push_back(*view_.RankOf(ids[k]));
      replica_of_rank_[rank_of_replica_[k]] = k;
    }
  }

  uint32_t Of(int reader, uint64_t round, uint32_t segment) const {
    const Partners partners =
        schedule_->PartnersOf(view_, Round{round}, SegmentId{segment}, rank_of_replica_[reader]);
    return replica_of_rank_[partners.source];
  }

 private:
  const std::unique_ptr<Schedule> schedule_;
  View view_;
  std::vector<uint32_t> rank_of_replica_;
  std::vector<uint32_t> replica_of_rank_;
};

}  // namespace

void ExpectWholeSnapshots(const GossipRun& run, bool from_scheduled) {
  const int replicas = run.options().replicas;
  const Sources sources(run.options());
  std::vector<MarkResult> marks;
  std::vector<std::map<uint64_t, uint64_t>> step_of_round(replicas);
  for (int k = 0; k < replicas; ++k) {
    marks.push_back(run.Marks(k));
    for (uint64_t step = 1; step < marks[k].rounds.size(); ++step) {
      if (marks[k].rounds[step] != 0) step_of_round[k][marks[k].rounds[step]] = step;
    }
  }
  for (int k = 0; k < replicas; ++k) {
    EXPECT_EQ(marks[k].torn, 0u) << "replica " << k;
    EXPECT_EQ(marks[k].misplaced, 0u) << "replica " << k;
    EXPECT_EQ(marks[k].miscounted, 0u) << "replica " << k;
    EXPECT_GT(marks[k].records.size(), 0u) << "replica " << k << " mixed nothing";
    uint64_t of_another_round = 0;
    uint64_t of_another_replica = 0;
    for (const MarkRecord& record : marks[k].records) {
      of_another_round += !IsOfARoundThatWillDo(record, step_of_round[record.replica],
                                                run.options().mode == attach::Mode::kAsync,
                                                run.options().staleness_rounds_max);
      of_another_replica += record.replica != sources.Of(k, record.round, record.segment);
    }
    EXPECT_EQ(of_another_round, 0u) << "of " << marks[k].records.size() << " segments";
    if (from_scheduled) {
      EXPECT_EQ(of_another_replica, 0u) << "of " << marks[k].records.size() << " segments";
    }
  }
}

}  // namespace weightmesh
