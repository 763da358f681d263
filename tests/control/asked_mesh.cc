// Questions kept until they are answered.
#include "tests/control/asked_mesh.h"

#include <chrono>
#include <mutex>
#include <utility>

namespace weightmesh::testing {
namespace {

constexpr std::chrono::seconds kLimit(20);

}  // namespace

template <typename T>
void AskedMesh::Ask(Questions<T>* questions, Done<T> done) {
  std::vector<T> answer;
  {
    MutexLock lock(&mutex_);
    ++count_;
    answer = questions->always;
    if (answer.empty()) questions->open.push_back(std::move(done));
  }
  asked_.notify_all();
  if (!answer.empty()) done(answer[0]);
}

template <typename T>
MeshSource::Done<T> AskedMesh::TakeOpen(Questions<T>* questions) {
  std::unique_lock lock(mutex_.native());
  if (!asked_.wait_for(lock, kLimit, [&] { return !questions->open.empty(); })) return nullptr;
  Done<T> done = std::move(questions->open.front());
  questions->open.erase(questions->open.begin());
  return done;
}

template <typename T>
void AskedMesh::AnswerAll(Questions<T>* questions, const T& answer) {
  std::vector<Done<T>> open;
  {
    MutexLock lock(&mutex_);
    questions->always = {answer};
    open.swap(questions->open);
  }
  for (const Done<T>& done : open) done(answer);
}

void AskedMesh::Topology(std::string run_id, Done<TopologySnapshot> done) {
  if (!run_id.empty()) return FakeMeshSource::Topology(run_id, std::move(done));
  Ask(&topology_, std::move(done));
}

void AskedMesh::Stats(std::string run_id, bool with_segments, Done<StatsReport> done) {
  if (!run_id.empty()) return FakeMeshSource::Stats(run_id, with_segments, std::move(done));
  {
    MutexLock lock(&mutex_);
    segments_ = segments_ || with_segments;
  }
  Ask(&stats_, std::move(done));
}

bool AskedMesh::AnswerTopology(const absl::StatusOr<TopologySnapshot>& answer) {
  const Done<TopologySnapshot> done = TakeOpen(&topology_);
  if (done == nullptr) return false;
  done(answer);
  return true;
}

bool AskedMesh::AnswerStats(const absl::StatusOr<StatsReport>& answer) {
  const Done<StatsReport> done = TakeOpen(&stats_);
  if (done == nullptr) return false;
  done(answer);
  return true;
}

bool AskedMesh::DropTopology() { return TakeOpen(&topology_) != nullptr; }

void AskedMesh::AnswerAlways(const TopologySnapshot& topology) { AnswerAll(&topology_, topology); }
void AskedMesh::AnswerAlways(const StatsReport& stats) { AnswerAll(&stats_, stats); }

uint64_t AskedMesh::asked() const {
  MutexLock lock(&mutex_);
  return count_;
}

bool AskedMesh::asked_for_segments() const {
  MutexLock lock(&mutex_);
  return segments_;
}

}  // namespace weightmesh::testing
