// EventLog: the newest events of one thing that several watch, and what each of them gets next;
// pure.
//
// All watchers read one log, so that those who do not read cost nothing: the log drops its oldest
// events, and who still needed one of them gets a full state instead.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>

namespace weightmesh {

// A serialized event, shared by all that are to be sent it.
using EventBody = std::shared_ptr<const std::string>;

// One watcher's place in the log.
struct EventPlace {
  bool began = false;     // whether it was given a full state
  uint64_t seen = 0;      // the newest event that its state includes
  uint64_t sequence = 0;  // events counted for it, lost ones included
};

struct NextEvent {
  uint64_t sequence = 0;
  uint64_t events_lost = 0;  // between the one before and this one
  EventBody change;          // null: this one is the full state as of the newest event
};

class EventLog {
 public:
  // Keeps at most `events_max` events and `bytes_max` bytes of them, but always the newest one.
  EventLog(size_t events_max, size_t bytes_max) : events_max_(events_max), bytes_max_(bytes_max) {}

  void Append(EventBody change);

  // What the watcher at `place` gets next, and moves it there; nothing when it has all.
  std::optional<NextEvent> Next(EventPlace* place) const;

 private:
  const size_t events_max_;
  const size_t bytes_max_;
  std::deque<EventBody> events_;
  size_t bytes_ = 0;
  uint64_t newest_ = 0;  // number of the last of events_; they are counted from 1
};

}  // namespace weightmesh
