// Schedule: who pulls which segment from whom in a round, computed alike by all nodes; pure.
#pragma once

#include <cstdint>
#include <memory>

#include "daemon/core/ids.h"
#include "daemon/core/run_config.h"
#include "daemon/core/view.h"

namespace weightmesh {

// One replica's partners for one segment of one round, as ranks in the view. Alone in the view a
// replica is its own source and sink.
struct Partners {
  uint32_t source = 0;  // pulls from
  uint32_t sink = 0;    // is read by
};

// Stateless but for caches: not to be shared among threads.
class Schedule {
 public:
  virtual ~Schedule() = default;

  // Partners of the replica of rank `rank`. In every schedule here each replica has exactly one
  // sink, and for two replicas or more nobody is its own source.
  // REQUIRES: rank < view.size().
  virtual Partners PartnersOf(const View& view, Round round, SegmentId segment, uint32_t rank) = 0;

  // Whether (n-1)/(2n)·mean |x_i - x_source|² estimates the consensus distance without bias (the
  // source is uniform among the others); otherwise it is only a bound.
  virtual bool source_is_uniform() const = 0;
};

// `seed` is RunConfig.seed.
std::unique_ptr<Schedule> MakeSchedule(ScheduleKind kind, uint64_t seed);

}  // namespace weightmesh
