// Finds out why a port cannot be listened on.
#include "daemon/control/bind_failure.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace weightmesh {
namespace {

std::string DescribeError(int error) {
  switch (error) {
    case 0:
      return "gRPC refused it, although the port is free now; try again";
    case EADDRINUSE:
      return "the port is in use: another daemon, or another program, listens there; stop it or "
             "choose another port (0 takes a free one)";
    case EADDRNOTAVAIL:
      return "it is not an address of this machine; choose one that `ip address` shows";
    case EACCES:
      return "this user may not take that port; choose one from 1024 on";
    default:
      return std::strerror(error);
  }
}

}  // namespace

std::string DescribeBindFailure(const HostPort& address) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int failure =
      getaddrinfo(address.host.c_str(), absl::StrCat(address.port).c_str(), &hints, &found);
  if (failure != 0) {
    return absl::StrCat("the host cannot be resolved: ", gai_strerror(failure));
  }
  int error = 0;
  for (const addrinfo* entry = found; entry != nullptr && error == 0; entry = entry->ai_next) {
    const int descriptor = socket(entry->ai_family, entry->ai_socktype | SOCK_CLOEXEC, 0);
    if (descriptor < 0 || bind(descriptor, entry->ai_addr, entry->ai_addrlen) != 0 ||
        listen(descriptor, 1) != 0) {
      error = errno;
    }
    if (descriptor >= 0) close(descriptor);
  }
  freeaddrinfo(found);
  return DescribeError(error);
}

}  // namespace weightmesh
