// MessageWriter: sends messages and descriptors over an attach socket that may not take them at
// once. Lives on the executor's thread; one for each connection.
#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "daemon/mem/file_descriptor.h"
#include "proto/attach.h"

namespace weightmesh {

class MessageWriter {
 public:
  // Bytes that may wait for a peer to read.
  static constexpr size_t kUnsentBytesMax = 256 * 1024;

  // Queues one message. `descriptors` are duplicated and travel with its first byte.
  // ResourceExhausted, and nothing queued, beyond kUnsentBytesMax or when descriptors run out.
  absl::Status Add(attach::MessageType type, absl::string_view payload,
                   absl::Span<const int> descriptors);

  // Sends as much as `socket` takes without waiting; never raises SIGPIPE. Unavailable: the peer
  // has gone.
  absl::Status Flush(int socket);

  bool empty() const { return messages_.empty(); }

 private:
  struct Message {
    std::string bytes;
    size_t sent = 0;
    std::vector<FileDescriptor> descriptors;
  };

  std::deque<Message> messages_;
  size_t unsent_bytes_ = 0;
};

}  // namespace weightmesh
