// SimProcess: one process of the simulated world: it can be stopped, resumed, killed and restarted.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "tests/sim/event_queue.h"

namespace weightmesh::sim {

class SimProcess {
 public:
  // `queue` must outlive the process. It begins down.
  explicit SimProcess(EventQueue* queue) : queue_(queue) {}

  bool is_up() const { return state_ != State::kDown; }  // also when it is stopped
  bool is_stopped() const { return state_ == State::kStopped; }
  // Counts the starts: names one life of the process.
  uint64_t generation() const { return generation_; }

  // Runs `task` in the life of the process that is up after `delay`; what comes to a stopped one
  // waits until it goes on. Dropped where none is up.
  void Post(absl::Duration delay, EventQueue::Task task) {
    queue_->After(delay, [this, task = std::move(task)]() mutable { Arrive(std::move(task)); });
  }
  // The same, only for the life that the process is in now.
  void PostToSelf(absl::Duration delay, EventQueue::Task task) {
    Post(delay, [this, life = generation_, task = std::move(task)] {
      if (life == generation_) task();
    });
  }

  void Start() {
    state_ = State::kUp;
    ++generation_;
  }
  void Kill() {
    state_ = State::kDown;
    backlog_.clear();
  }
  void Stop() {
    if (state_ == State::kUp) state_ = State::kStopped;
  }
  void Resume() {
    if (state_ != State::kStopped) return;
    state_ = State::kUp;
    std::vector<EventQueue::Task> backlog = std::move(backlog_);
    backlog_.clear();
    for (EventQueue::Task& task : backlog) Arrive(std::move(task));
  }

 private:
  enum class State { kDown, kUp, kStopped };

  void Arrive(EventQueue::Task task) {
    if (state_ == State::kUp) {
      task();
    } else if (state_ == State::kStopped) {
      backlog_.push_back(std::move(task));
    }
  }

  EventQueue* const queue_;
  State state_ = State::kDown;
  uint64_t generation_ = 0;
  std::vector<EventQueue::Task> backlog_;
};

}  // namespace weightmesh::sim
