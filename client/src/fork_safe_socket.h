// ForkSafeSocket: the attach socket, which no forked child keeps open. Used by the handle's thread,
// but for Cut; the fork handlers of the process reach it under the ForkLock.
//
// A child that kept it would hide its parent's death from the daemon until it ends itself.
#pragma once

#include "client/src/fork_lock.h"
#include "client/src/status.h"

namespace weightmesh::client {

class ForkSafeSocket {
 public:
  ForkSafeSocket();
  ~ForkSafeSocket();
  ForkSafeSocket(const ForkSafeSocket&) = delete;
  ForkSafeSocket& operator=(const ForkSafeSocket&) = delete;

  // Makes an AF_UNIX stream socket. At no moment can a fork inherit it. RESOURCES when the system
  // has none left.
  Status Open();
  void Close();

  // Any thread, which holds the lock: ends the connection, now or as soon as there is one, so that
  // whoever waits on it wakes and finds its end.
  void Cut(const ForkLock& lock);
  bool WasCut() const;

  int fd() const { return fd_; }               // -1 when closed
  bool in_child() const { return in_child_; }  // true in a process forked since the construction

 private:
  friend struct SocketRegistry;

  int fd_ = -1;  // written under the ForkLock
  bool in_child_ = false;
  bool cut_ = false;                // guarded by the ForkLock
  ForkSafeSocket* next_ = nullptr;  // of the registry's list
  ForkSafeSocket* previous_ = nullptr;
};

}  // namespace weightmesh::client
