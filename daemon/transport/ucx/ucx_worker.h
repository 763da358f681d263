// UcxWorker: one UCX context with one worker, and the file descriptors that its owner sleeps on.
//
// Made on one thread, then used by one other; nothing here is thread-safe.
#pragma once

#include <ucp/api/ucp.h>

#include <cstddef>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "daemon/transport/transport.h"

namespace weightmesh {

// "<what>: <UCX's text>", with the code by what the caller can do.
absl::Status UcxError(absl::string_view what, ucs_status_t status);

class UcxWorker {
 public:
  // `network_devices` as in UCX_NET_DEVICES; empty leaves UCX's default. The environment's UCX_*
  // win over every default of ours.
  static absl::StatusOr<std::unique_ptr<UcxWorker>> New(const std::string& network_devices);
  // Destroys the worker, so that nothing lands any more, and the context. Every memory must be
  // unmapped after CloseWorker() and before.
  ~UcxWorker();
  UcxWorker(const UcxWorker&) = delete;
  UcxWorker& operator=(const UcxWorker&) = delete;

  ucp_worker_h handle() const { return worker_; }
  // By which other workers reach this one; checked by ParseAddress.
  const std::string& address() const { return address_; }
  const std::map<std::string, std::string>& settings() const { return settings_; }
  // The value of a setting without its origin; empty when neither we nor the environment made it.
  std::string setting(const std::string& name) const;
  const std::string& version() const { return version_; }
  // UCX_TCP_RX_SEG_SIZE, in bytes.
  size_t tcp_receive_segment() const { return tcp_receive_segment_; }
  bool supports_cuda() const { return supports_cuda_; }

  // True when something moved.
  bool Progress() { return ucp_worker_progress(worker_) != 0; }

  // Sleeps until the worker has work, Wake() was called or `timeout_ms` have passed; at once when
  // there is work already.
  void Sleep(int timeout_ms);
  // Any thread.
  void Wake();

  absl::StatusOr<ucp_mem_h> Map(absl::Span<std::byte> memory, MemoryKind kind);
  void Unmap(ucp_mem_h memory);

  // Ends all communication; only Unmap may follow.
  void CloseWorker();

 private:
  UcxWorker() = default;
  absl::Status OpenContext(const std::string& network_devices);
  absl::Status OpenWorker();
  absl::Status OpenDescriptors();

  std::map<std::string, std::string> settings_;
  std::string version_;
  std::string address_;
  ucp_context_h context_ = nullptr;
  ucp_worker_h worker_ = nullptr;
  bool supports_cuda_ = false;
  size_t tcp_receive_segment_ = 0;
  int epoll_fd_ = -1;
  int wake_fd_ = -1;
};

// The UCX address within what address() of another daemon's worker returned, or InvalidArgument
// when it is cut off, damaged or of something else. A view into `address`.
absl::StatusOr<absl::string_view> ParseWorkerAddress(absl::string_view address);

ucs_memory_type_t UcxMemoryType(MemoryKind kind);

}  // namespace weightmesh
