// Limits on watchers: options with their defaults, and the count of watchers at once.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace weightmesh {

constexpr uint64_t kWatchIntervalMsMax = 3'600'000;
constexpr uint64_t kTopologyIntervalMsDefault = 200;
constexpr uint64_t kStatsIntervalMsDefault = 1000;

struct WatchOptions {
  uint32_t watchers_max = 256;  // limits.watchers_max of DaemonConfig

  // The least interval, whose multiples all intervals are, so that one answer of the core serves
  // all that are due. The core is asked no more often than that.
  int64_t tick_ms = 100;

  // Events that wait for their watchers, of each set of watchers that want the same.
  size_t events_waiting_max = 64;
  size_t event_bytes_waiting_max = size_t{4} << 20;
};

// Watchers at once, of all kinds. Any thread.
class WatcherCount {
 public:
  explicit WatcherCount(uint32_t max) : max_(max) {}

  uint32_t max() const { return max_; }
  // False, and nothing counted, when there are max().
  bool Add() {
    if (count_.fetch_add(1) < max_) return true;
    count_.fetch_sub(1);
    return false;
  }
  void Remove() { count_.fetch_sub(1); }

 private:
  const uint32_t max_;
  std::atomic<uint32_t> count_{0};
};

}  // namespace weightmesh
