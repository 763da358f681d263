// TestTrainer: a client of the attach socket that can also misbehave. Blocking, each wait bounded.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "daemon/mem/file_descriptor.h"
#include "proto/attach.h"

namespace weightmesh {

class TestTrainer {
 public:
  struct Message {
    attach::MessageHeader header;
    std::string payload;
    std::vector<FileDescriptor> descriptors;

    attach::MessageType type() const { return static_cast<attach::MessageType>(header.type); }
  };

  explicit TestTrainer(const std::string& path)
      : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const timeval longest{.tv_sec = 20, .tv_usec = 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &longest, sizeof longest);
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &longest, sizeof longest);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path.c_str());
    EXPECT_EQ(::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address),
              0)
        << std::strerror(errno);
  }

  static std::string Frame(attach::MessageType type, const std::string& payload,
                           uint16_t version = attach::kVersion) {
    const attach::MessageHeader header{attach::kMagic, version, static_cast<uint16_t>(type),
                                       static_cast<uint32_t>(payload.size()), 0};
    return std::string(reinterpret_cast<const char*>(&header), sizeof header) + payload;
  }

  // False when the daemon has closed the socket.
  bool SendBytes(const std::string& bytes) {
    size_t sent = 0;
    while (sent < bytes.size()) {
      const ssize_t now =
          ::send(socket_.get(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (now < 0) return false;
      sent += static_cast<size_t>(now);
    }
    return true;
  }
  bool Send(attach::MessageType type, const std::string& payload = "") {
    return SendBytes(Frame(type, payload));
  }

  // The next message; nothing at the end of the stream.
  std::optional<Message> Receive() {
    Message message;
    if (!ReceiveBytes(&message.header, sizeof message.header, &message)) return std::nullopt;
    message.payload.resize(message.header.payload_bytes);
    if (!ReceiveBytes(message.payload.data(), message.payload.size(), &message))
      return std::nullopt;
    return message;
  }

  // The next message, which must be a reply.
  attach::AttachReply ReceiveReply() {
    attach::AttachReply reply;
    const std::optional<Message> message = Receive();
    EXPECT_TRUE(message.has_value());
    if (!message) return reply;
    EXPECT_EQ(message->type(), attach::MessageType::kAttachReply);
    EXPECT_TRUE(attach::Decode(message->payload, &reply));
    return reply;
  }

  void Close() { socket_.Reset(); }
  int fd() const { return socket_.get(); }

 private:
  bool ReceiveBytes(void* to, size_t bytes, Message* message) {
    char* at = static_cast<char*>(to);
    while (bytes > 0) {
      iovec part{at, bytes};
      alignas(cmsghdr) char control[256];
      msghdr header{};
      header.msg_iov = &part;
      header.msg_iovlen = 1;
      header.msg_control = control;
      header.msg_controllen = sizeof control;
      const ssize_t got = ::recvmsg(socket_.get(), &header, MSG_CMSG_CLOEXEC);
      if (got <= 0) {
        EXPECT_TRUE(got == 0 || errno == ECONNRESET) << std::strerror(errno);
        return false;
      }
      for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
        const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; ++i) {
          int fd = -1;
          std::memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
          message->descriptors.emplace_back(fd);
        }
      }
      at += got;
      bytes -= static_cast<size_t>(got);
    }
    return true;
  }

  FileDescriptor socket_;
};

}  // namespace weightmesh
