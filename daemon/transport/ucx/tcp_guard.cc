// epoll_wait and recv of the whole program: the C library's, but for threads that are guarded.
// Shared libraries, UCX's among them, find the program's own before the C library's.
#include "daemon/transport/ucx/tcp_guard.h"

#include <dlfcn.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cstdint>

namespace weightmesh {
namespace {

// uct_tcp_am_hdr_t: a message's kind and its size, packed.
constexpr size_t kHeader = 5;

struct Guard {
  bool on = false;  // on this thread
  bool writing = false;
  size_t receive_segment = 0;
};
constinit thread_local Guard guard;

// How much of `room` a read may fill, so that it ends with a header. UCX asks for as much as its
// buffer holds when it has nothing of a message, or less than a header.
size_t UpToHeader(size_t room) {
  const size_t whole = guard.receive_segment + kHeader;
  return guard.on && room <= whole && whole - room < kHeader ? kHeader - (whole - room) : room;
}

}  // namespace

void GuardTcp(size_t receive_segment) { guard = {true, false, receive_segment}; }

}  // namespace weightmesh

extern "C" int epoll_wait(int epoll, epoll_event* events, int events_max, int timeout_ms) {
  const int ready = epoll_pwait(epoll, events, events_max, timeout_ms, nullptr);
  weightmesh::Guard& guard = weightmesh::guard;
  if (!guard.on) return ready;
  constexpr uint32_t kBoth = EPOLLIN | EPOLLOUT;
  const uint32_t other = guard.writing ? EPOLLIN : EPOLLOUT;
  bool split = false;
  for (int k = 0; k < ready; ++k) {
    if ((events[k].events & kBoth) != kBoth) continue;
    events[k].events &= ~other;
    split = true;
  }
  if (split) guard.writing = !guard.writing;
  return ready;
}

extern "C" ssize_t recv(int socket, void* buffer, size_t size, int flags) {
  // The next one along the libraries: a sanitizer's, where there is one.
  static const auto next = reinterpret_cast<decltype(&recv)>(dlsym(RTLD_NEXT, "recv"));
  return next(socket, buffer, weightmesh::UpToHeader(size), flags);
}
