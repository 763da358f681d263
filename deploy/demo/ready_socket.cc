// The launcher's end of sd_notify.
#include "deploy/demo/ready_socket.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace weightmesh::demo {

absl::StatusOr<std::unique_ptr<ReadySocket>> ReadySocket::Listen(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("the socket ", path, " has a path longer than ",
                                                   sizeof(address.sun_path) - 1,
                                                   " bytes; give a shorter --work-dir"));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  FileDescriptor socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  unlink(path.c_str());
  if (!socket.valid() ||
      bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot listen at ", path));
  }
  return std::unique_ptr<ReadySocket>(new ReadySocket(path, std::move(socket)));
}

ReadySocket::~ReadySocket() { unlink(path_.c_str()); }

std::optional<std::string> ReadySocket::Poll() {
  char bytes[4096];
  for (;;) {
    const ssize_t size = recv(socket_.get(), bytes, sizeof(bytes), 0);
    if (size < 0) return std::nullopt;
    auto address = ReadyAddress(absl::string_view(bytes, static_cast<size_t>(size)));
    if (address.has_value()) return address;
  }
}

std::optional<std::string> ReadyAddress(absl::string_view notification) {
  bool ready = false;
  std::string address;
  for (absl::string_view line : absl::StrSplit(notification, '\n')) {
    if (line == "READY=1") ready = true;
    if (absl::ConsumePrefix(&line, "WEIGHTMESH_LISTENING=")) address = std::string(line);
  }
  if (!ready || address.empty()) return std::nullopt;
  return address;
}

}  // namespace weightmesh::demo
