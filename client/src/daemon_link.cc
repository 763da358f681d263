// Rings and waits for DaemonLink.
#include "client/src/daemon_link.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace weightmesh::client {
namespace {

void SetNonBlocking(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

}  // namespace

void DaemonLink::SetDoorbells(UniqueFd daemon_doorbell, UniqueFd trainer_doorbell) {
  daemon_doorbell_ = std::move(daemon_doorbell);
  trainer_doorbell_ = std::move(trainer_doorbell);
  SetNonBlocking(daemon_doorbell_.get());
  SetNonBlocking(trainer_doorbell_.get());
}

void DaemonLink::Ring() {
  const uint64_t one = 1;
  // EAGAIN: the counter is full, so the daemon has a ring to see already.
  while (write(daemon_doorbell_.get(), &one, sizeof one) < 0 && errno == EINTR) {
  }
}

Wake DaemonLink::Wait(Clock::time_point deadline) {
  for (;;) {
    const auto left = std::max(deadline - Clock::now(), Clock::duration::zero());
    const auto nanoseconds = std::chrono::duration_cast<std::chrono::nanoseconds>(left).count();
    const timespec timeout = {nanoseconds / 1'000'000'000, nanoseconds % 1'000'000'000};
    pollfd watched[2] = {{trainer_doorbell_.get(), POLLIN, 0},
                         {channel_.fd(), POLLIN | POLLRDHUP, 0}};
    const int ready = ppoll(watched, 2, &timeout, nullptr);
    if (ready < 0 && errno != EINTR) return Wake::kGone;
    if (ready > 0 && watched[1].revents != 0 && IsGone()) return Wake::kGone;
    if (ready > 0 && watched[0].revents != 0) {
      uint64_t rings;
      if (read(trainer_doorbell_.get(), &rings, sizeof rings) < 0 && errno != EAGAIN &&
          errno != EINTR) {
        return Wake::kGone;
      }
      return Wake::kRung;
    }
    if (left == Clock::duration::zero()) return Wake::kTimeout;
  }
}

}  // namespace weightmesh::client
