// Journal: what happened, as the core tells it, the newest of it; for operators. Core thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

#include "absl/time/time.h"
#include "daemon/control/mesh_source.h"

namespace weightmesh {

class Journal {
 public:
  static constexpr size_t kEventsKept = 1024;
  // Of one text; what is longer is cut.
  static constexpr size_t kTextBytesMax = 1024;

  void Add(absl::Time at, bool warning, std::string text);
  // Those that are kept and have a higher sequence than `after`.
  EventsReport After(uint64_t after) const;

 private:
  std::deque<MeshEvent> events_;
  uint64_t last_sequence_ = 0;
};

}  // namespace weightmesh
