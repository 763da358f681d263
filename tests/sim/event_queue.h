// EventQueue: virtual time; what is due at one instant runs in the order in which it was asked for.
#pragma once

#include <cstdint>
#include <functional>
#include <queue>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace weightmesh::sim {

class EventQueue {
 public:
  using Task = std::function<void()>;

  absl::Time now() const { return now_; }
  bool empty() const { return queue_.empty(); }
  uint64_t tasks_run() const { return tasks_run_; }

  // Runs `task` after `delay`, at least zero.
  void After(absl::Duration delay, Task task) {
    queue_.push(Entry{now_ + std::max(delay, absl::ZeroDuration()), ++sequence_, std::move(task)});
  }
  void At(absl::Time time, Task task) { After(time - now_, std::move(task)); }

  // Runs the next task, if it is due until `end`. False: none is; time stands at `end` then.
  bool RunOne(absl::Time end) {
    if (queue_.empty() || queue_.top().time > end) {
      now_ = std::max(now_, end);
      return false;
    }
    // The queue's top is const only to protect its order, which does not depend on the task.
    Entry entry = std::move(const_cast<Entry&>(queue_.top()));
    queue_.pop();
    now_ = entry.time;
    ++tasks_run_;
    entry.task();
    return true;
  }

 private:
  struct Entry {
    absl::Time time;
    uint64_t sequence;
    Task task;
    bool operator<(const Entry& other) const {  // a max-heap: the earliest on top
      return time != other.time ? time > other.time : sequence > other.sequence;
    }
  };

  absl::Time now_ = absl::UnixEpoch();
  uint64_t sequence_ = 0;
  uint64_t tasks_run_ = 0;
  std::priority_queue<Entry> queue_;
};

}  // namespace weightmesh::sim
