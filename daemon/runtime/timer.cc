// Timer over timerfd.
#include "daemon/runtime/timer.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/core/check.h"

namespace weightmesh {

absl::StatusOr<std::unique_ptr<Timer>> Timer::Create(Executor* executor,
                                                     std::function<void()> callback) {
  FileDescriptor timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer.valid()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("timerfd_create: ", std::strerror(errno),
                     "; raise the limit of open files (ulimit -n, LimitNOFILE=)"));
  }
  const int fd = timer.get();
  std::unique_ptr<Timer> result(new Timer(executor, std::move(timer), std::move(callback)));
  absl::Status watched =
      executor->Watch(fd, EPOLLIN, [self = result.get()](uint32_t) { self->OnExpired(); });
  if (!watched.ok()) return watched;
  return result;
}

Timer::Timer(Executor* executor, FileDescriptor timer, std::function<void()> callback)
    : executor_(executor),
      timer_(std::move(timer)),
      callback_(std::make_shared<const std::function<void()>>(std::move(callback))) {}

Timer::~Timer() { executor_->Unwatch(timer_.get()); }

void Timer::Set(absl::Time when) {
  when_ = when;
  // Armed earlier is good enough: OnExpired then arms again. The core moves its deadline with every
  // event, mostly to a later time.
  if (when < armed_) Arm(when);
}

void Timer::Arm(absl::Time when) {
  armed_ = when;
  itimerspec spec{};  // all zero: disarmed
  if (when != absl::InfiniteFuture()) {
    const absl::Duration since_boot =
        std::max(when - absl::UnixEpoch(), absl::Nanoseconds(1));  // 0 would disarm
    spec.it_value = absl::ToTimespec(since_boot);
  }
  const int armed = ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &spec, nullptr);
  WEIGHTMESH_CHECK(armed == 0, "timerfd_settime failed");
}

void Timer::OnExpired() {
  uint64_t expirations = 0;
  if (::read(timer_.get(), &expirations, sizeof expirations) < 0) return;  // armed anew meanwhile
  armed_ = absl::InfiniteFuture();
  if (when_ > Executor::Now()) {
    if (when_ != absl::InfiniteFuture()) Arm(when_);
    return;
  }
  when_ = absl::InfiniteFuture();
  const std::shared_ptr<const std::function<void()>> callback = callback_;  // it may destroy us
  (*callback)();
}

}  // namespace weightmesh
