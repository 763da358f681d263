// LoopbackTransport: passes each call on, as a message, to the worker's data thread.
#include "daemon/transport/loopback.h"

#include <utility>

#include "daemon/core/check.h"
#include "daemon/transport/loopback_mailbox.h"
#include "daemon/transport/loopback_worker.h"

namespace weightmesh {

using loopback_internal::Exchange;
using loopback_internal::Worker;

LoopbackHub::LoopbackHub() : exchange_(std::make_shared<Exchange>()) {}
LoopbackHub::~LoopbackHub() = default;

LoopbackTransport::LoopbackTransport(const LoopbackHub& hub, LoopbackOptions options)
    : options_(options), exchange_(hub.exchange_) {}

LoopbackTransport::~LoopbackTransport() = default;

absl::Status LoopbackTransport::Start(TransportSink* sink) {
  WEIGHTMESH_CHECK(worker_ == nullptr, "a transport was started twice");
  worker_ = std::make_unique<Worker>(exchange_, options_.pulls_max, options_.sends_max, sink);
  return absl::OkStatus();
}

std::string LoopbackTransport::address() const { return worker_->address(); }

bool LoopbackTransport::Supports(MemoryKind kind) const { return kind == MemoryKind::kHost; }

absl::Status LoopbackTransport::Register(absl::Span<std::byte> memory, MemoryKind kind) {
  if (!Supports(kind)) {
    return absl::InvalidArgumentError("the loopback transport copies host memory only");
  }
  if (!worker_->memory().Add(memory, kind)) {
    return absl::InvalidArgumentError("memory is empty, or overlaps memory registered before");
  }
  return absl::OkStatus();
}

void LoopbackTransport::Unregister(absl::Span<std::byte> memory) {
  MemoryKind kind;
  WEIGHTMESH_CHECK(worker_->memory().Remove(memory, &kind), "memory was not registered");
}

void LoopbackTransport::Connect(const PeerLink& link) {
  worker_->Post(loopback_internal::ConnectCommand{link});
}

void LoopbackTransport::Disconnect(NodeId node, bool force) {
  worker_->Post(loopback_internal::DisconnectCommand{node, force});
}

void LoopbackTransport::Pull(const PullRequest& request, absl::Span<std::byte> landing) {
  const bool registered = worker_->memory().Find(landing) != nullptr;
  worker_->Post(loopback_internal::PullCommand{request, landing, registered});
}

void LoopbackTransport::Cancel(RequestId request_id) {
  worker_->Post(loopback_internal::CancelCommand{request_id});
}

void LoopbackTransport::Answer(const PullAnswer& answer) {
  worker_->Post(loopback_internal::AnswerCommand{answer});
}

void LoopbackTransport::Send(const PullAnswer& answer, absl::Span<const std::byte> data,
                             SendId send_id) {
  const bool registered = worker_->memory().Find(data) != nullptr;
  worker_->Post(loopback_internal::SendCommand{answer, data, send_id, registered});
}

std::vector<PathReport> LoopbackTransport::Paths() const { return worker_->Paths(); }

uint64_t LoopbackTransport::frames_refused() const { return worker_->frames_refused(); }
uint64_t LoopbackTransport::answers_unasked() const { return worker_->answers_unasked(); }

void LoopbackTransport::Stop() { worker_->Join(); }

}  // namespace weightmesh
