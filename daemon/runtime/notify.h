// Notifier: tells the service manager, or a launcher, how this daemon is, by systemd's sd_notify
// protocol. Any thread; never blocks.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "daemon/mem/file_descriptor.h"

namespace weightmesh {

class Notifier {
 public:
  // `socket` is the value of NOTIFY_SOCKET: the path of a datagram socket, or "@name" for an
  // abstract one. Empty: nobody listens, and all calls do nothing.
  explicit Notifier(std::string socket);

  // The daemon serves, its control plane at `listening` ("host:port", with the port that was
  // taken): READY=1, and WEIGHTMESH_LISTENING= for a launcher.
  absl::Status Ready(absl::string_view listening);
  // One line for people, as "waiting for 2 of 4 replicas".
  absl::Status Status(absl::string_view text);
  // The daemon has begun to end.
  absl::Status Stopping();

 private:
  // Unavailable when nobody reads; InvalidArgument when `socket` is no address. Both name it. A
  // failure is for the log only: a daemon runs without its manager.
  absl::Status Send(absl::string_view message);

  const std::string socket_;
  FileDescriptor descriptor_;
};

}  // namespace weightmesh
