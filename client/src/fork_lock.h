// ForkLock: the one lock of what all handles of the process share. A fork waits for it, so that the
// child finds it free and what it guards whole.
#pragma once

#include <cstdint>

namespace weightmesh::client {

// Held from its construction to its destruction. Not recursive.
class ForkLock {
 public:
  ForkLock();
  ~ForkLock();
  ForkLock(const ForkLock&) = delete;
  ForkLock& operator=(const ForkLock&) = delete;

  // Lets go of the lock until NotifyAll is called, then holds it again. May return without a
  // reason.
  void Wait();
  void NotifyAll();

  // How many forks lie between this process and the one that loaded the library. Any thread,
  // without the lock.
  static uint64_t forks();
};

// `in_child` runs in every forked child, on its only thread, with the lock held. At most one, set
// before the first fork that matters; later calls with the same function change nothing.
void CallInForkedChild(void (*in_child)());

}  // namespace weightmesh::client
