// The registry of live sockets, which a forked child closes.
#include "client/src/fork_safe_socket.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace weightmesh::client {

// The list of all sockets of the process; guarded by the ForkLock.
struct SocketRegistry {
  static inline ForkSafeSocket* first = nullptr;

  static void CloseInChild() {
    for (ForkSafeSocket* socket = first; socket != nullptr; socket = socket->next_) {
      if (socket->fd_ >= 0) close(socket->fd_);
      socket->fd_ = -1;
      socket->in_child_ = true;
    }
  }

  static void Add(ForkSafeSocket* socket) {
    CallInForkedChild(CloseInChild);
    const ForkLock lock;
    socket->next_ = first;
    if (first != nullptr) first->previous_ = socket;
    first = socket;
  }
  static void Remove(ForkSafeSocket* socket) {
    const ForkLock lock;
    if (socket->next_ != nullptr) socket->next_->previous_ = socket->previous_;
    (socket->previous_ != nullptr ? socket->previous_->next_ : first) = socket->next_;
  }
};

ForkSafeSocket::ForkSafeSocket() { SocketRegistry::Add(this); }

ForkSafeSocket::~ForkSafeSocket() {
  Close();
  SocketRegistry::Remove(this);
}

Status ForkSafeSocket::Open() {
  int error = 0;
  {
    const ForkLock lock;
    fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    error = errno;
  }
  if (fd_ >= 0) return {};
  return Resources("the system gives no socket for the attach: " + ErrnoText(error) +
                   "; raise the limit of open files (ulimit -n)");
}

void ForkSafeSocket::Close() {
  const ForkLock lock;
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

void ForkSafeSocket::Cut(const ForkLock&) {
  cut_ = true;
  if (fd_ >= 0) shutdown(fd_, SHUT_RDWR);
}

bool ForkSafeSocket::WasCut() const {
  const ForkLock lock;
  return cut_;
}

}  // namespace weightmesh::client
