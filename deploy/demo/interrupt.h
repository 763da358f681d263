// Interrupt: Ctrl-C and its kin, taken as a question that the main loop asks.
#pragma once

#include <signal.h>

#include "absl/time/time.h"

namespace weightmesh::demo {

class Interrupt {
 public:
  // Blocks SIGINT, SIGTERM and SIGHUP for this thread and those that it starts. Before any other
  // thread.
  Interrupt();

  // Sleeps for `duration`, or until interrupted; whether an interruption has come, now or before.
  bool Wait(absl::Duration duration);
  bool came() { return Wait(absl::ZeroDuration()); }

 private:
  sigset_t signals_;
  bool came_ = false;
};

}  // namespace weightmesh::demo
