// ReadySocket: a datagram socket at which a daemon says, by the sd_notify protocol, that it is
// ready and which port it took. Used from one thread.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "daemon/mem/file_descriptor.h"

namespace weightmesh::demo {

class ReadySocket {
 public:
  // Listens at `path`, which becomes the daemon's NOTIFY_SOCKET. An error names it.
  static absl::StatusOr<std::unique_ptr<ReadySocket>> Listen(const std::string& path);
  ~ReadySocket();
  ReadySocket(const ReadySocket&) = delete;
  ReadySocket& operator=(const ReadySocket&) = delete;

  // "host:port" once the daemon is ready; nullopt until then. Never blocks.
  std::optional<std::string> Poll();

 private:
  ReadySocket(std::string path, FileDescriptor socket)
      : path_(std::move(path)), socket_(std::move(socket)) {}

  const std::string path_;
  const FileDescriptor socket_;
};

// The address in one notification; nullopt if it does not announce a ready daemon.
std::optional<std::string> ReadyAddress(absl::string_view notification);

}  // namespace weightmesh::demo
