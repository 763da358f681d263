// Two vectors that swap roles: the transport fills one while the core empties the other.
#include "daemon/runtime/data_events.h"

#include <string>
#include <utility>

namespace weightmesh {

DataEvents::DataEvents(Executor* executor, std::function<void(const Event&)> feed)
    : executor_(executor), feed_(std::move(feed)) {}

void DataEvents::OnPullRequest(const PullRequest& request) {
  Push(PullRequested{request}, /*solicited=*/false);
}
void DataEvents::OnPullCancel(NodeId peer, RequestId request_id) {
  Push(PullCancelled{peer, request_id}, /*solicited=*/false);
}
void DataEvents::OnPullAnswer(const PullAnswer& answer) {
  Push(PullAnswered{answer}, /*solicited=*/true);
}
void DataEvents::OnPullEnded(RequestId request_id, PullEnd end) {
  Push(PullEnded{request_id, end}, /*solicited=*/true);
}
void DataEvents::OnSendEnded(SendId send_id, bool sent) {
  Push(SendEnded{send_id, sent}, /*solicited=*/true);
}
void DataEvents::OnLinkDown(NodeId peer, absl::string_view reason) {
  Push(LinkDown{peer, std::string(reason)}, /*solicited=*/true);
}

uint64_t DataEvents::dropped() const {
  MutexLock lock(&mutex_);
  return dropped_;
}

void DataEvents::Push(Event event, bool solicited) {
  {
    MutexLock lock(&mutex_);
    if (!solicited) {
      if (unsolicited_ >= kUnsolicitedMax) {
        ++dropped_;
        return;
      }
      ++unsolicited_;
    }
    gathered_.push_back(std::move(event));
    if (posted_) return;
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
    posted_ = false;
  }
  for (const Event& event : draining_) feed_(event);
  draining_.clear();
}

}  // namespace weightmesh
