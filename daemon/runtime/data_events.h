// DataEvents: carries what happens on the links from a transport's thread to the core's.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "daemon/core/events.h"
#include "daemon/core/mutex.h"
#include "daemon/runtime/executor.h"
#include "daemon/transport/transport.h"

namespace weightmesh {

// One for each transport. Events keep their order; one wake-up serves all that gather before the
// core thread gets to them. Ends of pulls and sends always find room (their number is bounded by
// what was started); what peers send unasked does up to kUnsolicitedMax, and is dropped and counted
// beyond.
class DataEvents final : public TransportSink {
 public:
  static constexpr size_t kUnsolicitedMax = 65536;

  // `feed` runs on the executor's thread. `executor` must outlive this.
  DataEvents(Executor* executor, std::function<void(const Event&)> feed);

  void OnPullRequest(const PullRequest& request) override;
  void OnPullCancel(NodeId peer, RequestId request_id) override;
  void OnPullAnswer(const PullAnswer& answer) override;
  void OnPullEnded(RequestId request_id, PullEnd end) override;
  void OnSendEnded(SendId send_id, bool sent) override;
  void OnLinkDown(NodeId peer, absl::string_view reason) override;

  // Frames dropped because the core was behind. Any thread.
  uint64_t dropped() const;

 private:
  void Push(Event event, bool solicited);
  void Drain();

  Executor* const executor_;
  const std::function<void(const Event&)> feed_;
  std::vector<Event> draining_;  // the executor's thread

  mutable Mutex mutex_;
  std::vector<Event> gathered_ ABSL_GUARDED_BY(mutex_);
  size_t unsolicited_ ABSL_GUARDED_BY(mutex_) = 0;
  bool posted_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t dropped_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace weightmesh
