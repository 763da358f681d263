// WatchFeed: asks the core one question again and again while anybody watches, for all who do.
//
// The core answers once for all that are due; comparing, serializing and writing happen on gRPC's
// threads. Includes gRPC: for the .cc files of services only.
#pragma once

#include <grpcpp/alarm.h>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "daemon/control/event_log.h"
#include "daemon/control/watch_call.h"
#include "daemon/control/watch_limits.h"
#include "daemon/control/watched_state.h"
#include "daemon/core/mutex.h"

namespace weightmesh {

// Any thread. Made with make_shared.
class WatchFeed : public std::enable_shared_from_this<WatchFeed> {
 public:
  using Answer = std::function<void(absl::StatusOr<WatchedStatePtr>)>;
  // Asks the core, as MeshSource's methods do; `detailed` if any watcher that is due wants it so.
  using Question = std::function<void(bool detailed, Answer answer)>;

  WatchFeed(const WatchOptions& options, Question question);

  // Serves `call` until it is done. It gets a state that is at most one interval of the topology
  // old; until there is one, a failure of the question ends it.
  void Join(const WatchFilter& filter, const std::shared_ptr<WatchCall>& call);
  // `call` has written its event.
  void Written(const std::shared_ptr<WatchCall>& call);
  // `call` is done.
  void Leave(WatchCall* call);

  // Ends all calls, and those that come later, with `status`. The question is not asked any more
  // when it returns.
  void Close(const absl::Status& status);

 private:
  // Those who want the same.
  struct Topic {
    Topic(const WatchOptions& options)
        : log(options.events_waiting_max, options.event_bytes_waiting_max) {}

    EventLog log;
    WatchedStatePtr published;  // as of the newest event of the log; null: none yet
    int64_t published_at_ms = 0;
    EventBody full;  // of `published`; null: nobody needed it
    int64_t due_ms = 0;
    bool asked = false;  // it waits for the answer to the open question
    size_t watchers = 0;
  };

  struct Watcher {
    std::shared_ptr<WatchCall> call;
    std::map<WatchFilter, Topic>::iterator topic;
    EventPlace place;
    bool waits = false;  // for the next answer: what is published is missing or old
    bool writing = false;
  };

  struct Sending {
    std::shared_ptr<WatchCall> call;
    NextEvent event;
  };

  struct Asking;

  void Answered(absl::StatusOr<WatchedStatePtr> answer);
  void Tick();
  void Distribute(int64_t now_ms, std::vector<Sending>* sendings,
                  std::vector<std::shared_ptr<WatchCall>>* failed)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Publish(int64_t now_ms, const WatchFilter& filter, Topic* topic)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Adds what `watcher` gets next, if anything and if it can take it.
  void Serve(Watcher* watcher, std::vector<Sending>* sendings)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Opens the question if it is due, or sets the alarm. Whether the caller must ask now, and how.
  bool Plan(int64_t now_ms, bool* detailed) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SetAlarm(int64_t now_ms, int64_t when_ms) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const WatchOptions options_;
  const Question question_;

  Mutex mutex_;
  std::condition_variable idle_;
  std::map<WatchFilter, Topic> topics_ ABSL_GUARDED_BY(mutex_);
  std::map<WatchCall*, Watcher> watchers_ ABSL_GUARDED_BY(mutex_);
  bool open_ ABSL_GUARDED_BY(mutex_) = false;         // a question is not answered yet
  bool being_asked_ ABSL_GUARDED_BY(mutex_) = false;  // a thread is inside question_
  int64_t asked_at_ms_ ABSL_GUARDED_BY(mutex_);
  bool answered_ ABSL_GUARDED_BY(mutex_) = false;  // answer_ is to be distributed
  absl::StatusOr<WatchedStatePtr> answer_ ABSL_GUARDED_BY(mutex_) = WatchedStatePtr();
  std::unique_ptr<grpc::Alarm> alarm_ ABSL_GUARDED_BY(mutex_);
  int64_t alarm_at_ms_ ABSL_GUARDED_BY(mutex_);
  absl::Status closed_ ABSL_GUARDED_BY(mutex_);  // not OK: why
};

}  // namespace weightmesh
