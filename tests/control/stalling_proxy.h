// StallingProxy: a TCP connection that can fall silent, as when a network is cut.
#pragma once

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "daemon/mem/file_descriptor.h"

namespace weightmesh::testing {

// Forwards the connections to its address, one thread for all, until told not to.
class StallingProxy {
 public:
  // `target` is "127.0.0.1:<port>".
  explicit StallingProxy(const std::string& target);
  ~StallingProxy();
  StallingProxy(const StallingProxy&) = delete;
  StallingProxy& operator=(const StallingProxy&) = delete;

  const std::string& address() const { return address_; }
  // Forwards nothing any more and closes nothing.
  void Stall() { stalled_ = true; }

 private:
  void Run();
  void Accept();

  int target_port_ = 0;
  std::string address_;
  FileDescriptor listener_;
  FileDescriptor wake_;
  std::atomic<bool> stalled_{false};
  std::atomic<bool> ended_{false};
  std::vector<FileDescriptor> ends_;  // 2 k and 2 k + 1 are joined
  std::thread thread_;
};

}  // namespace weightmesh::testing
