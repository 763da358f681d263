// The newest events, in the order of their sequence.
#include "daemon/runtime/journal.h"

#include <algorithm>
#include <utility>

namespace weightmesh {

void Journal::Add(absl::Time at, bool warning, std::string text) {
  if (text.size() > kTextBytesMax) text.resize(kTextBytesMax);
  events_.push_back(MeshEvent{++last_sequence_, at, warning, std::move(text)});
  if (events_.size() > kEventsKept) events_.pop_front();
}

EventsReport Journal::After(uint64_t after) const {
  EventsReport report;
  report.last_sequence = last_sequence_;
  for (const MeshEvent& event : events_) {
    if (event.sequence > after) report.events.push_back(event);
  }
  if (after < last_sequence_) report.lost = last_sequence_ - after - report.events.size();
  return report;
}

}  // namespace weightmesh
