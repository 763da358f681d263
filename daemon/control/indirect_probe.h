// What one daemon asks another when a third does not answer, and what it is told; plain data.
#pragma once

#include "absl/time/time.h"
#include "daemon/core/swim_message.h"

namespace weightmesh {

struct IndirectProbeQuery {
  swim::Message message;
  NodeInfo target;
  absl::Duration timeout;
};

struct IndirectProbeResult {
  swim::Message message;
  bool ack = false;  // the target has answered
};

}  // namespace weightmesh
