// ForkSafeSocket: the attach socket, which no forked child keeps open. Used by the handle's thread;
// the fork handlers of the process reach it under one lock.
//
// A child that kept it would hide its parent's death from the daemon until it ends itself.
#pragma once

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

  int fd() const { return fd_; }               // -1 when closed
  bool in_child() const { return in_child_; }  // true in a process forked since the construction

 private:
  friend struct ForkRegistry;

  int fd_ = -1;
  bool in_child_ = false;
  ForkSafeSocket* next_ = nullptr;  // of the registry's list
  ForkSafeSocket* previous_ = nullptr;
};

}  // namespace weightmesh::client
