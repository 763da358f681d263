// LoopbackTransport: segments between transports of one process, by copying.
//
// In production it serves pulls between replicas of one daemon (a link to oneself); in tests it
// joins many nodes of one process. Each transport has one data thread, which copies what it pulls
// and calls the sink.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "daemon/transport/transport.h"

namespace weightmesh {

namespace loopback_internal {
class Exchange;
class Worker;
}  // namespace loopback_internal

// The wire: which LoopbackTransport has which address. Thread-safe; shared by its transports.
class LoopbackHub {
 public:
  LoopbackHub();
  ~LoopbackHub();
  LoopbackHub(const LoopbackHub&) = delete;
  LoopbackHub& operator=(const LoopbackHub&) = delete;

 private:
  friend class LoopbackTransport;
  std::shared_ptr<loopback_internal::Exchange> exchange_;
};

struct LoopbackOptions {
  // Beyond these, a Pull ends as kNoRoom and a Send as not sent, at once.
  size_t pulls_max = 16384;
  size_t sends_max = 16384;
};

// A link to oneself (PeerLink::node is the own node) is allowed; its two tokens are then equal.
class LoopbackTransport : public Transport {
 public:
  // `hub` need not outlive the transport.
  explicit LoopbackTransport(const LoopbackHub& hub, LoopbackOptions options = {});
  // Stops, unless stopped already.
  ~LoopbackTransport() override;
  LoopbackTransport(const LoopbackTransport&) = delete;
  LoopbackTransport& operator=(const LoopbackTransport&) = delete;

  absl::Status Start(TransportSink* sink) override;
  std::string address() const override;
  absl::Status CheckAddress(absl::string_view) const override { return absl::OkStatus(); }
  bool Supports(MemoryKind kind) const override;
  absl::Status Register(absl::Span<std::byte> memory, MemoryKind kind) override;
  void Unregister(absl::Span<std::byte> memory) override;
  void Connect(const PeerLink& link) override;
  void Disconnect(NodeId node, bool force) override;
  void Pull(const PullRequest& request, absl::Span<std::byte> landing) override;
  void Cancel(RequestId request_id) override;
  void Answer(const PullAnswer& answer) override;
  void Send(const PullAnswer& answer, absl::Span<const std::byte> data, SendId send_id) override;
  std::vector<PathReport> Paths() const override;
  uint64_t frames_refused() const override;
  uint64_t answers_unasked() const override;
  void Stop() override;

 private:
  const LoopbackOptions options_;
  std::shared_ptr<loopback_internal::Exchange> exchange_;
  std::unique_ptr<loopback_internal::Worker> worker_;  // null before Start
};

}  // namespace weightmesh
