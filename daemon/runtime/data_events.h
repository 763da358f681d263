// DataEvents: carries what happens on the links from a transport's thread to the core's.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "daemon/core/events.h"
#include "daemon/core/mutex.h"
#include "daemon/core/statistics.h"
#include "daemon/runtime/executor.h"
#include "daemon/transport/transport.h"

namespace weightmesh {

// One for each transport. Events keep their order; one wake-up serves all that gather before the
// core thread gets to them. Ends of pulls and sends always find room (their number is bounded by
// what was started); what peers send unasked does up to kUnsolicitedMax, each peer up to its fair
// share of that, and is refused beyond.
class DataEvents final : public TransportSink {
 public:
  static constexpr size_t kUnsolicitedMax = 65536;
  // Peers whose refused frames are counted apart; those of more count as of nobody known.
  static constexpr size_t kPeersCountedMax = 4096;

  // `feed` runs on the executor's thread. `executor` must outlive this.
  DataEvents(Executor* executor, std::function<void(const Event&)> feed);

  void OnPullRequest(const PullRequest& request) override;
  void OnPullCancel(NodeId peer, RequestId request_id) override;
  void OnPullAnswer(const PullAnswer& answer) override;
  void OnPullEnded(RequestId request_id, PullEnd end) override;
  void OnSendEnded(SendId send_id, bool sent) override;
  void OnLinkDown(NodeId peer, absl::string_view reason) override;
  void OnFrameRefused(NodeId peer, FrameRefusal reason) override;
  void OnBatchBegan() override;
  void OnBatchEnded() override;

  // Frames refused so far, by who sent them; zero: unknown. Any thread.
  std::map<NodeId, FrameRefusals> refused() const;

 private:
  void Push(Event event);
  void PushUnasked(NodeId peer, Event event);
  void PostDrain();
  void CountRefused(NodeId peer, FrameRefusal reason) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Drain();

  Executor* const executor_;
  const std::function<void(const Event&)> feed_;
  std::vector<Event> draining_;  // the executor's thread
  bool in_batch_ = false;        // the transport's thread

  mutable Mutex mutex_;
  std::vector<Event> gathered_ ABSL_GUARDED_BY(mutex_);
  size_t unsolicited_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<NodeId, size_t> unsolicited_by_peer_ ABSL_GUARDED_BY(mutex_);
  bool posted_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<NodeId, FrameRefusals> refused_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace weightmesh
