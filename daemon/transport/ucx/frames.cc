// UcxDataThread: the frames that it sends and receives, and the pulls and sends they belong to.
#include <algorithm>
#include <cstring>
#include <optional>
#include <variant>
#include <vector>

#include "daemon/core/check.h"
#include "daemon/core/fair_share.h"
#include "daemon/transport/received_frame.h"
#include "daemon/transport/ucx/data_thread.h"

namespace weightmesh {
namespace {

using wire::FrameType;
using wire::Verdict;

wire::FrameHeader HeaderOf(FrameType type, uint64_t token) {
  return {wire::kMagic, wire::kVersion, static_cast<uint16_t>(type), token};
}

wire::PullAnswerFrame AnswerFrame(uint64_t token, const PullAnswer& answer, size_t data_bytes) {
  wire::PullAnswerFrame frame{};
  frame.header = HeaderOf(FrameType::kPullAnswer, token);
  frame.request_id = Value(answer.request_id);
  frame.run_key = answer.run_key;
  frame.round = Value(answer.round);
  frame.newest_round = Value(answer.newest_round);
  frame.bytes = data_bytes;
  frame.verdict = static_cast<uint32_t>(answer.verdict);
  frame.segment = Value(answer.segment);
  return frame;
}

}  // namespace

// Sending.

void UcxDataThread::Fail(UcxEndpoint* endpoint, ucs_status_t status) {
  endpoint->failure.store(status);
  endpoint->any_failed->store(true);
}

UcxDataThread::FrameOut UcxDataThread::SendFrameBytes(UcxEndpoint* endpoint, FrameType type,
                                                      const void* bytes, size_t size,
                                                      uint32_t flags) {
  // A peer that reads nothing keeps what is sent to it; it must not keep all that there is.
  size_t& to_peer = frames_to_[endpoint->node];
  if (!HasFairShare(to_peer, frames_open_, options_.frames_max)) return FrameOut::kNoRoom;
  FrameSlot* slot = frames_.Acquire();
  if (slot == nullptr) return FrameOut::kNoRoom;
  ++to_peer;
  ++frames_open_;
  slot->owner = this;
  slot->peer = endpoint->node;
  WEIGHTMESH_CHECK(size <= slot->bytes.size(), "a frame does not fit its slot");
  std::memcpy(slot->bytes.data(), bytes, size);
  ucp_request_param_t params{};
  params.op_attr_mask =
      UCP_OP_ATTR_FIELD_FLAGS | UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA;
  params.flags = flags;
  params.cb.send = OnFrameSent;
  params.user_data = slot;
  const ucs_status_ptr_t request = ucp_am_send_nbx(endpoint->handle, static_cast<unsigned>(type),
                                                   slot->bytes.data(), size, nullptr, 0, &params);
  if (UCS_PTR_IS_PTR(request)) return FrameOut::kLeft;
  ReleaseFrame(slot);
  if (!UCS_PTR_IS_ERR(request)) return FrameOut::kLeft;
  Fail(endpoint, UCS_PTR_STATUS(request));
  return FrameOut::kFailed;
}

void UcxDataThread::OnFrameSent(void* request, ucs_status_t, void* user_data) {
  auto* slot = static_cast<FrameSlot*>(user_data);
  slot->owner->ReleaseFrame(slot);  // on an error, the error handler tells of the endpoint
  ucp_request_free(request);
}

void UcxDataThread::ReleaseFrame(FrameSlot* slot) {
  const auto to_peer = frames_to_.find(slot->peer);
  if (--to_peer->second == 0) frames_to_.erase(to_peer);
  --frames_open_;
  frames_.Release(slot);
}

void UcxDataThread::SendRequest(const Link& link, PullSlot* pull) {
  const PullRequest& request = pull->request;
  wire::PullRequestFrame frame{};
  frame.header = HeaderOf(FrameType::kPullRequest, link.peer.send_token);
  frame.request_id = Value(request.request_id);
  frame.run_key = request.run_key;
  frame.source_high = request.source.high;
  frame.source_low = request.source.low;
  frame.reader_high = request.reader.high;
  frame.reader_low = request.reader.low;
  frame.round = Value(request.round);
  frame.oldest_round = Value(request.oldest_round);
  frame.newest_round = Value(request.newest_round);
  frame.segment = Value(request.segment);
  frame.remaining_ms = request.remaining_ms;
  // REPLY: the source learns which connection it came by (see OpenPaired).
  const FrameOut out = SendFrameBytes(pull->endpoint, FrameType::kPullRequest, &frame, sizeof frame,
                                      UCP_AM_SEND_FLAG_EAGER | UCP_AM_SEND_FLAG_REPLY);
  if (out == FrameOut::kLeft) return;
  EndPull(pull, out == FrameOut::kNoRoom ? PullEnd::kNoRoom : PullEnd::kFailed);
}

void UcxDataThread::SendCancel(const PullSlot& pull) {
  const auto link = links_.find(pull.request.peer);
  if (link == links_.end() || link->second.endpoint != pull.endpoint) return;
  wire::PullCancelFrame frame{};
  frame.header = HeaderOf(FrameType::kPullCancel, link->second.peer.send_token);
  frame.request_id = Value(pull.request.request_id);
  SendFrameBytes(pull.endpoint, FrameType::kPullCancel, &frame, sizeof frame);
}

void UcxDataThread::SendAnswer(const Link& link, UcxEndpoint* endpoint, const PullAnswer& answer) {
  const wire::PullAnswerFrame frame = AnswerFrame(link.peer.send_token, answer, 0);
  SendFrameBytes(endpoint, FrameType::kPullAnswer, &frame, sizeof frame);
}

void UcxDataThread::SendIdleClose(const Link& link) {
  const wire::IdleCloseFrame frame{HeaderOf(FrameType::kIdleClose, link.peer.send_token)};
  SendFrameBytes(link.endpoint, FrameType::kIdleClose, &frame, sizeof frame);
}

// Always by rendezvous, however small: the reader accepts or declines before a byte moves, and the
// source learns which.
void UcxDataThread::SendData(const Link& link, SendSlot* send, const SendCommand& command,
                             const Registration& memory) {
  PullAnswer answer = command.answer;
  answer.verdict = Verdict::kData;
  send->frame = AnswerFrame(link.peer.send_token, answer, command.data.size());
  ucp_request_param_t params{};
  params.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS | UCP_OP_ATTR_FIELD_CALLBACK |
                        UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FIELD_MEMORY_TYPE |
                        UCP_OP_ATTR_FIELD_MEMH;
  params.flags = UCP_AM_SEND_FLAG_RNDV;
  params.cb.send = OnSent;
  params.user_data = send;
  params.memory_type = UcxMemoryType(memory.kind);
  params.memh = memory.handle;
  const ucs_status_ptr_t request = ucp_am_send_nbx(
      send->endpoint->handle, static_cast<unsigned>(FrameType::kPullAnswer), &send->frame,
      sizeof send->frame, command.data.data(), command.data.size(), &params);
  if (UCS_PTR_IS_PTR(request)) return;
  if (UCS_PTR_IS_ERR(request)) Fail(send->endpoint, UCS_PTR_STATUS(request));
  EndSend(send, !UCS_PTR_IS_ERR(request));
}

void UcxDataThread::OnSent(void* request, ucs_status_t status, void* user_data) {
  auto* send = static_cast<SendSlot*>(user_data);
  send->owner->EndSend(send, status == UCS_OK);
  ucp_request_free(request);
}

void UcxDataThread::EndSend(SendSlot* send, bool sent) {
  const SendId id = send->id;
  send->open = false;
  --send->endpoint->open_transfers;
  sends_.Release(send);
  sink_->OnSendEnded(id, sent);
}

// Receiving.

ucs_status_t UcxDataThread::Refuse(const Received& received, NodeId peer, FrameRefusal reason) {
  frames_refused_.fetch_add(1, std::memory_order_relaxed);
  sink_->OnFrameRefused(peer, reason);
  return received.rendezvous ? UCS_ERR_REJECTED : UCS_OK;
}

// An error tells UCX to decline a rendezvous, and reaches the source as the end of its send.
ucs_status_t UcxDataThread::Decline(const Received& received) {
  answers_unasked_.fetch_add(1, std::memory_order_relaxed);
  return received.rendezvous ? UCS_ERR_REJECTED : UCS_OK;
}

ucs_status_t UcxDataThread::OnFrame(void* argument, const void* header, size_t header_bytes,
                                    void* data, size_t data_bytes,
                                    const ucp_am_recv_param_t* param) {
  const auto* handler = static_cast<const FrameHandler*>(argument);
  UcxDataThread* self = handler->owner;
  const bool rendezvous = (param->recv_attr & UCP_AM_RECV_ATTR_FLAG_RNDV) != 0;
  const bool named = (param->recv_attr & UCP_AM_RECV_ATTR_FIELD_REPLY_EP) != 0;
  const Received received{header,     header_bytes, data,
                          data_bytes, rendezvous,   named ? param->reply_ep : nullptr};
  if (self->stopping_) return self->Decline(received);
  const std::optional<ReceivedFrame> frame =
      ReadFrame({handler->type, header, header_bytes, data_bytes, rendezvous});
  if (!frame.has_value()) return self->Refuse(received, {}, FrameRefusal::kMalformed);
  const std::optional<NodeId> peer = self->tokens_.Find(TokenOf(*frame));
  if (!peer.has_value()) return self->Refuse(received, {}, FrameRefusal::kUnknownToken);
  return std::visit([&](const auto& kind) { return self->Take(*peer, kind, received); }, *frame);
}

ucs_status_t UcxDataThread::Take(NodeId peer, const wire::PullRequestFrame& frame,
                                 const Received& received) {
  const auto link = links_.find(peer);
  if (link != links_.end() && link->second.draining) return UCS_OK;
  if (received.connection != nullptr) newest_connections_[peer] = received.connection;
  sink_->OnPullRequest(ToPullRequest(peer, frame));
  return UCS_OK;
}

ucs_status_t UcxDataThread::Take(NodeId peer, const wire::PullAnswerFrame& frame,
                                 const Received& received) {
  const PullAnswer answer = ToPullAnswer(peer, frame);
  const auto found = pulls_by_id_.find(answer.request_id);
  if (found == pulls_by_id_.end() || found->second->request.peer != peer ||
      found->second->receiving) {
    return Decline(received);
  }
  PullSlot* pull = found->second;
  pull->endpoint->answered = true;
  const bool with_data = answer.verdict == Verdict::kData;
  if (!Fits(answer, pull->request) || (with_data && received.data_bytes != pull->landing.size())) {
    if (with_data) EndPull(pull, PullEnd::kFailed);
    return Refuse(received, peer, FrameRefusal::kUnfitting);
  }
  if (with_data) return Receive(pull, answer, received);
  if (!IsFinal(answer.verdict) && ++pull->waits >= kAnswersPerPullMax) {
    return Refuse(received, peer, FrameRefusal::kTooMany);
  }
  sink_->OnPullAnswer(answer);
  if (IsFinal(answer.verdict)) EndPull(pull, PullEnd::kNoData);
  return UCS_OK;
}

ucs_status_t UcxDataThread::Take(NodeId peer, const wire::PullCancelFrame& frame, const Received&) {
  sink_->OnPullCancel(peer, RequestId{frame.request_id});
  return UCS_OK;
}

ucs_status_t UcxDataThread::Take(NodeId peer, const wire::IdleCloseFrame&, const Received&) {
  const auto link = links_.find(peer);
  if (link != links_.end() && link->second.endpoint != nullptr) {
    link->second.endpoint->peer_closes = true;
  }
  return UCS_OK;
}

ucs_status_t UcxDataThread::Receive(PullSlot* pull, const PullAnswer& answer,
                                    const Received& received) {
  sink_->OnPullAnswer(answer);
  pull->receiving = true;
  ucp_request_param_t params{};
  params.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA |
                        UCP_OP_ATTR_FIELD_MEMORY_TYPE | UCP_OP_ATTR_FIELD_MEMH |
                        UCP_OP_ATTR_FLAG_NO_IMM_CMPL;
  params.cb.recv_am = OnReceived;
  params.user_data = pull;
  params.memory_type = UcxMemoryType(pull->memory.kind);
  params.memh = pull->memory.handle;
  const ucs_status_ptr_t request = ucp_am_recv_data_nbx(
      worker_->handle(), received.data, pull->landing.data(), pull->landing.size(), &params);
  if (UCS_PTR_IS_ERR(request)) EndPull(pull, PullEnd::kFailed);
  return UCS_INPROGRESS;  // UCX owns the descriptor from here, even when it failed
}

void UcxDataThread::OnReceived(void* request, ucs_status_t status, size_t bytes, void* user_data) {
  auto* pull = static_cast<PullSlot*>(user_data);
  const bool landed = status == UCS_OK && bytes == pull->landing.size();
  pull->owner->EndPull(pull, landed ? PullEnd::kLanded : PullEnd::kFailed);
  ucp_request_free(request);
}

void UcxDataThread::EndPull(PullSlot* pull, PullEnd end) {
  const RequestId id = pull->request.request_id;
  --pull->endpoint->open_transfers;
  pulls_by_id_.erase(id);
  pulls_.Release(pull);
  sink_->OnPullEnded(id, end);
}

void UcxDataThread::EndAskedPulls(const UcxEndpoint* endpoint) {
  std::vector<PullSlot*> asked;
  for (const auto& [id, pull] : pulls_by_id_) {
    if (pull->endpoint == endpoint && !pull->receiving) asked.push_back(pull);
  }
  std::sort(asked.begin(), asked.end(), [](const PullSlot* a, const PullSlot* b) {
    return a->request.request_id < b->request.request_id;
  });
  for (PullSlot* pull : asked) EndPull(pull, PullEnd::kFailed);
}

}  // namespace weightmesh
