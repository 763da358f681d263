// RoundDelay: what one exchange or step of a test trainer took and brought, as it keeps it in a
// file.
#pragma once

#include <cstdint>

namespace weightmesh {

struct RoundDelay {
  int64_t ended_at_us;  // by the system's clock
  double seconds;       // the whole call
  uint64_t round;       // that was mixed; 0: none
  uint32_t due;         // pulls
  uint32_t arrived;     // of them
  uint32_t alone;
  uint32_t rejoined;
};

}  // namespace weightmesh
