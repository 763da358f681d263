// Two vectors that swap roles: the transport fills one while the core empties the other.
#include "daemon/runtime/data_events.h"

#include <string>
#include <utility>

#include "daemon/core/fair_share.h"

namespace weightmesh {

DataEvents::DataEvents(Executor* executor, std::function<void(const Event&)> feed)
    : executor_(executor), feed_(std::move(feed)) {}

void DataEvents::OnPullRequest(const PullRequest& request) {
  PushUnasked(request.peer, PullRequested{request});
}
void DataEvents::OnPullCancel(NodeId peer, RequestId request_id) {
  PushUnasked(peer, PullCancelled{peer, request_id});
}
void DataEvents::OnPullAnswer(const PullAnswer& answer) { Push(PullAnswered{answer}); }
void DataEvents::OnPullEnded(RequestId request_id, PullEnd end) {
  Push(PullEnded{request_id, end});
}
void DataEvents::OnSendEnded(SendId send_id, bool sent) { Push(SendEnded{send_id, sent}); }
void DataEvents::OnLinkDown(NodeId peer, absl::string_view reason) {
  Push(LinkDown{peer, std::string(reason)});
}
void DataEvents::OnFrameRefused(NodeId peer, FrameRefusal reason) {
  {
    MutexLock lock(&mutex_);
    CountRefused(peer, reason);
  }
  PostDrain();
}

// Woken at the first event of a batch, the core would run beside the transport, and each would wake
// the other for every segment.
void DataEvents::OnBatchBegan() { in_batch_ = true; }
void DataEvents::OnBatchEnded() {
  in_batch_ = false;
  PostDrain();
}

std::map<NodeId, FrameRefusals> DataEvents::refused() const {
  MutexLock lock(&mutex_);
  return refused_;
}

void DataEvents::Push(Event event) {
  {
    MutexLock lock(&mutex_);
    gathered_.push_back(std::move(event));
  }
  PostDrain();
}

void DataEvents::PushUnasked(NodeId peer, Event event) {
  {
    MutexLock lock(&mutex_);
    size_t& of_peer = unsolicited_by_peer_[peer];
    if (HasFairShare(of_peer, unsolicited_, kUnsolicitedMax)) {
      ++of_peer;
      ++unsolicited_;
      gathered_.push_back(std::move(event));
    } else {
      CountRefused(peer, FrameRefusal::kOverrun);
    }
  }
  PostDrain();
}

// The core is told of the first, and whenever there are ten times as many: it logs, and a flood of
// bad frames must not become a flood of lines.
void DataEvents::CountRefused(NodeId peer, FrameRefusal reason) {
  const bool counted_apart = refused_.size() < kPeersCountedMax || refused_.count(peer) > 0;
  const NodeId counted_as = counted_apart ? peer : NodeId{};
  const uint64_t count = ++refused_[counted_as][static_cast<size_t>(reason)];
  if (IsPowerOfTen(count)) gathered_.push_back(FramesRefused{counted_as, reason, count});
}

void DataEvents::PostDrain() {
  if (in_batch_) return;
  {
    MutexLock lock(&mutex_);
    if (posted_ || gathered_.empty()) return;
    posted_ = true;
  }
  if (executor_->Post([this] { Drain(); })) return;
  MutexLock lock(&mutex_);
  posted_ = false;  // the executor is full: the next event tries again
}

void DataEvents::Drain() {
  {
    MutexLock lock(&mutex_);
    std::swap(gathered_, draining_);
    unsolicited_ = 0;
    unsolicited_by_peer_.clear();
    posted_ = false;
  }
  for (const Event& event : draining_) feed_(event);
  draining_.clear();
}

}  // namespace weightmesh
