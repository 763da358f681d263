// One watcher's stream over gRPC's callback API.
#include "daemon/control/watch_call.h"

#include <string>
#include <utility>

#include "daemon/control/unary_reply.h"
#include "daemon/control/watch_feed.h"
#include "daemon/control/watched_state.h"

namespace weightmesh {
namespace {

// The bytes of `body` without a copy.
grpc::Slice Share(const EventBody& body) {
  auto* const held = new EventBody(body);
  return grpc::Slice(
      const_cast<char*>(body->data()), body->size(),
      [](void* shared) { delete static_cast<EventBody*>(shared); }, held);
}

}  // namespace

std::shared_ptr<WatchCall> WatchCall::Make(std::shared_ptr<WatchFeed> feed,
                                           std::shared_ptr<WatcherCount> count) {
  std::shared_ptr<WatchCall> call(new WatchCall(std::move(feed), std::move(count)));
  call->self_ = call;
  return call;
}

WatchCall::WatchCall(std::shared_ptr<WatchFeed> feed, std::shared_ptr<WatcherCount> count)
    : feed_(std::move(feed)), count_(std::move(count)) {}

bool WatchCall::TakePlace() {
  MutexLock lock(&mutex_);
  counted_ = count_->Add();
  return counted_;
}

// gRPC calls no reaction from within StartWrite or Finish, so the lock may be held.
void WatchCall::Send(uint64_t sequence, uint64_t events_lost, const EventBody& body) {
  MutexLock lock(&mutex_);
  if (ended_ || last_word_.has_value()) return;
  const grpc::Slice slices[] = {grpc::Slice(EventNumbers(sequence, events_lost)), Share(body)};
  event_ = grpc::ByteBuffer(slices, std::size(slices));
  writing_ = true;
  StartWrite(&event_);
}

void WatchCall::End(const absl::Status& status) {
  MutexLock lock(&mutex_);
  if (ended_ || last_word_.has_value()) return;
  if (writing_) {
    last_word_ = status;
    return;
  }
  ended_ = true;
  Finish(ToGrpcStatus(status));
}

void WatchCall::OnWriteDone(bool ok) {
  {
    MutexLock lock(&mutex_);
    writing_ = false;
    event_.Clear();
    if (!ok && !last_word_.has_value()) last_word_ = absl::CancelledError("the watcher is gone");
    if (last_word_.has_value()) {
      ended_ = true;
      Finish(ToGrpcStatus(*last_word_));
      return;
    }
  }
  feed_->Written(shared_from_this());
}

void WatchCall::OnCancel() { End(absl::CancelledError("the watcher is gone")); }

void WatchCall::OnDone() {
  done_.store(true);
  feed_->Leave(this);
  {
    MutexLock lock(&mutex_);
    if (counted_) count_->Remove();
  }
  const std::shared_ptr<WatchCall> last = std::move(self_);
}

}  // namespace weightmesh
