// The lock, and the fork handlers around it.
#include "client/src/fork_lock.h"

#include <pthread.h>

#include <atomic>

namespace weightmesh::client {
namespace {

// pthread_atfork takes plain functions, so this is process-wide. pthread's own types, for a mutex
// may be locked in prepare and unlocked in the child, and nothing here is destroyed at exit.
struct Shared {
  pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
  std::atomic<uint64_t> forks{0};
  void (*in_child)() = nullptr;  // guarded by mutex
};
constinit Shared shared;

void BeforeFork() { pthread_mutex_lock(&shared.mutex); }

void InParent() { pthread_mutex_unlock(&shared.mutex); }

void InChild() {
  shared.changed = PTHREAD_COND_INITIALIZER;  // the threads that waited are not here
  shared.forks.fetch_add(1, std::memory_order_relaxed);
  if (shared.in_child != nullptr) shared.in_child();
  pthread_mutex_unlock(&shared.mutex);
}

void Register() { pthread_atfork(BeforeFork, InParent, InChild); }

}  // namespace

ForkLock::ForkLock() {
  pthread_once(&shared.once, Register);
  pthread_mutex_lock(&shared.mutex);
}

ForkLock::~ForkLock() { pthread_mutex_unlock(&shared.mutex); }

void ForkLock::Wait() { pthread_cond_wait(&shared.changed, &shared.mutex); }

void ForkLock::NotifyAll() { pthread_cond_broadcast(&shared.changed); }

uint64_t ForkLock::forks() { return shared.forks.load(std::memory_order_relaxed); }

void CallInForkedChild(void (*in_child)()) {
  const ForkLock lock;
  shared.in_child = in_child;
}

}  // namespace weightmesh::client
