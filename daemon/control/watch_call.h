// WatchCall: one call of WatchTopology or WatchStats: writes one event at a time, ends exactly
// once.
//
// Includes gRPC: for the .cc files of services only.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "daemon/control/event_log.h"
#include "daemon/control/watch_limits.h"
#include "daemon/core/mutex.h"

namespace weightmesh {

class WatchFeed;

// Events go out as bytes, so that all watchers share one. Any thread; whoever calls a method holds
// a shared_ptr.
class WatchCall final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                        public std::enable_shared_from_this<WatchCall> {
 public:
  // Lives until gRPC is done with it. The caller returns it to gRPC as the call's reactor.
  static std::shared_ptr<WatchCall> Make(std::shared_ptr<WatchFeed> feed,
                                         std::shared_ptr<WatcherCount> count);

  // Counts it among the watchers until its end; false: too many.
  bool TakePlace();

  // Writes an event: its numbers, and `body`. REQUIRES: the last one was written.
  // WatchFeed::Written follows unless the call ends.
  void Send(uint64_t sequence, uint64_t events_lost, const EventBody& body);

  // The last word, after the event that is being written. Later ones are dropped.
  void End(const absl::Status& status);

  // Whether gRPC is done with it.
  bool done() const { return done_.load(); }

 private:
  WatchCall(std::shared_ptr<WatchFeed> feed, std::shared_ptr<WatcherCount> count);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  const std::shared_ptr<WatchFeed> feed_;
  const std::shared_ptr<WatcherCount> count_;
  std::shared_ptr<WatchCall> self_;  // until OnDone
  std::atomic<bool> done_{false};

  Mutex mutex_;
  bool counted_ ABSL_GUARDED_BY(mutex_) = false;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<absl::Status> last_word_ ABSL_GUARDED_BY(mutex_);  // waits for the write to end
  grpc::ByteBuffer event_ ABSL_GUARDED_BY(mutex_);                 // gRPC's while writing_
};

}  // namespace weightmesh
