// FaultTransport: a Transport that loses, delays, repeats, fails, damages and stops what goes
// through another one.
//
// For tests and for daemons that are told to misbehave. It has one thread of its own, which passes
// delayed operations on and reports the ends that it causes. Calls of the inner transport are
// serialised, and so are calls of the sink, whichever thread makes them.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/string_view.h"
#include "daemon/core/mutex.h"
#include "daemon/transport/transport.h"

namespace weightmesh {

// Which operations of one kind a fault hits: the nth (counted from 1; 0: none), and of the others
// each with probability `rate` in [0, 1], as a pure function of (seed, kind of fault, count).
struct FaultRule {
  double rate = 0;
  uint64_t nth = 0;
};

struct FaultOptions {
  uint64_t seed = 1;

  // Pull ends as kFailed; nothing is sent.
  FaultRule fail_pull = {};
  // The request is lost: the pull is silent until it is cancelled (kCancelled), or its link is
  // replaced, disconnected or down, or the transport stops (kFailed).
  FaultRule drop_request = {};
  // An Answer is lost; the puller hears nothing.
  FaultRule drop_answer = {};
  // The cancel of a pull is lost on its way in: this source goes on.
  FaultRule drop_cancel = {};
  // A request arrives twice; an Answer is sent twice; a Send is offered twice, of which the reader
  // takes at most one, and ends once both have.
  FaultRule duplicate_request = {};
  FaultRule duplicate_answer = {};
  FaultRule duplicate_send = {};
  // Send ends as not sent; the puller hears nothing.
  FaultRule fail_send = {};
  // One bit of landed data is flipped; host memory only.
  FaultRule corrupt = {};
  // The second half of the landing memory keeps its former bytes; host memory only.
  FaultRule tear = {};
  // The data stops in the middle: the pull has begun and does not end, cancelled or not, until its
  // link is closed by force, replaced or down, or the transport stops (kFailed). The second half
  // lands just before that end: as late as a transport may write. Host memory only.
  FaultRule stop_pull = {};
  // The same at the source: its reader never says that it has all; Send ends as not sent, likewise.
  FaultRule stop_send = {};

  // Each Pull, Answer and Send waits a time drawn evenly from [min, max]; never overtaking an
  // earlier one to the same peer. Cancels are not delayed.
  uint32_t delay_ms_min = 0;
  uint32_t delay_ms_max = 0;
  // Beyond this many waiting, a Pull or Send fails and an Answer is lost.
  size_t delayed_max = 65536;
};

// How many operations each fault hit.
struct FaultCounts {
  uint64_t pulls_failed = 0;
  uint64_t requests_dropped = 0;
  uint64_t answers_dropped = 0;
  uint64_t cancels_dropped = 0;
  uint64_t requests_duplicated = 0;
  uint64_t answers_duplicated = 0;
  uint64_t sends_duplicated = 0;
  uint64_t sends_failed = 0;
  uint64_t corrupted = 0;
  uint64_t torn = 0;
  uint64_t pulls_stopped = 0;
  uint64_t sends_stopped = 0;
  uint64_t delayed = 0;
  friend bool operator==(const FaultCounts&, const FaultCounts&) = default;
};

class FaultTransport : public Transport, private TransportSink {
 public:
  // `inner` must not be started.
  FaultTransport(std::unique_ptr<Transport> inner, const FaultOptions& options);
  // Stops, unless stopped already.
  ~FaultTransport() override;

  absl::Status Start(TransportSink* sink) override;
  std::string address() const override { return inner_->address(); }
  absl::Status CheckAddress(absl::string_view address) const override {
    return inner_->CheckAddress(address);
  }
  bool Supports(MemoryKind kind) const override { return inner_->Supports(kind); }
  absl::Status Register(absl::Span<std::byte> memory, MemoryKind kind) override;
  void Unregister(absl::Span<std::byte> memory) override;
  void Connect(const PeerLink& link) override;
  void Disconnect(NodeId node, bool force) override;
  void Pull(const PullRequest& request, absl::Span<std::byte> landing) override;
  void Cancel(RequestId request_id) override;
  void Answer(const PullAnswer& answer) override;
  void Send(const PullAnswer& answer, absl::Span<const std::byte> data, SendId send_id) override;
  std::vector<PathReport> Paths() const override { return inner_->Paths(); }
  uint64_t frames_refused() const override { return inner_->frames_refused(); }
  uint64_t answers_unasked() const override { return inner_->answers_unasked(); }
  void Stop() override;

  // Any thread.
  FaultCounts counts() const;

 private:
  using Clock = std::chrono::steady_clock;

  struct DelayedPull {
    PullRequest request;
    absl::Span<std::byte> landing;
  };
  struct DelayedAnswer {
    PullAnswer answer;
    bool twice = false;
  };
  struct DelayedSend {
    PullAnswer answer;
    absl::Span<const std::byte> data;
    SendId send_id;
    bool twice = false;
  };
  using Operation = std::variant<DelayedPull, DelayedAnswer, DelayedSend>;

  struct PullEnded {
    RequestId request_id;
    PullEnd end;
  };
  struct SendEnded {
    SendId send_id;
  };
  using Completion = std::variant<PullEnded, SendEnded>;

  // What to do to a landing once its data is there.
  struct Damage {
    NodeId peer;
    absl::Span<std::byte> landing;
    bool flip = false;
    bool tear = false;
    bool stop = false;
    std::vector<std::byte> former;  // of the landing's second half, to tear or stop
  };
  // A pull whose data stopped in the middle.
  struct StoppedPull {
    NodeId peer;
    absl::Span<std::byte> second_half;
    std::vector<std::byte> data;  // what lands there at the end
  };
  struct StoppedSend {
    NodeId peer;
    bool over = false;  // the inner transport is done with it
  };
  // A send that was offered twice.
  struct SendCopies {
    uint32_t open = 2;
    bool sent = false;
  };

  // Calls of the inner transport, each by whoever holds inner_mutex_.
  void Forward(const Operation& operation) ABSL_EXCLUSIVE_LOCKS_REQUIRED(inner_mutex_);
  void ForwardDelayed(NodeId peer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(inner_mutex_);

  bool Hits(const FaultRule& rule, uint64_t kind, uint64_t count) const;
  // The operation's delay, or none when it should be forwarded at once.
  bool Delay(NodeId peer, Operation operation) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void PlanDamage(const PullRequest& request, absl::Span<std::byte> landing)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Ends what is delayed for `peer`, or for all.
  void EndDelayed(std::optional<NodeId> peer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Ends the pulls whose requests were dropped, of `peer` or of all.
  void EndDropped(std::optional<NodeId> peer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Ends what stopped in the middle with `peer`, or with all; what is open there stops no more.
  void EndStopped(std::optional<NodeId> peer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // False when the pull has stopped instead: its end is told later.
  bool ApplyDamage(RequestId request_id, Damage damage) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Complete(Completion completion) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  void Run();
  void DeliverCompletions();

  // From the inner transport.
  void OnPullRequest(const PullRequest& request) override;
  void OnPullCancel(NodeId peer, RequestId request_id) override;
  void OnPullAnswer(const PullAnswer& answer) override;
  void OnPullEnded(RequestId request_id, PullEnd end) override;
  void OnSendEnded(SendId send_id, bool sent) override;
  void OnLinkDown(NodeId peer, absl::string_view reason) override;
  void OnFrameRefused(NodeId peer, FrameRefusal reason) override;

  const std::unique_ptr<Transport> inner_;
  const FaultOptions options_;
  TransportSink* sink_ = nullptr;

  // Lock order: inner_mutex_ or sink_mutex_, then mutex_; nothing is called under mutex_.
  Mutex inner_mutex_;
  Mutex sink_mutex_;
  mutable Mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  // By when it is due, then by order of arrival.
  std::map<std::pair<Clock::time_point, uint64_t>, std::pair<NodeId, Operation>> delayed_
      ABSL_GUARDED_BY(mutex_);
  std::map<NodeId, Clock::time_point> last_due_ ABSL_GUARDED_BY(mutex_);
  std::map<RequestId, NodeId> dropped_ ABSL_GUARDED_BY(mutex_);
  std::map<RequestId, Damage> damage_ ABSL_GUARDED_BY(mutex_);
  std::map<RequestId, StoppedPull> stopped_pulls_ ABSL_GUARDED_BY(mutex_);
  std::map<SendId, StoppedSend> stopped_sends_ ABSL_GUARDED_BY(mutex_);
  std::map<SendId, SendCopies> send_copies_ ABSL_GUARDED_BY(mutex_);
  std::vector<Completion> completions_ ABSL_GUARDED_BY(mutex_);
  uint64_t pulls_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t answers_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t sends_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t requests_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t cancels_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t delays_ ABSL_GUARDED_BY(mutex_) = 0;
  FaultCounts counts_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace weightmesh
