// AttachServer: the Unix socket at which trainers attach. Lives on the executor's thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "daemon/core/ids.h"
#include "daemon/mem/file_descriptor.h"
#include "daemon/runtime/attach_listener.h"
#include "daemon/runtime/attach_policy.h"
#include "daemon/runtime/executor.h"
#include "daemon/runtime/message_reader.h"
#include "daemon/runtime/message_writer.h"
#include "daemon/runtime/timer.h"
#include "proto/attach.h"

namespace weightmesh {

// What trainers do. Called from the executor's loop, never from within a method of the server; may
// call every method of the server.
class AttachHandler {
 public:
  virtual ~AttachHandler() = default;
  // A trainer asks to attach. `id` is new; its values are decoded, not checked. To be answered by
  // SendReply, with any number of SendProgress before.
  virtual void OnAttach(AttachId id, attach::AttachRequest request) = 0;
  // It wants replicas that join to be given `blob`.
  virtual void OnBlob(AttachId id, std::string blob) = 0;
  // It wants what the others have given. To be answered by SendBlob.
  virtual void OnBlobRequest(AttachId id) = 0;
  // It leaves in order. To be answered by SendLeaveReply. At most once for each id.
  virtual void OnLeave(AttachId id) = 0;
  // It has gone (or broke the protocol, or does not read): the id is forgotten. Exactly one for
  // each OnAttach, unless Close came first. `reason` is for the log.
  virtual void OnClosed(AttachId id, absl::string_view reason) = 0;
  // A connection was refused before it became an attachment. For the log.
  virtual void OnRefused(absl::string_view reason) = 0;
};

struct AttachServerOptions {
  std::string socket_path;
  // Whose members may attach, too.
  std::optional<AttachGroup> group;
  // Trainers connected at once; one more is refused with kLimit.
  uint32_t attach_sockets_max = 256;
  // Bytes of attach requests that may be under way at once, over all connections.
  uint64_t receiving_bytes_max = 256u << 20;
  // How long a connection may take to say what it wants, and a refused one to read why.
  absl::Duration hello_timeout = absl::Seconds(5);
};

class AttachServer {
 public:
  // `executor` and `handler` must outlive the server.
  AttachServer(AttachServerOptions options, Executor* executor, AttachHandler* handler);
  // Closes every connection without OnClosed, and removes the socket.
  ~AttachServer();
  AttachServer(const AttachServer&) = delete;
  AttachServer& operator=(const AttachServer&) = delete;

  // Begins to listen; errors as AttachListener::Listen. Called once.
  absl::Status Start();

  // Nothing waits: what the socket does not take at once is kept and sent later; a trainer that
  // lets more than MessageWriter::kUnsentBytesMax pile up is closed. An id that is gone is ignored.
  void SendProgress(AttachId id, absl::string_view text);
  // `descriptors` go along when the reply's code is kOk, in the order of attach.h; they are
  // duplicated before this returns. After another code the caller calls Close.
  void SendReply(AttachId id, const attach::AttachReply& reply, absl::Span<const int> descriptors);
  void SendLeaveReply(AttachId id);
  void SendBlob(AttachId id, absl::string_view blob);

  // Ends the attachment from this side: no callback for `id` any more. The socket closes once what
  // was sent is read, at the latest after hello_timeout.
  void Close(AttachId id);

  // Accepted sockets that are still open.
  size_t connections() const { return connections_.size(); }

 private:
  enum class Stage {
    kHello,      // the attach request is due, by the deadline
    kAttached,   // known to the handler
    kLeaving,    // known to the handler, which was told that it leaves
    kLingering,  // over: what was sent is still to be read, by the deadline; what comes is dropped
  };
  struct Connection {
    FileDescriptor socket;
    Stage stage = Stage::kHello;
    absl::Time deadline = absl::InfiniteFuture();
    uint64_t announced_bytes = 0;  // counted in receiving_bytes_
    uint32_t events = 0;           // watched for
    MessageReader reader;
    MessageWriter writer;
    std::string broken;  // why it must close, once it must
  };

  void OnConnecting();
  void PauseAccepting();
  void Admit(FileDescriptor socket);

  void OnEvents(AttachId id, uint32_t events);
  void Receive(AttachId id);
  void OnHeader(AttachId id, Connection* connection);
  void OnFault(AttachId id, Connection* connection);
  void OnMessage(AttachId id, Connection* connection);
  void OnLaterMessage(AttachId id, Connection* connection, std::string payload);

  void Send(AttachId id, attach::MessageType type, absl::string_view payload,
            absl::Span<const int> descriptors);
  void Flush(Connection* connection);
  // Makes the loop find the connection at its end, for `reason`.
  void Break(Connection* connection, std::string reason);
  // Tells the peer why, and lingers.
  void Refuse(AttachId id, Connection* connection, attach::ReplyCode code, std::string message);
  void Linger(Connection* connection);
  void Forget(AttachId id, absl::string_view reason);

  Connection* Find(AttachId id);
  void OnTimer();
  void ResetTimer();

  const AttachServerOptions options_;
  Executor* const executor_;
  AttachHandler* const handler_;
  std::unique_ptr<AttachListener> listener_;
  std::unique_ptr<Timer> timer_;
  absl::Time accept_again_ = absl::InfiniteFuture();  // finite while accepting is paused
  std::map<AttachId, Connection> connections_;
  uint64_t next_id_ = 1;
  uint64_t receiving_bytes_ = 0;
};

}  // namespace weightmesh
