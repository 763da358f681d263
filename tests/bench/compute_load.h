// ComputeLoad: threads that compute for ever, as a trainer does between two rounds, and how much
// they get done.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace weightmesh::bench {

class ComputeLoad {
 public:
  explicit ComputeLoad(unsigned threads);
  ~ComputeLoad();
  ComputeLoad(const ComputeLoad&) = delete;
  ComputeLoad& operator=(const ComputeLoad&) = delete;

  // Passes over a vector in a core's own cache, by all threads so far.
  uint64_t passes() const { return passes_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> passes_{0};
  std::atomic<bool> stopped_{false};
  std::vector<std::thread> threads_;
};

}  // namespace weightmesh::bench
