// epoll_wait of the whole program: the C library's, but for threads that ask for one direction at a
// time. Shared libraries, UCX's among them, find the program's own before the C library's.
#include "daemon/transport/ucx/epoll_guard.h"

#include <sys/epoll.h>

#include <cstdint>

namespace weightmesh {
namespace {

struct Turns {
  bool taken = false;  // on this thread
  bool writing = false;
};
constinit thread_local Turns turns;

}  // namespace

void ReportOneDirectionAtATime() { turns.taken = true; }

}  // namespace weightmesh

extern "C" int epoll_wait(int epoll, epoll_event* events, int events_max, int timeout_ms) {
  const int ready = epoll_pwait(epoll, events, events_max, timeout_ms, nullptr);
  weightmesh::Turns& turns = weightmesh::turns;
  if (!turns.taken) return ready;
  constexpr uint32_t kBoth = EPOLLIN | EPOLLOUT;
  const uint32_t other = turns.writing ? EPOLLIN : EPOLLOUT;
  bool split = false;
  for (int k = 0; k < ready; ++k) {
    if ((events[k].events & kBoth) != kBoth) continue;
    events[k].events &= ~other;
    split = true;
  }
  if (split) turns.writing = !turns.writing;
  return ready;
}
