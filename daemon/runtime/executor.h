// Executor: the loop of the core thread: descriptors, posted tasks and timers, one after another.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "daemon/core/mutex.h"
#include "daemon/mem/file_descriptor.h"

namespace weightmesh {

class Executor {
 public:
  // Tasks that may wait at once.
  static constexpr size_t kPostsMax = 65536;

  // The events of epoll(7) that came.
  using Callback = std::function<void(uint32_t events)>;

  // ResourceExhausted when descriptors run out.
  static absl::StatusOr<std::unique_ptr<Executor>> Create();
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // Has `task` run on the loop's thread, after all that this thread posted before. One wake-up
  // serves all that is posted while it is under way. False, and the task dropped, when kPostsMax
  // tasks wait or the loop has ended. Any thread.
  bool Post(std::function<void()> task);

  // Calls `callback` whenever one of `events` (EPOLLIN, EPOLLOUT, EPOLLET, …; EPOLLHUP and EPOLLERR
  // always) holds for `fd`, until Unwatch, which must come before `fd` is closed. A callback may
  // call Unwatch, also for its own descriptor. ResourceExhausted beyond the user's limit of
  // watches. These three: on the loop's thread, or while it does not run.
  absl::Status Watch(int fd, uint32_t events, Callback callback);
  // REQUIRES: `fd` is watched.
  void ChangeEvents(int fd, uint32_t events);
  // Nothing happens when it is not watched.
  void Unwatch(int fd);

  // Runs on the calling thread until Stop. Tasks whose Post returned true have all run when it
  // returns; later ones are refused. Called once.
  void RunUntilStopped();

  // Makes RunUntilStopped return. Any thread, and signal handlers.
  void Stop();

  // Whether the caller is the loop's thread, or the loop does not run.
  bool OnThread() const;

  // The time that timers and the core use: CLOCK_MONOTONIC, as nanoseconds since absl::UnixEpoch().
  // Not the time of day.
  static absl::Time Now();

  // Wake-ups that Post paid for so far. Any thread.
  uint64_t wake_ups() const { return wake_ups_.load(std::memory_order_relaxed); }

 private:
  struct Watched {
    int fd;
    Callback callback;
  };

  Executor(FileDescriptor epoll, FileDescriptor wake);
  void WakeUp();
  void Dispatch(uint64_t watch, uint32_t events);
  // Runs the tasks posted so far. `last`: and refuses all later ones.
  void RunPosted(bool last);

  const FileDescriptor epoll_;
  const FileDescriptor wake_;
  std::atomic<bool> stopped_{false};
  std::atomic<std::thread::id> thread_{};
  std::atomic<uint64_t> wake_ups_{0};

  // The loop's thread. A watch has a number of its own, so that an event of a closed descriptor
  // never reaches its successor of the same number.
  absl::flat_hash_map<int, uint64_t> watch_of_fd_;
  absl::flat_hash_map<uint64_t, std::shared_ptr<Watched>> watches_;
  uint64_t next_watch_ = 1;
  std::vector<std::function<void()>> running_;

  Mutex mutex_;
  std::vector<std::function<void()>> posted_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace weightmesh
