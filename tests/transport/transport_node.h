// TransportNode: one end of a transport test: a transport, guarded memory, and a sink that records
// what happens and checks that every pull and send ends exactly once.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "daemon/core/mutex.h"
#include "daemon/transport/transport.h"

namespace weightmesh {

// Longer than anything may take on a loaded machine; a test that waits this long has failed.
constexpr std::chrono::seconds kPatience{40};

// Records the calls of a transport. Thread-safe.
class RecordingSink : public TransportSink {
 public:
  struct Pulled {
    std::vector<PullAnswer> answers;
    std::vector<PullEnd> ends;
  };

  void OnPullRequest(const PullRequest& request) override;
  void OnPullCancel(NodeId peer, RequestId request_id) override;
  void OnPullAnswer(const PullAnswer& answer) override;
  void OnPullEnded(RequestId request_id, PullEnd end) override;
  void OnSendEnded(SendId send_id, bool sent) override;
  void OnLinkDown(NodeId peer, absl::string_view reason) override;
  void OnFrameRefused(NodeId peer, FrameRefusal reason) override;
  void OnBatchBegan() override { std::this_thread::sleep_for(pause_.load()); }

  // Waits until `condition`, which is evaluated under the sink's lock; false after kPatience.
  bool WaitFor(const std::function<bool(const RecordingSink&)>& condition);

  // The transport's thread pauses for so long before each batch of what it does, as on a busy
  // machine.
  void PauseBatches(std::chrono::milliseconds pause) { pause_ = pause; }

  // Only within WaitFor's condition, or once the transport has stopped.
  std::vector<PullRequest> requests;
  std::vector<RequestId> cancels;
  std::map<RequestId, Pulled> pulls;
  std::map<SendId, std::vector<bool>> sends;
  std::vector<NodeId> links_down;
  std::vector<std::pair<NodeId, FrameRefusal>> refusals;

 private:
  std::atomic<std::chrono::milliseconds> pause_{std::chrono::milliseconds(0)};
  Mutex mutex_;
  std::condition_variable changed_;
};

class TransportNode {
 public:
  // Starts `transport` and registers `memory_bytes` of memory with it. `number` names the node.
  TransportNode(uint64_t number, std::unique_ptr<Transport> transport,
                size_t memory_bytes = size_t{48} << 20);
  // Stops, and checks that each pull and send has ended exactly once and that no guard was touched.
  ~TransportNode();

  NodeId id() const { return id_; }
  Transport& transport() { return *transport_; }
  RecordingSink& sink() { return sink_; }

  // Fresh registered memory between guards, filled with kUntouched.
  absl::Span<std::byte> Allocate(size_t bytes);
  // The same, filled with bytes that depend on `seed` and position.
  absl::Span<std::byte> AllocatePattern(size_t bytes, uint64_t seed);

  // How far from the round of a pull that is asked for from now on its data's may be; 0 and 0
  // before.
  void AcceptRounds(uint64_t behind_max, uint64_t ahead_max) {
    rounds_behind_max_ = behind_max;
    rounds_ahead_max_ = ahead_max;
  }
  // Asks `peer` for a segment; ids count up from 1.
  RequestId Pull(const TransportNode& peer, absl::Span<std::byte> landing, uint32_t segment = 0);
  RequestId PullFrom(NodeId peer, absl::Span<std::byte> landing, uint32_t segment = 0);
  SendId Send(const PullRequest& request, absl::Span<const std::byte> data);
  void Answer(const PullRequest& request, wire::Verdict verdict);

  // The nth request that arrived, counted from 0; waits for it. A request of zeros on failure.
  PullRequest WaitForRequest(size_t nth = 0);
  // How a pull or a send ended; waits for it.
  PullEnd WaitForEnd(RequestId request_id);
  bool WaitForSent(SendId send_id);

  // Stops the transport; once.
  void Stop();

 private:
  const NodeId id_;
  RecordingSink sink_;
  std::unique_ptr<Transport> transport_;
  bool stopped_ = false;
  std::vector<std::byte> memory_;
  size_t used_ = 0;
  std::vector<absl::Span<std::byte>> guards_;
  uint64_t last_request_ = 0;
  uint64_t rounds_behind_max_ = 0;
  uint64_t rounds_ahead_max_ = 0;
  uint64_t last_send_ = 0;
};

constexpr std::byte kUntouched{0x5a};

// Whether `bytes` are those of AllocatePattern(bytes.size(), seed).
bool HoldsPattern(absl::Span<const std::byte> bytes, uint64_t seed);
bool IsUntouched(absl::Span<const std::byte> bytes);

// Joins two nodes by fresh tokens.
void Link(TransportNode& a, TransportNode& b);

}  // namespace weightmesh
