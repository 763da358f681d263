// The log's two ends, and the jump of a watcher that was too slow.
#include "daemon/control/event_log.h"

#include <utility>

namespace weightmesh {

void EventLog::Append(EventBody change) {
  ++newest_;
  bytes_ += change->size();
  events_.push_back(std::move(change));
  while (events_.size() > 1 && (events_.size() > events_max_ || bytes_ > bytes_max_)) {
    bytes_ -= events_.front()->size();
    events_.pop_front();
  }
}

std::optional<NextEvent> EventLog::Next(EventPlace* place) const {
  if (!place->began) {
    place->began = true;
    place->seen = newest_;
    return NextEvent{++place->sequence, 0, nullptr};
  }
  if (place->seen == newest_) return std::nullopt;
  const uint64_t oldest = newest_ - events_.size() + 1;
  if (place->seen + 1 >= oldest) {
    const EventBody& change = events_[place->seen + 1 - oldest];
    ++place->seen;
    return NextEvent{++place->sequence, 0, change};
  }
  // Those that the log still has are lost to it, too: the full state includes them.
  const uint64_t lost = newest_ - place->seen;
  place->seen = newest_;
  place->sequence += lost;
  return NextEvent{++place->sequence, lost, nullptr};
}

}  // namespace weightmesh
