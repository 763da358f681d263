// AttachChannel: framed messages over the attach socket, every one under a deadline. Used by the
// handle's thread.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "client/src/fork_safe_socket.h"
#include "client/src/status.h"
#include "client/src/unique_fd.h"
#include "proto/attach.h"

namespace weightmesh::client {

using Clock = std::chrono::steady_clock;

// Longest wait for a daemon that listens but does not accept.
constexpr std::chrono::seconds kConnectTimeout{5};

class AttachChannel {
 public:
  // Connects to the daemon's socket. ALONE when nobody listens there; INVALID for a path that no
  // socket can have; REFUSED when this user may not connect; RESOURCES.
  Status Connect(const std::string& socket_path);

  // Sends one message whole, or gives ALONE: the daemon is gone, or did not read it by `deadline`.
  Status Send(attach::MessageType type, std::string_view payload, Clock::time_point deadline);

  // Receives one message. ALONE: the daemon closed the socket; START_TIMEOUT: none came by
  // `deadline`; REFUSED: what came is not this protocol, or another version of it.
  Status Receive(Clock::time_point deadline, attach::MessageType* type, std::string* payload);

  // The descriptors that came with the messages so far; they are the caller's.
  std::vector<UniqueFd> TakeDescriptors() { return std::move(descriptors_); }

  // True when the daemon has closed its end. Reads away whatever else it sent.
  bool HasHungUp();

  void Close() { socket_.Close(); }
  // Any thread; see ForkSafeSocket. Every wait ends with ALONE.
  void Cut(const ForkLock& lock) { socket_.Cut(lock); }
  int fd() const { return socket_.fd(); }
  bool in_child() const { return socket_.in_child(); }
  const std::string& socket_path() const { return socket_path_; }

 private:
  // Reads exactly `bytes` bytes, and the descriptors that come with them.
  Status ReceiveBytes(Clock::time_point deadline, void* to, size_t bytes);
  Status WaitFor(short events, Clock::time_point deadline);

  ForkSafeSocket socket_;
  std::string socket_path_;
  std::vector<UniqueFd> descriptors_;
};

}  // namespace weightmesh::client
