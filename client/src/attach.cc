// Request, progress, reply and descriptors of AttachReplica; the farewell of LeaveMesh.
#include "client/src/attach.h"

#include "client/src/version.h"

namespace weightmesh::client {
namespace {

using attach::AttachReply;
using attach::MessageType;
using attach::ReplyCode;

// Longest that a daemon is waited for to take or bring a blob; it asks others meanwhile.
constexpr std::chrono::seconds kBlobWait{10};

// A daemon's refusal as a status. `reply.code` is not kOk.
Status Refusal(const std::string& socket_path, const AttachReply& reply) {
  const std::string message = "weightmeshd at " + socket_path + " says: " + reply.message;
  switch (reply.code) {
    case ReplyCode::kNoRun:  // a join may try again
    case ReplyCode::kStartTimeout:
      return {WEIGHTMESH_START_TIMEOUT, message};
    case ReplyCode::kUnavailable:
      return Alone(message + "; training goes on alone");
    case ReplyCode::kVersion:
      return Refused(message + " (libweightmesh " + kClientVersion +
                     " speaks attach protocol version " + std::to_string(attach::kVersion) +
                     "): install the same release of daemon and library");
    default:
      return Refused(message);
  }
}

// Receives until the reply comes, passing progress on.
Status AwaitReply(const AttachPlan& plan, AttachChannel* channel, Clock::time_point deadline,
                  AttachReply* reply) {
  for (;;) {
    MessageType type;
    std::string payload;
    Status status = channel->Receive(deadline, &type, &payload);
    if (status.code == WEIGHTMESH_START_TIMEOUT) {
      status.message +=
          ", or raise start_timeout_ms (now " + std::to_string(plan.request.start_timeout_ms) + ")";
    }
    if (!status.ok()) return status;
    if (type == MessageType::kAttachProgress) {
      if (plan.progress != nullptr) plan.progress(payload.c_str(), plan.progress_context);
      if (channel->in_child()) return Invalid("the process forked inside the progress callback");
      continue;
    }
    if (type != MessageType::kAttachReply || !attach::Decode(payload, reply)) {
      return Refused(
          "weightmeshd at " + channel->socket_path() + " sent no attach reply but message type " +
          std::to_string(static_cast<uint16_t>(type)) + " of " + std::to_string(payload.size()) +
          " bytes: install the same release of daemon and library");
    }
    return {};
  }
}

}  // namespace

Status AttachReplica(const AttachPlan& plan, const ArenaLayout& layout, DaemonLink* link,
                     ArenaMapping* arena, AttachedId* id) {
  AttachChannel& channel = link->channel();
  const std::string payload = attach::Encode(plan.request);
  if (payload.size() > attach::kPayloadBytesMax) {
    return Invalid("the description of the model has " + std::to_string(payload.size()) +
                   " bytes, more than " + std::to_string(attach::kPayloadBytesMax) +
                   ": use fewer or shorter tensor names, or fewer segments");
  }
  const Clock::time_point deadline =
      Clock::now() + std::chrono::milliseconds(plan.request.start_timeout_ms) + kReplyGrace;
  if (Status status = channel.Connect(plan.socket_path); !status.ok()) return status;
  // A daemon that refuses early may close before it has read everything: its reply counts, not the
  // failure to send.
  const Status sent = channel.Send(MessageType::kAttachRequest, payload, deadline);
  AttachReply reply;
  if (Status status = AwaitReply(plan, &channel, deadline, &reply); !status.ok()) {
    return sent.ok() || status.code == WEIGHTMESH_REFUSED ? status : sent;
  }
  if (reply.code != ReplyCode::kOk) return Refusal(plan.socket_path, reply);

  std::vector<UniqueFd> descriptors = channel.TakeDescriptors();
  if (descriptors.size() != attach::kDescriptorCount) {
    return Refused("weightmeshd at " + plan.socket_path + " sent " +
                   std::to_string(descriptors.size()) + " descriptors instead of " +
                   std::to_string(attach::kDescriptorCount) +
                   ": install the same release of daemon and library");
  }
  if (reply.arena_bytes != layout.arena_bytes ||
      reply.control_bytes != control_page::ControlPageBytes(layout.segments.size())) {
    return Refused("weightmeshd at " + plan.socket_path + " laid out an arena of " +
                   std::to_string(reply.arena_bytes) + " bytes, libweightmesh one of " +
                   std::to_string(layout.arena_bytes) +
                   ": install the same release of daemon and library");
  }
  Status status = arena->Map(descriptors[attach::kArenaDescriptor].get(), layout);
  if (!status.ok()) return status;
  link->SetDoorbells(std::move(descriptors[attach::kDaemonDoorbellDescriptor]),
                     std::move(descriptors[attach::kTrainerDoorbellDescriptor]));
  *id = {reply.replica_high, reply.replica_low};
  return {};
}

Status GiveBlob(AttachChannel* channel, std::string_view blob) {
  const Status status = channel->Send(MessageType::kBlob, blob, Clock::now() + kBlobWait);
  return status.ok() ? status : Alone(status.message);
}

Status AskForBlob(AttachChannel* channel, std::string* blob) {
  const Clock::time_point deadline = Clock::now() + kBlobWait;
  Status status = channel->Send(MessageType::kBlobRequest, {}, deadline);
  while (status.ok()) {
    MessageType type;
    status = channel->Receive(deadline, &type, blob);
    if (status.ok() && type == MessageType::kBlobReply && blob->size() <= attach::kBlobBytesMax) {
      return status;
    }
  }
  blob->clear();
  return Alone(status.message);
}

Status LeaveMesh(AttachChannel* channel, Clock::time_point deadline) {
  Status status = channel->Send(MessageType::kLeave, {}, deadline);
  while (status.ok()) {
    MessageType type;
    std::string payload;
    status = channel->Receive(deadline, &type, &payload);
    if (status.ok() && type == MessageType::kLeaveReply) return status;
  }
  return Alone(status.message);
}

}  // namespace weightmesh::client
