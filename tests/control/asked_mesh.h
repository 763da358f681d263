// AskedMesh: a source whose questions for topology and statistics wait until the test answers them.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "daemon/core/mutex.h"
#include "tests/control/fake_mesh.h"

namespace weightmesh::testing {

// Questions that come by themselves (a filtered GetTopology is none) are for all runs. Any thread.
class AskedMesh : public FakeMeshSource {
 public:
  void Topology(std::string run_id, Done<TopologySnapshot> done) override;
  void Stats(std::string run_id, bool with_segments, Done<StatsReport> done) override;

  // Waits until a question is open and answers it; false when none comes in 20 s.
  bool AnswerTopology(const absl::StatusOr<TopologySnapshot>& answer);
  bool AnswerStats(const absl::StatusOr<StatsReport>& answer);
  // Waits likewise and throws the question away.
  bool DropTopology();

  // From here on every question is answered at once, with the newest of these.
  void AnswerAlways(const TopologySnapshot& topology);
  void AnswerAlways(const StatsReport& stats);

  // Questions so far.
  uint64_t asked() const;
  // Whether any question for statistics so far was for segments, too.
  bool asked_for_segments() const;

 private:
  template <typename T>
  struct Questions {
    std::vector<Done<T>> open;
    std::vector<T> always;  // one or none
  };

  template <typename T>
  void Ask(Questions<T>* questions, Done<T> done);
  template <typename T>
  Done<T> TakeOpen(Questions<T>* questions);
  template <typename T>
  void AnswerAll(Questions<T>* questions, const T& answer);

  mutable Mutex mutex_;
  std::condition_variable asked_;
  uint64_t count_ ABSL_GUARDED_BY(mutex_) = 0;
  bool segments_ ABSL_GUARDED_BY(mutex_) = false;
  Questions<TopologySnapshot> topology_;  // guarded by mutex_
  Questions<StatsReport> stats_;          // guarded by mutex_
};

}  // namespace weightmesh::testing
