// The loop over epoll and the queue of posted tasks.
#include "daemon/runtime/executor.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/core/check.h"

namespace weightmesh {
namespace {

// The number of no watch: the executor's own eventfd.
constexpr uint64_t kWake = 0;

absl::Status Failure(absl::string_view call, int error) {
  return absl::ResourceExhaustedError(
      absl::StrCat(call, ": ", std::strerror(error),
                   "; raise the limit of open files (ulimit -n, LimitNOFILE=) or "
                   "/proc/sys/fs/epoll/max_user_watches"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Executor>> Executor::Create() {
  FileDescriptor epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return Failure("epoll_create1", errno);
  FileDescriptor wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.valid()) return Failure("eventfd", errno);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kWake;
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, wake.get(), &event) != 0) {
    return Failure("epoll_ctl", errno);
  }
  return std::unique_ptr<Executor>(new Executor(std::move(epoll), std::move(wake)));
}

Executor::Executor(FileDescriptor epoll, FileDescriptor wake)
    : epoll_(std::move(epoll)), wake_(std::move(wake)) {}

Executor::~Executor() { WEIGHTMESH_CHECK(OnThread(), "the executor ends while its loop runs"); }

void Executor::WakeUp() {
  // An eventfd that is full is readable, which is all that is asked of it.
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof one);
}

bool Executor::Post(std::function<void()> task) {
  bool first = false;
  {
    MutexLock lock(&mutex_);
    if (closed_ || posted_.size() >= kPostsMax) return false;
    first = posted_.empty();
    posted_.push_back(std::move(task));
  }
  // The loop empties the queue at every wake-up, so only the first of a batch needs one.
  if (first) {
    wake_ups_.fetch_add(1, std::memory_order_relaxed);
    WakeUp();
  }
  return true;
}

absl::Status Executor::Watch(int fd, uint32_t events, Callback callback) {
  WEIGHTMESH_CHECK(OnThread(), "Watch belongs to the executor's thread");
  WEIGHTMESH_CHECK(!watch_of_fd_.contains(fd), "a descriptor can be watched once");
  const uint64_t watch = next_watch_++;
  epoll_event event{};
  event.events = events;
  event.data.u64 = watch;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return Failure("epoll_ctl", errno);
  watch_of_fd_[fd] = watch;
  watches_[watch] = std::make_shared<Watched>(Watched{fd, std::move(callback)});
  return absl::OkStatus();
}

void Executor::ChangeEvents(int fd, uint32_t events) {
  WEIGHTMESH_CHECK(OnThread(), "ChangeEvents belongs to the executor's thread");
  const auto found = watch_of_fd_.find(fd);
  WEIGHTMESH_CHECK(found != watch_of_fd_.end(), "the descriptor is not watched");
  epoll_event event{};
  event.events = events;
  event.data.u64 = found->second;
  const int changed = ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
  WEIGHTMESH_CHECK(changed == 0, "a descriptor was closed before Unwatch");
}

void Executor::Unwatch(int fd) {
  WEIGHTMESH_CHECK(OnThread(), "Unwatch belongs to the executor's thread");
  const auto found = watch_of_fd_.find(fd);
  if (found == watch_of_fd_.end()) return;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  watches_.erase(found->second);
  watch_of_fd_.erase(found);
}

void Executor::Dispatch(uint64_t watch, uint32_t events) {
  const auto found = watches_.find(watch);
  if (found == watches_.end()) return;  // unwatched by an earlier callback of this batch
  const std::shared_ptr<Watched> watched = found->second;  // it may unwatch itself
  watched->callback(events);
}

void Executor::RunPosted(bool last) {
  {
    MutexLock lock(&mutex_);
    running_.swap(posted_);
    closed_ = closed_ || last;
  }
  for (std::function<void()>& task : running_) {
    task();
    task = nullptr;  // what it holds ends before the next task begins
  }
  running_.clear();
}

void Executor::RunUntilStopped() {
  WEIGHTMESH_CHECK(thread_.exchange(std::this_thread::get_id()) == std::thread::id(),
                   "the loop runs already");
  std::array<epoll_event, 64> events;
  while (!stopped_.load(std::memory_order_acquire)) {
    const int count = ::epoll_wait(epoll_.get(), events.data(), events.size(), -1);
    WEIGHTMESH_CHECK(count >= 0 || errno == EINTR, "epoll_wait failed");
    for (int i = 0; i < count; ++i) {
      if (events[i].data.u64 == kWake) {
        uint64_t ignored = 0;
        [[maybe_unused]] const ssize_t got = ::read(wake_.get(), &ignored, sizeof ignored);
        RunPosted(false);
      } else {
        Dispatch(events[i].data.u64, events[i].events);
      }
    }
  }
  RunPosted(true);
  thread_.store(std::thread::id());
}

void Executor::Stop() {
  stopped_.store(true, std::memory_order_release);
  const int saved = errno;  // of the code that a signal interrupted
  WakeUp();
  errno = saved;
}

bool Executor::OnThread() const {
  const std::thread::id owner = thread_.load();
  return owner == std::thread::id() || owner == std::this_thread::get_id();
}

absl::Time Executor::Now() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return absl::UnixEpoch() + absl::DurationFromTimespec(now);
}

}  // namespace weightmesh
