// When to ask, whom to tell what.
#include "daemon/control/watch_feed.h"

#include <algorithm>
#include <limits>
#include <mutex>
#include <utility>

namespace weightmesh {
namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

// A state that is younger is given to a new watcher without asking.
constexpr int64_t kFreshMs = kTopologyIntervalMsDefault;

int64_t NowMs() {
  const gpr_timespec now = gpr_now(GPR_CLOCK_MONOTONIC);
  return now.tv_sec * 1000 + now.tv_nsec / 1'000'000;
}

}  // namespace

// The open question: answered once, at the latest by being thrown away.
struct WatchFeed::Asking {
  explicit Asking(std::shared_ptr<WatchFeed> feed) : feed(std::move(feed)) {}
  ~Asking() { Answer(absl::UnavailableError("the daemon is stopping; ask again later")); }

  void Answer(absl::StatusOr<WatchedStatePtr> answer) {
    if (const std::shared_ptr<WatchFeed> asked = std::exchange(feed, nullptr)) {
      asked->Answered(std::move(answer));
    }
  }

  std::shared_ptr<WatchFeed> feed;
};

WatchFeed::WatchFeed(const WatchOptions& options, Question question)
    : options_(options),
      question_(std::move(question)),
      asked_at_ms_(NowMs() - options.tick_ms),
      alarm_at_ms_(kNever) {}

void WatchFeed::Join(const WatchFilter& filter, const std::shared_ptr<WatchCall>& call) {
  std::vector<Sending> sendings;
  absl::Status closed;
  {
    MutexLock lock(&mutex_);
    closed = closed_;
    if (closed.ok() && !call->done()) {
      const int64_t now_ms = NowMs();
      const auto topic = topics_.try_emplace(filter, options_).first;
      ++topic->second.watchers;
      Watcher& watcher = watchers_[call.get()];
      watcher.call = call;
      watcher.topic = topic;
      watcher.waits =
          topic->second.published == nullptr || now_ms - topic->second.published_at_ms >= kFreshMs;
      if (watcher.waits) topic->second.due_ms = now_ms;
      Serve(&watcher, &sendings);
      // Never asks here: a watcher that joins must not run the core's answer on its own call.
      if (!open_) SetAlarm(now_ms, std::max(now_ms, asked_at_ms_ + options_.tick_ms));
    }
  }
  if (!closed.ok()) call->End(closed);
  for (const Sending& s : sendings) s.call->Send(s.event.sequence, 0, s.event.change);
}

void WatchFeed::Written(const std::shared_ptr<WatchCall>& call) {
  std::vector<Sending> sendings;
  {
    MutexLock lock(&mutex_);
    const auto found = watchers_.find(call.get());
    if (found == watchers_.end()) return;
    found->second.writing = false;
    Serve(&found->second, &sendings);
  }
  for (const Sending& s : sendings) {
    s.call->Send(s.event.sequence, s.event.events_lost, s.event.change);
  }
}

void WatchFeed::Leave(WatchCall* call) {
  std::shared_ptr<WatchCall> last;  // goes without the lock
  MutexLock lock(&mutex_);
  const auto found = watchers_.find(call);
  if (found == watchers_.end()) return;
  last = std::move(found->second.call);
  if (--found->second.topic->second.watchers == 0) topics_.erase(found->second.topic);
  watchers_.erase(found);
}

void WatchFeed::Close(const absl::Status& status) {
  std::vector<std::shared_ptr<WatchCall>> calls;
  {
    MutexLock lock(&mutex_);
    if (!closed_.ok()) return;
    closed_ = status;
    alarm_.reset();
    for (const auto& [call, watcher] : watchers_) calls.push_back(watcher.call);
  }
  for (const std::shared_ptr<WatchCall>& call : calls) call->End(status);
  std::unique_lock lock(mutex_.native());
  idle_.wait(lock, [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return !being_asked_; });
}

void WatchFeed::Answered(absl::StatusOr<WatchedStatePtr> answer) {
  MutexLock lock(&mutex_);
  open_ = false;
  answer_ = std::move(answer);
  answered_ = true;
  const int64_t now_ms = NowMs();
  SetAlarm(now_ms, now_ms);  // the rest is not for the core's thread
}

void WatchFeed::Tick() {
  std::vector<Sending> sendings;
  std::vector<std::shared_ptr<WatchCall>> failed;
  absl::Status failure;
  bool ask = false;
  bool detailed = false;
  {
    MutexLock lock(&mutex_);
    if (!closed_.ok()) return;
    alarm_at_ms_ = kNever;
    const int64_t now_ms = NowMs();
    if (std::exchange(answered_, false)) {
      failure = answer_.status();
      Distribute(now_ms, &sendings, &failed);
      answer_ = WatchedStatePtr();
    }
    ask = Plan(now_ms, &detailed);
  }
  for (const Sending& s : sendings) {
    s.call->Send(s.event.sequence, s.event.events_lost, s.event.change);
  }
  for (const std::shared_ptr<WatchCall>& call : failed) call->End(failure);
  if (!ask) return;
  auto asking = std::make_shared<Asking>(shared_from_this());
  question_(detailed, [asking](absl::StatusOr<WatchedStatePtr> answer) {
    asking->Answer(std::move(answer));
  });
  {
    MutexLock lock(&mutex_);
    being_asked_ = false;
  }
  idle_.notify_all();
}

void WatchFeed::Distribute(int64_t now_ms, std::vector<Sending>* sendings,
                           std::vector<std::shared_ptr<WatchCall>>* failed) {
  for (auto& [filter, topic] : topics_) {
    if (!topic.asked) continue;
    if (answer_.ok()) {
      Publish(now_ms, filter, &topic);
    } else {
      topic.due_ms = now_ms + options_.tick_ms;
    }
  }
  for (auto& [call, watcher] : watchers_) {
    if (!watcher.topic->second.asked) continue;
    if (watcher.waits && !answer_.ok()) failed->push_back(watcher.call);
    watcher.waits = watcher.waits && !answer_.ok();
    Serve(&watcher, sendings);
  }
  for (auto& [filter, topic] : topics_) topic.asked = false;
}

void WatchFeed::Publish(int64_t now_ms, const WatchFilter& filter, Topic* topic) {
  if (topic->published != nullptr) {
    std::string change = (*answer_)->ChangeSince(*topic->published, filter);
    if (!change.empty()) topic->log.Append(std::make_shared<const std::string>(std::move(change)));
  }
  topic->published = *answer_;
  topic->published_at_ms = now_ms;
  topic->full = nullptr;
  topic->due_ms = (now_ms / filter.interval_ms + 1) * filter.interval_ms;
}

void WatchFeed::Serve(Watcher* watcher, std::vector<Sending>* sendings) {
  if (watcher->waits || watcher->writing) return;
  Topic& topic = watcher->topic->second;
  std::optional<NextEvent> next = topic.log.Next(&watcher->place);
  if (!next.has_value()) return;
  if (next->change == nullptr) {
    if (topic.full == nullptr) {
      topic.full =
          std::make_shared<const std::string>(topic.published->Full(watcher->topic->first));
    }
    next->change = topic.full;
  }
  watcher->writing = true;
  sendings->push_back(Sending{watcher->call, *std::move(next)});
}

bool WatchFeed::Plan(int64_t now_ms, bool* detailed) {
  if (open_ || answered_) return false;
  int64_t due_ms = kNever;
  for (const auto& [filter, topic] : topics_) due_ms = std::min(due_ms, topic.due_ms);
  if (due_ms == kNever) return false;
  due_ms = std::max(due_ms, asked_at_ms_ + options_.tick_ms);
  if (due_ms > now_ms) {
    SetAlarm(now_ms, due_ms);
    return false;
  }
  open_ = true;
  being_asked_ = true;
  asked_at_ms_ = now_ms;
  for (auto& [filter, topic] : topics_) {
    topic.asked = topic.due_ms <= now_ms;
    *detailed = *detailed || (topic.asked && filter.detailed);
  }
  return true;
}

void WatchFeed::SetAlarm(int64_t now_ms, int64_t when_ms) {
  if (!closed_.ok() || when_ms >= alarm_at_ms_) return;
  alarm_at_ms_ = when_ms;
  alarm_ = std::make_unique<grpc::Alarm>();  // the one before calls back with false
  alarm_->Set(gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                           gpr_time_from_millis(when_ms - now_ms, GPR_TIMESPAN)),
              [feed = shared_from_this()](bool expired) {
                if (expired) feed->Tick();
              });
}

}  // namespace weightmesh
