// Signals as a question.
#include "deploy/demo/interrupt.h"

#include <time.h>

namespace weightmesh::demo {

Interrupt::Interrupt() {
  sigemptyset(&signals_);
  for (int signal_number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals_, signal_number);
  pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
}

bool Interrupt::Wait(absl::Duration duration) {
  if (came_) return true;
  const timespec timeout = absl::ToTimespec(duration);
  came_ = sigtimedwait(&signals_, nullptr, &timeout) > 0;
  return came_;
}

}  // namespace weightmesh::demo
