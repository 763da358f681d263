// Datagrams of sd_notify(3).
#include "daemon/runtime/notify.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace weightmesh {

Notifier::Notifier(std::string socket) : socket_(std::move(socket)) {
  if (!socket_.empty()) {
    descriptor_ = FileDescriptor(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  }
}

absl::Status Notifier::Ready(absl::string_view listening) {
  return Send(absl::StrCat("READY=1\nWEIGHTMESH_LISTENING=", listening, "\n"));
}

absl::Status Notifier::Status(absl::string_view text) {
  // A line break would begin another variable.
  return Send(absl::StrCat("STATUS=", absl::StrReplaceAll(text, {{"\n", " "}}), "\n"));
}

absl::Status Notifier::Stopping() { return Send("STOPPING=1\n"); }

absl::Status Notifier::Send(absl::string_view message) {
  if (socket_.empty()) return absl::OkStatus();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const bool abstract = socket_[0] == '@';
  if ((!abstract && socket_[0] != '/') || socket_.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("NOTIFY_SOCKET is \"", socket_,
                                                   "\"; it must be an absolute path or @name of "
                                                   "at most ",
                                                   sizeof(address.sun_path) - 1, " bytes"));
  }
  std::memcpy(address.sun_path, socket_.data(), socket_.size());
  if (abstract) address.sun_path[0] = '\0';
  // An abstract name has no final zero: its length says where it ends.
  const socklen_t size =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size() + (abstract ? 0 : 1));
  const ssize_t sent =
      sendto(descriptor_.get(), message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
             reinterpret_cast<sockaddr*>(&address), size);
  if (sent == static_cast<ssize_t>(message.size())) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("NOTIFY_SOCKET ", socket_, ": ", strerror(errno)));
}

}  // namespace weightmesh
