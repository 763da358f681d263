// Connections of trainers: what each may say at which stage, and when it is closed.
#include "daemon/runtime/attach_server.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace weightmesh {

using attach::MessageType;
using attach::ReplyCode;

namespace {

// Read from one connection at a time, so that a long request does not hold up the others.
constexpr size_t kReadBytes = 64 * 1024;
// Connections beyond attach_sockets_max that are kept for a moment, to be told why they are
// refused.
constexpr size_t kRefusalsMax = 16;
// How long nothing is accepted when descriptors run out; until then the kernel keeps the line.
constexpr absl::Duration kAcceptPause = absl::Milliseconds(250);

// Whether an attached trainer may send that.
bool IsDueLater(MessageType type, uint32_t payload_bytes) {
  if (type == MessageType::kBlob) return payload_bytes <= attach::kBlobBytesMax;
  return (type == MessageType::kBlobRequest || type == MessageType::kLeave) && payload_bytes == 0;
}

}  // namespace

AttachServer::AttachServer(AttachServerOptions options, Executor* executor, AttachHandler* handler)
    : options_(std::move(options)), executor_(executor), handler_(handler) {}

AttachServer::~AttachServer() {
  for (auto& [id, connection] : connections_) executor_->Unwatch(connection.socket.get());
  if (listener_) executor_->Unwatch(listener_->descriptor());
}

absl::Status AttachServer::Start() {
  absl::StatusOr<std::unique_ptr<AttachListener>> listener =
      AttachListener::Listen(options_.socket_path, options_.group);
  if (!listener.ok()) return listener.status();
  absl::StatusOr<std::unique_ptr<Timer>> timer = Timer::Create(executor_, [this] { OnTimer(); });
  if (!timer.ok()) return timer.status();
  const int fd = (*listener)->descriptor();
  if (absl::Status watched = executor_->Watch(fd, EPOLLIN, [this](uint32_t) { OnConnecting(); });
      !watched.ok()) {
    return watched;
  }
  listener_ = *std::move(listener);
  timer_ = *std::move(timer);
  return absl::OkStatus();
}

// --- connecting ---

void AttachServer::OnConnecting() {
  // One at a time: the loop comes back while others wait.
  absl::StatusOr<FileDescriptor> socket = listener_->Accept();
  if (socket.ok()) return Admit(*std::move(socket));
  if (absl::IsUnavailable(socket.status())) return;
  PauseAccepting();
  handler_->OnRefused(socket.status().message());
}

void AttachServer::PauseAccepting() {
  executor_->ChangeEvents(listener_->descriptor(), 0);
  accept_again_ = Executor::Now() + kAcceptPause;
  ResetTimer();
}

void AttachServer::Admit(FileDescriptor socket) {
  if (connections_.size() >= options_.attach_sockets_max + kRefusalsMax) {
    return handler_->OnRefused("too many trainers are being refused already");
  }
  const int fd = socket.get();
  const absl::StatusOr<AttachPeer> peer = PeerOf(fd);
  if (!peer.ok()) return handler_->OnRefused(peer.status().message());

  const AttachId id{next_id_++};
  if (absl::Status watched =
          executor_->Watch(fd, EPOLLIN, [this, id](uint32_t events) { OnEvents(id, events); });
      !watched.ok()) {
    return handler_->OnRefused(watched.message());
  }
  Connection& connection = connections_[id];
  connection.socket = std::move(socket);
  connection.events = EPOLLIN;
  connection.deadline = Executor::Now() + options_.hello_timeout;
  if (absl::Status allowed = CheckPeer(*peer, ::geteuid(), options_.group); !allowed.ok()) {
    Refuse(id, &connection, ReplyCode::kInvalid, std::string(allowed.message()));
  } else if (connections_.size() > options_.attach_sockets_max) {
    Refuse(id, &connection, ReplyCode::kLimit,
           absl::StrCat("this daemon serves ", options_.attach_sockets_max,
                        " attach sockets at once; attach to another node's daemon, or end some "
                        "trainers"));
  }
  ResetTimer();
}

// --- receiving ---

void AttachServer::OnEvents(AttachId id, uint32_t events) {
  Connection* connection = Find(id);
  if (connection == nullptr) return;
  if ((events & EPOLLOUT) != 0) Flush(connection);
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) Receive(id);
}

void AttachServer::Receive(AttachId id) {
  Connection* const connection = Find(id);
  std::array<char, kReadBytes> buffer;
  const ssize_t got = ::recv(connection->socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (got < 0) {
    if (errno == EAGAIN || errno == EINTR) return;
    return Forget(id, absl::StrCat("its attach socket failed: ", std::strerror(errno)));
  }
  if (got == 0) {
    return Forget(id, connection->broken.empty() ? "it closed its attach socket"
                                                 : std::string(connection->broken));
  }
  absl::string_view bytes(buffer.data(), static_cast<size_t>(got));
  while (!bytes.empty()) {
    MessageReader& reader = connection->reader;
    // Whatever a connection says after its end is read away, so that it can read to its end.
    if (connection->stage == Stage::kLingering) return;
    const bool had_header = reader.has_header();
    bytes.remove_prefix(reader.Feed(bytes));
    if (reader.fault() != MessageReader::Fault::kNone) return OnFault(id, connection);
    if (!had_header && reader.has_header()) OnHeader(id, connection);
    if (connection->stage != Stage::kLingering && reader.complete()) OnMessage(id, connection);
  }
}

void AttachServer::OnHeader(AttachId id, Connection* connection) {
  const attach::MessageHeader& header = connection->reader.header();
  const auto type = static_cast<MessageType>(header.type);
  if (connection->stage == Stage::kHello && type == MessageType::kAttachRequest) {
    if (receiving_bytes_ + header.payload_bytes > options_.receiving_bytes_max) {
      return Refuse(id, connection, ReplyCode::kLimit,
                    "this daemon receives too many attach requests at once; attach again later");
    }
    connection->announced_bytes = header.payload_bytes;
    receiving_bytes_ += header.payload_bytes;
  } else if (connection->stage != Stage::kAttached || !IsDueLater(type, header.payload_bytes)) {
    Refuse(id, connection, ReplyCode::kInvalid,
           absl::StrCat("message ", header.type, " of ", header.payload_bytes,
                        " bytes is not due now: a trainer sends one attach request, then blobs of "
                        "at most ",
                        attach::kBlobBytesMax, " bytes and requests for one, then one leave"));
  }
}

void AttachServer::OnFault(AttachId id, Connection* connection) {
  const attach::MessageHeader& header = connection->reader.header();
  switch (connection->reader.fault()) {
    case MessageReader::Fault::kVersion:
      return Refuse(id, connection, ReplyCode::kVersion,
                    absl::StrCat("this daemon speaks version ", attach::kVersion,
                                 " of the attach protocol and the trainer version ", header.version,
                                 "; give the trainer the libweightmesh of the daemon's release, or "
                                 "restart the daemon if it was updated"));
    case MessageReader::Fault::kTooLong:
      return Refuse(id, connection, ReplyCode::kLimit,
                    absl::StrCat("an attach request of ", header.payload_bytes,
                                 " bytes is beyond the limit of ", attach::kPayloadBytesMax,
                                 "; merge small tensors, or shorten their names"));
    case MessageReader::Fault::kHeader:
      return Refuse(id, connection, ReplyCode::kInvalid,
                    absl::StrCat("a message header is wrong (type ", header.type, ", reserved ",
                                 header.reserved, "); send what libweightmesh sends"));
    default:  // who does not speak the protocol cannot read an answer in it
      return Forget(id, "it does not speak the attach protocol");
  }
}

void AttachServer::OnMessage(AttachId id, Connection* connection) {
  std::string payload = connection->reader.TakePayload();
  receiving_bytes_ -= std::exchange(connection->announced_bytes, 0);
  if (connection->stage == Stage::kAttached)
    return OnLaterMessage(id, connection, std::move(payload));
  attach::AttachRequest request;
  if (!attach::Decode(payload, &request)) {
    return Refuse(id, connection, ReplyCode::kInvalid,
                  "the attach request cannot be decoded; give the trainer the libweightmesh of the "
                  "daemon's release");
  }
  connection->stage = Stage::kAttached;
  connection->deadline = absl::InfiniteFuture();
  handler_->OnAttach(id, std::move(request));
}

void AttachServer::OnLaterMessage(AttachId id, Connection* connection, std::string payload) {
  switch (static_cast<MessageType>(connection->reader.header().type)) {
    case MessageType::kBlob:
      return handler_->OnBlob(id, std::move(payload));
    case MessageType::kBlobRequest:
      return handler_->OnBlobRequest(id);
    default:
      connection->stage = Stage::kLeaving;
      return handler_->OnLeave(id);
  }
}

// --- sending ---

void AttachServer::SendProgress(AttachId id, absl::string_view text) {
  Send(id, MessageType::kAttachProgress, text, {});
}

void AttachServer::SendReply(AttachId id, const attach::AttachReply& reply,
                             absl::Span<const int> descriptors) {
  const std::string payload = attach::Encode(reply);
  Send(id, MessageType::kAttachReply, payload,
       reply.code == ReplyCode::kOk ? descriptors : absl::Span<const int>());
}

void AttachServer::SendLeaveReply(AttachId id) { Send(id, MessageType::kLeaveReply, "", {}); }

void AttachServer::SendBlob(AttachId id, absl::string_view blob) {
  Send(id, MessageType::kBlobReply, blob, {});
}

void AttachServer::Send(AttachId id, MessageType type, absl::string_view payload,
                        absl::Span<const int> descriptors) {
  Connection* const connection = Find(id);
  if (connection == nullptr || connection->stage == Stage::kLingering) return;
  if (absl::Status added = connection->writer.Add(type, payload, descriptors); !added.ok()) {
    return Break(connection, std::string(added.message()));
  }
  Flush(connection);
}

void AttachServer::Break(Connection* connection, std::string reason) {
  // The loop sees the end of the socket and forgets the connection there: never within a method
  // that the handler calls.
  if (connection->broken.empty()) connection->broken = std::move(reason);
  ::shutdown(connection->socket.get(), SHUT_RDWR);
}

void AttachServer::Flush(Connection* connection) {
  if (absl::Status sent = connection->writer.Flush(connection->socket.get()); !sent.ok()) {
    return Break(connection, std::string(sent.message()));
  }
  const bool all_sent = connection->writer.empty();
  if (all_sent && connection->stage == Stage::kLingering) {
    ::shutdown(connection->socket.get(), SHUT_WR);
  }
  const uint32_t events = all_sent ? EPOLLIN : EPOLLIN | EPOLLOUT;
  if (events != connection->events) executor_->ChangeEvents(connection->socket.get(), events);
  connection->events = events;
}

// --- ending ---

void AttachServer::Close(AttachId id) {
  Connection* const connection = Find(id);
  if (connection != nullptr && connection->stage != Stage::kLingering) Linger(connection);
}

void AttachServer::Linger(Connection* connection) {
  connection->stage = Stage::kLingering;
  connection->deadline = Executor::Now() + options_.hello_timeout;
  receiving_bytes_ -= std::exchange(connection->announced_bytes, 0);
  Flush(connection);
  ResetTimer();
}

void AttachServer::Refuse(AttachId id, Connection* connection, ReplyCode code,
                          std::string message) {
  attach::AttachReply reply;
  reply.code = code;
  reply.message = message;
  const Stage stage = connection->stage;
  Send(id, MessageType::kAttachReply, attach::Encode(reply), {});
  Linger(connection);
  // Last, for the handler may call back.
  if (stage == Stage::kHello) {
    handler_->OnRefused(message);
  } else {
    handler_->OnClosed(id, message);
  }
}

void AttachServer::Forget(AttachId id, absl::string_view reason) {
  const auto found = connections_.find(id);
  const Stage stage = found->second.stage;
  receiving_bytes_ -= found->second.announced_bytes;
  executor_->Unwatch(found->second.socket.get());
  connections_.erase(found);
  switch (stage) {
    case Stage::kHello:
      return handler_->OnRefused(reason);
    case Stage::kAttached:
    case Stage::kLeaving:
      return handler_->OnClosed(id, reason);
    case Stage::kLingering:
      return;
  }
}

AttachServer::Connection* AttachServer::Find(AttachId id) {
  const auto found = connections_.find(id);
  return found == connections_.end() ? nullptr : &found->second;
}

void AttachServer::OnTimer() {
  const absl::Time now = Executor::Now();
  if (accept_again_ <= now) {
    accept_again_ = absl::InfiniteFuture();
    executor_->ChangeEvents(listener_->descriptor(), EPOLLIN);
  }
  std::vector<AttachId> late;
  for (const auto& [id, connection] : connections_) {
    if (connection.deadline <= now) late.push_back(id);
  }
  for (AttachId id : late) {
    Forget(id, absl::StrCat("it did not say what it wants within ",
                            absl::FormatDuration(options_.hello_timeout)));
  }
  ResetTimer();
}

void AttachServer::ResetTimer() {
  absl::Time next = accept_again_;
  for (const auto& [id, connection] : connections_) next = std::min(next, connection.deadline);
  timer_->Set(next);
}

}  // namespace weightmesh
