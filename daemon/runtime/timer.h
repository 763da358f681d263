// Timer: calls back on the executor's thread at a time that may change often. Confined to it.
#pragma once

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "daemon/mem/file_descriptor.h"
#include "daemon/runtime/executor.h"

namespace weightmesh {

class Timer {
 public:
  // `executor` must outlive the timer. ResourceExhausted when descriptors run out.
  static absl::StatusOr<std::unique_ptr<Timer>> Create(Executor* executor,
                                                       std::function<void()> callback);
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  // One call back at `when` of Executor::Now(), or at once if that has passed; replaces what was
  // set before. absl::InfiniteFuture(): none. Moving it later costs no system call. The callback
  // may set it again, and may destroy the timer.
  void Set(absl::Time when);

 private:
  Timer(Executor* executor, FileDescriptor timer, std::function<void()> callback);
  void Arm(absl::Time when);
  void OnExpired();

  Executor* const executor_;
  const FileDescriptor timer_;
  const std::shared_ptr<const std::function<void()>> callback_;
  absl::Time when_ = absl::InfiniteFuture();   // wanted
  absl::Time armed_ = absl::InfiniteFuture();  // what the kernel was told: never later than when_
};

}  // namespace weightmesh
