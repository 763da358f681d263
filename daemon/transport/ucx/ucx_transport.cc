// UcxTransport: posts what the core's thread asks to the data thread.
#include "daemon/transport/ucx/ucx_transport.h"

#include <future>
#include <utility>
#include <vector>

#include "daemon/core/check.h"
#include "daemon/transport/ucx/command_queue.h"
#include "daemon/transport/ucx/data_thread.h"
#include "daemon/transport/ucx/network_device.h"
#include "daemon/transport/ucx/ucx_worker.h"

namespace weightmesh {
namespace {

// On the core's thread: posts everything to the data thread.
class UcxTransportImpl final : public UcxTransport {
 public:
  UcxTransportImpl(std::unique_ptr<UcxWorker> worker, const UcxOptions& options)
      : data_thread_(std::move(worker), options) {}

  ~UcxTransportImpl() override {
    if (state_ == State::kRunning) Stop();
  }

  absl::Status Start(TransportSink* sink) override {
    WEIGHTMESH_CHECK(state_ == State::kNew, "a transport was started twice");
    state_ = State::kRunning;
    data_thread_.Start(sink);
    return absl::OkStatus();
  }

  std::string address() const override { return data_thread_.worker().address(); }

  absl::Status CheckAddress(absl::string_view address) const override {
    return ParseWorkerAddress(address).status();
  }

  bool Supports(MemoryKind kind) const override {
    return kind == MemoryKind::kHost || data_thread_.worker().supports_cuda();
  }

  absl::Status Register(absl::Span<std::byte> memory, MemoryKind kind) override {
    if (!Supports(kind)) {
      return absl::InvalidArgumentError(
          "this UCX was built without CUDA; use host memory, or a UCX with its CUDA modules");
    }
    std::promise<absl::Status> done;
    data_thread_.Post(RegisterCommand{memory, kind, &done});
    return done.get_future().get();
  }

  void Unregister(absl::Span<std::byte> memory) override {
    std::promise<absl::Status> done;
    data_thread_.Post(UnregisterCommand{memory, &done});
    WEIGHTMESH_CHECK(done.get_future().get().ok(), "memory was not registered");
  }

  void Connect(const PeerLink& link) override {
    const uint64_t serial = data_thread_.tokens().Set(link.node, link.receive_token);
    data_thread_.Post(ConnectCommand{link, serial});
  }

  void Disconnect(NodeId node, bool force) override {
    if (force) data_thread_.tokens().Remove(node);
    data_thread_.Post(DisconnectCommand{node, force});
  }

  void Pull(const PullRequest& request, absl::Span<std::byte> landing) override {
    data_thread_.Post(PullCommand{request, landing});
  }
  void Cancel(RequestId request_id) override { data_thread_.Post(CancelCommand{request_id}); }
  void Answer(const PullAnswer& answer) override { data_thread_.Post(AnswerCommand{answer}); }
  void Send(const PullAnswer& answer, absl::Span<const std::byte> data, SendId send_id) override {
    data_thread_.Post(SendCommand{answer, data, send_id});
  }

  std::vector<PathReport> Paths() const override { return data_thread_.Paths(); }
  uint64_t frames_refused() const override { return data_thread_.frames_refused(); }
  uint64_t answers_unasked() const override { return data_thread_.answers_unasked(); }
  size_t endpoints_open() const override { return data_thread_.endpoints_open(); }
  const std::map<std::string, std::string>& settings() const override {
    return data_thread_.worker().settings();
  }

  void Stop() override {
    WEIGHTMESH_CHECK(state_ == State::kRunning, "a transport that does not run was stopped");
    state_ = State::kStopped;
    data_thread_.Join();
  }

 private:
  enum class State { kNew, kRunning, kStopped };

  State state_ = State::kNew;
  UcxDataThread data_thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<UcxTransport>> NewUcxTransport(const UcxOptions& options) {
  std::string devices = options.network_devices;
  if (!devices.empty()) {
    if (absl::Status status = CheckNetworkDevices(devices); !status.ok()) return status;
  } else {
    absl::StatusOr<std::string> found = NetworkDevicesOf(options.control_ip);
    if (!found.ok()) return found.status();
    devices = *std::move(found);
  }
  absl::StatusOr<std::unique_ptr<UcxWorker>> worker = UcxWorker::New(devices);
  if (!worker.ok()) return worker.status();
  return std::make_unique<UcxTransportImpl>(*std::move(worker), options);
}

}  // namespace weightmesh
