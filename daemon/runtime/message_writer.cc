// Framing of the attach protocol, sending side.
#include "daemon/runtime/message_writer.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace weightmesh {
namespace {

// One sendmsg of `bytes`, with `descriptors` if there are any. As send(2).
ssize_t SendOnce(int socket, absl::string_view bytes,
                 const std::vector<FileDescriptor>& descriptors) {
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * attach::kDescriptorCount)] = {};
  if (!descriptors.empty()) {
    const size_t bytes_of_descriptors = sizeof(int) * descriptors.size();
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(bytes_of_descriptors);
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(bytes_of_descriptors);
    for (size_t i = 0; i < descriptors.size(); ++i) {
      const int fd = descriptors[i].get();
      std::memcpy(CMSG_DATA(header) + i * sizeof fd, &fd, sizeof fd);
    }
  }
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  } while (sent < 0 && errno == EINTR);
  return sent;
}

}  // namespace

absl::Status MessageWriter::Add(attach::MessageType type, absl::string_view payload,
                                absl::Span<const int> descriptors) {
  const size_t bytes = sizeof(attach::MessageHeader) + payload.size();
  if (unsent_bytes_ + bytes > kUnsentBytesMax) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the trainer does not read its attach socket: more than ", kUnsentBytesMax,
                     " bytes would wait; look whether it hangs"));
  }
  if (descriptors.size() > attach::kDescriptorCount) {
    return absl::InvalidArgumentError("more descriptors than a message may carry");
  }
  Message message;
  for (int fd : descriptors) {
    message.descriptors.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (!message.descriptors.back().valid()) {
      return absl::ResourceExhaustedError(
          absl::StrCat("cannot duplicate a descriptor for the trainer: ", std::strerror(errno),
                       "; raise the limit of open files (ulimit -n, LimitNOFILE=)"));
    }
  }
  const attach::MessageHeader header{attach::kMagic, attach::kVersion, static_cast<uint16_t>(type),
                                     static_cast<uint32_t>(payload.size()), 0};
  message.bytes.reserve(bytes);
  message.bytes.append(reinterpret_cast<const char*>(&header), sizeof header);
  message.bytes.append(payload.data(), payload.size());
  unsent_bytes_ += bytes;
  messages_.push_back(std::move(message));
  return absl::OkStatus();
}

absl::Status MessageWriter::Flush(int socket) {
  while (!messages_.empty()) {
    Message& message = messages_.front();
    const ssize_t sent = SendOnce(socket, absl::string_view(message.bytes).substr(message.sent),
                                  message.descriptors);
    if (sent < 0) {
      if (errno == EAGAIN || errno == EWOULDBLOCK) return absl::OkStatus();
      return absl::UnavailableError(
          absl::StrCat("cannot send to the trainer: ", std::strerror(errno)));
    }
    message.descriptors.clear();
    message.sent += static_cast<size_t>(sent);
    unsent_bytes_ -= static_cast<size_t>(sent);
    if (message.sent == message.bytes.size()) messages_.pop_front();
  }
  return absl::OkStatus();
}

}  // namespace weightmesh
