// What the core's thread asks of the data thread, and the queue between them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <future>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "daemon/core/mutex.h"
#include "daemon/transport/transport.h"

namespace weightmesh {

struct ConnectCommand {
  PeerLink link;
  uint64_t serial;  // of its receive token (TokenTable::Set); no two links have the same
};
struct DisconnectCommand {
  NodeId node;
  bool force;
};
struct PullCommand {
  PullRequest request;
  absl::Span<std::byte> landing;
};
struct CancelCommand {
  RequestId request_id;
};
struct AnswerCommand {
  PullAnswer answer;
};
struct SendCommand {
  PullAnswer answer;
  absl::Span<const std::byte> data;
  SendId send_id;
};
struct RegisterCommand {
  absl::Span<std::byte> memory;
  MemoryKind kind;
  std::promise<absl::Status>* done;
};
struct UnregisterCommand {
  absl::Span<std::byte> memory;
  std::promise<absl::Status>* done;
};
struct StopCommand {};

using Command =
    std::variant<ConnectCommand, DisconnectCommand, PullCommand, CancelCommand, AnswerCommand,
                 SendCommand, RegisterCommand, UnregisterCommand, StopCommand>;

// Thread-safe. It holds at most one command for each operation that the core has open, and besides
// at most `answers_max` answers; it does not allocate once it has grown to what is usual.
class CommandQueue {
 public:
  enum class Posted { kQueued, kQueuedAndAsleep, kFull };

  explicit CommandQueue(size_t answers_max) : answers_max_(answers_max) {}

  // kQueuedAndAsleep: the data thread must be woken; told to one poster only. kFull: not queued;
  // only for an answer.
  Posted Post(Command command) {
    const bool is_answer = std::holds_alternative<AnswerCommand>(command);
    MutexLock lock(&mutex_);
    if (is_answer && commands_.size() >= answers_max_) return Posted::kFull;
    commands_.push_back(std::move(command));
    return std::exchange(asleep_, false) ? Posted::kQueuedAndAsleep : Posted::kQueued;
  }

  // Swaps what is queued with `commands`, which must be empty.
  void Take(std::vector<Command>* commands) {
    MutexLock lock(&mutex_);
    commands_.swap(*commands);
  }

  // By the data thread before it sleeps; false when something is queued. From now on a poster is
  // told to wake it, until then or Awake().
  bool FallAsleep() {
    MutexLock lock(&mutex_);
    asleep_ = commands_.empty();
    return asleep_;
  }
  void Awake() {
    MutexLock lock(&mutex_);
    asleep_ = false;
  }

 private:
  const size_t answers_max_;
  Mutex mutex_;
  bool asleep_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<Command> commands_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace weightmesh
