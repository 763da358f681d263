// Interrupt: Ctrl-C, taken as a question that the main loop asks.
#pragma once

#include <signal.h>
#include <time.h>

#include "absl/time/time.h"

namespace weightmesh::ctl {

class Interrupt {
 public:
  // Blocks SIGINT for this thread and those that it starts. Before any other thread.
  Interrupt() {
    sigemptyset(&signals_);
    sigaddset(&signals_, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  }

  // Sleeps for `duration`, or until interrupted; whether it was, now or before.
  bool Wait(absl::Duration duration) {
    const timespec timeout = absl::ToTimespec(duration);
    came_ = came_ || sigtimedwait(&signals_, nullptr, &timeout) > 0;
    return came_;
  }
  bool came() { return Wait(absl::ZeroDuration()); }

 private:
  sigset_t signals_;
  bool came_ = false;
};

}  // namespace weightmesh::ctl
