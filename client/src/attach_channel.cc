// Connects, frames and waits for AttachChannel.
#include "client/src/attach_channel.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "client/src/version.h"

namespace weightmesh::client {
namespace {

// Reads of 256 bytes that HasHungUp makes before it looks again later.
constexpr int kUnexpectedReadsMax = 64;

Status ConnectError(const std::string& path, int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ECONNREFUSED:
      return Alone("no weightmeshd answers at " + path + " (" + ErrnoText(error) +
                   "): start the daemon, or set socket_path or WEIGHTMESH_SOCKET; training goes on "
                   "alone");
    case EAGAIN:
    case EINPROGRESS:
    case ETIMEDOUT:
      return Alone("weightmeshd at " + path + " accepts nobody within " +
                   std::to_string(kConnectTimeout.count()) +
                   " s: restart it if it hangs; training goes on alone");
    case EACCES:
    case EPERM:
      return Refused(
          "this user may not connect to " + path + " (" + ErrnoText(error) +
          "): run the trainer as the daemon's user, or set attach_group of weightmeshd to a "
          "group of this user");
    case ENOMEM:
    case ENOBUFS:
      return Resources("connecting to " + path + " failed: " + ErrnoText(error));
    default:
      return Refused("connecting to " + path + " failed (" + ErrnoText(error) +
                     "): socket_path must name the attach socket of weightmeshd");
  }
}

}  // namespace

Status AttachChannel::Connect(const std::string& socket_path) {
  socket_path_ = socket_path;
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (socket_path.size() >= sizeof address.sun_path) {
    return Invalid("socket_path " + socket_path + " has " + std::to_string(socket_path.size()) +
                   " bytes: a Unix socket's path has at most " +
                   std::to_string(sizeof address.sun_path - 1));
  }
  std::memcpy(address.sun_path, socket_path.data(), socket_path.size());
  if (Status status = socket_.Open(); !status.ok()) return status;
  // Bounds connect(), which sleeps while the daemon's backlog is full.
  const timeval timeout = {kConnectTimeout.count(), 0};
  setsockopt(fd(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  int result;
  do {
    result = connect(fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  } while (result != 0 && errno == EINTR);
  if (result != 0) return ConnectError(socket_path, errno);
  if (socket_.WasCut()) return Alone("the handle was detached while it connected");
  fcntl(fd(), F_SETFL, fcntl(fd(), F_GETFL) | O_NONBLOCK);
  return {};
}

Status AttachChannel::WaitFor(short events, Clock::time_point deadline) {
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    pollfd watched = {fd(), events, 0};
    const int wait_ms = static_cast<int>(std::clamp<int64_t>(left.count() + 1, 0, 60'000));
    const int ready = poll(&watched, 1, wait_ms);
    if (ready > 0) return {};
    if (ready < 0 && errno != EINTR) return Resources("poll failed: " + ErrnoText(errno));
    if (Clock::now() >= deadline) {
      return {WEIGHTMESH_START_TIMEOUT,
              "weightmeshd at " + socket_path_ + " did not answer in time: restart it if it hangs"};
    }
  }
}

Status AttachChannel::Send(attach::MessageType type, std::string_view payload,
                           Clock::time_point deadline) {
  attach::MessageHeader header = {attach::kMagic, attach::kVersion, static_cast<uint16_t>(type),
                                  static_cast<uint32_t>(payload.size()), 0};
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
  bytes.append(payload);
  size_t sent = 0;
  while (sent < bytes.size()) {
    const ssize_t count = send(fd(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (count >= 0) {
      sent += static_cast<size_t>(count);
    } else if (errno == EAGAIN) {
      if (Status status = WaitFor(POLLOUT, deadline); !status.ok()) return Alone(status.message);
    } else if (errno != EINTR) {
      return Alone("weightmeshd at " + socket_path_ + " closed the attach socket (" +
                   ErrnoText(errno) + "): see its log; training goes on alone");
    }
  }
  return {};
}

Status AttachChannel::ReceiveBytes(Clock::time_point deadline, void* to, size_t bytes) {
  size_t received = 0;
  while (received < bytes) {
    iovec part = {static_cast<char*>(to) + received, bytes - received};
    alignas(cmsghdr) char ancillary[CMSG_SPACE(sizeof(int) * 16)];
    msghdr message = {};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = ancillary;
    message.msg_controllen = sizeof ancillary;
    const ssize_t count = recvmsg(fd(), &message, MSG_CMSG_CLOEXEC);
    if (count < 0 && errno == EAGAIN) {
      if (Status status = WaitFor(POLLIN, deadline); !status.ok()) return status;
      continue;
    }
    if (count < 0 && errno == EINTR) continue;
    for (cmsghdr* part_of = CMSG_FIRSTHDR(&message); count > 0 && part_of != nullptr;
         part_of = CMSG_NXTHDR(&message, part_of)) {
      if (part_of->cmsg_level != SOL_SOCKET || part_of->cmsg_type != SCM_RIGHTS) continue;
      const size_t descriptors = (part_of->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (size_t i = 0; i < descriptors; ++i) {
        int descriptor;
        std::memcpy(&descriptor, CMSG_DATA(part_of) + i * sizeof(int), sizeof descriptor);
        descriptors_.emplace_back(descriptor);
      }
    }
    if (count > 0 && (message.msg_flags & MSG_CTRUNC) != 0) {
      return Resources(
          "the system gives no descriptors for the arena: raise the limit of open files (ulimit "
          "-n)");
    }
    if (count <= 0) {
      return Alone("weightmeshd at " + socket_path_ +
                   " closed the attach socket: see its log; training goes on alone");
    }
    received += static_cast<size_t>(count);
  }
  return {};
}

Status AttachChannel::Receive(Clock::time_point deadline, attach::MessageType* type,
                              std::string* payload) {
  attach::MessageHeader header;
  if (Status status = ReceiveBytes(deadline, &header, sizeof header); !status.ok()) return status;
  if (header.magic != attach::kMagic) {
    return Refused("what listens at " + socket_path_ +
                   " does not speak the attach protocol: socket_path must name the attach socket "
                   "of weightmeshd");
  }
  if (header.version != attach::kVersion) {
    return Refused("weightmeshd at " + socket_path_ + " speaks attach protocol version " +
                   std::to_string(header.version) + ", libweightmesh " + kClientVersion +
                   " speaks version " + std::to_string(attach::kVersion) +
                   ": install the same release of both");
  }
  if (header.payload_bytes > attach::kPayloadBytesMax) {
    return Refused("weightmeshd at " + socket_path_ + " announced a message of " +
                   std::to_string(header.payload_bytes) + " bytes, more than " +
                   std::to_string(attach::kPayloadBytesMax) +
                   ": install the same release of daemon and library");
  }
  payload->resize(header.payload_bytes);
  if (Status status = ReceiveBytes(deadline, payload->data(), payload->size()); !status.ok()) {
    return status;
  }
  *type = static_cast<attach::MessageType>(header.type);
  return {};
}

bool AttachChannel::HasHungUp() {
  if (fd() < 0) return true;
  char unexpected[256];
  for (int reads = 0; reads < kUnexpectedReadsMax; ++reads) {
    const ssize_t count = recv(fd(), unexpected, sizeof unexpected, MSG_DONTWAIT);
    if (count > 0) continue;
    if (count == 0) return true;
    if (errno == EINTR) continue;
    return errno != EAGAIN;
  }
  return false;
}

}  // namespace weightmesh::client
