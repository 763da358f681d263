// The registry of live sockets, and the fork handlers that close them in a child.
#include "client/src/fork_safe_socket.h"

#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace weightmesh::client {

// pthread_atfork takes plain functions, so this is the one piece of state that handles share. A
// pthread_mutex_t, for it may be locked in prepare and unlocked in parent and child.
struct ForkRegistry {
  static inline pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  static inline pthread_once_t once = PTHREAD_ONCE_INIT;
  static inline ForkSafeSocket* first = nullptr;

  static void Register() { pthread_atfork(Prepare, Parent, Child); }
  static void Prepare() { pthread_mutex_lock(&mutex); }
  static void Parent() { pthread_mutex_unlock(&mutex); }
  static void Child() {
    for (ForkSafeSocket* socket = first; socket != nullptr; socket = socket->next_) {
      if (socket->fd_ >= 0) close(socket->fd_);
      socket->fd_ = -1;
      socket->in_child_ = true;
    }
    pthread_mutex_unlock(&mutex);
  }

  static void Add(ForkSafeSocket* socket) {
    pthread_mutex_lock(&mutex);
    socket->next_ = first;
    if (first != nullptr) first->previous_ = socket;
    first = socket;
    pthread_mutex_unlock(&mutex);
  }
  static void Remove(ForkSafeSocket* socket) {
    pthread_mutex_lock(&mutex);
    if (socket->next_ != nullptr) socket->next_->previous_ = socket->previous_;
    (socket->previous_ != nullptr ? socket->previous_->next_ : first) = socket->next_;
    pthread_mutex_unlock(&mutex);
  }
};

ForkSafeSocket::ForkSafeSocket() {
  pthread_once(&ForkRegistry::once, ForkRegistry::Register);
  ForkRegistry::Add(this);
}

ForkSafeSocket::~ForkSafeSocket() {
  Close();
  ForkRegistry::Remove(this);
}

Status ForkSafeSocket::Open() {
  pthread_mutex_lock(&ForkRegistry::mutex);
  fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int error = errno;
  const bool opened = fd_ >= 0;
  pthread_mutex_unlock(&ForkRegistry::mutex);
  if (opened) return {};
  return Resources("the system gives no socket for the attach: " + ErrnoText(error) +
                   "; raise the limit of open files (ulimit -n)");
}

void ForkSafeSocket::Close() {
  pthread_mutex_lock(&ForkRegistry::mutex);
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
  pthread_mutex_unlock(&ForkRegistry::mutex);
}

}  // namespace weightmesh::client
