// DaemonLink: the two doorbells and the attach socket of an attached replica. Used by the handle's
// thread.
#pragma once

#include "client/src/attach_channel.h"
#include "client/src/unique_fd.h"

namespace weightmesh::client {

// How a wait ended.
enum class Wake {
  kRung,     // the daemon rang, perhaps for something older: look again
  kTimeout,  // nothing until the deadline
  kGone,     // the daemon is dead, or has closed the attach socket
};

class DaemonLink {
 public:
  AttachChannel& channel() { return channel_; }

  // The eventfds of a good attach reply.
  void SetDoorbells(UniqueFd daemon_doorbell, UniqueFd trainer_doorbell);

  // Wakes the daemon to take commands. Never blocks.
  void Ring();

  // Sleeps until the daemon rings or dies, at most until `deadline`. A ring that came before the
  // call counts; every call takes all rings.
  Wake Wait(Clock::time_point deadline);

  // True when the daemon is dead, or has closed the attach socket.
  bool IsGone() { return channel_.HasHungUp(); }

 private:
  AttachChannel channel_;
  UniqueFd daemon_doorbell_;
  UniqueFd trainer_doorbell_;
};

}  // namespace weightmesh::client
