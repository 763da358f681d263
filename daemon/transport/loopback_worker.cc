// Worker: how the loopback's data thread handles each message, and ends pulls, sends and links.
#include "daemon/transport/loopback_worker.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <variant>

#include "absl/strings/string_view.h"
#include "daemon/core/check.h"

namespace weightmesh::loopback_internal {
namespace {

bool IsFinal(wire::Verdict verdict) {
  return verdict != wire::Verdict::kData && verdict != wire::Verdict::kQueued &&
         verdict != wire::Verdict::kWaiting;
}

}  // namespace

Worker::Worker(std::shared_ptr<Exchange> exchange, size_t pulls_max, size_t sends_max,
               TransportSink* sink)
    : exchange_(std::move(exchange)),
      pulls_max_(pulls_max),
      sink_(sink),
      address_(exchange_->Add(mailbox_)),
      sends_(sends_max),
      offers_(std::make_shared<OfferTable>(sends_max)) {
  // Twice the room: a table this full never grows again, whatever is erased and inserted.
  pulls_.reserve(2 * pulls_max);
  for (size_t index = sends_max; index > 0; --index) free_sends_.push_back(index - 1);
  thread_ = std::thread([this] { Run(); });
}

Worker::~Worker() { Join(); }

void Worker::Join() {
  if (!thread_.joinable()) return;
  Post(StopCommand{});
  thread_.join();
}

void Worker::Run() {
  std::vector<Message> batch;
  const auto handle = [this](const auto& message) { On(message); };
  while (!stopping_ || open_sends_ > 0) {
    mailbox_->WaitAndTake(&batch);
    for (const Message& message : batch) std::visit(handle, message);
    batch.clear();
  }
  // What was posted before the end still gets its completion.
  mailbox_->Close(&batch);
  for (const Message& message : batch) std::visit(handle, message);
  exchange_->Remove(address_);
  MutexLock lock(&paths_mutex_);
  paths_.clear();
}

void Worker::On(const StopCommand&) {
  if (stopping_) return;
  stopping_ = true;
  std::vector<NodeId> nodes;
  for (const auto& [node, link] : links_) nodes.push_back(node);
  std::sort(nodes.begin(), nodes.end());
  for (const NodeId& node : nodes) EndAllOf(node);
}

void Worker::On(const ConnectCommand& command) {
  Forget(command.link.node);
  nodes_by_token_[command.link.receive_token] = command.link.node;
  links_[command.link.node].peer = command.link;
  PublishPaths();
}

void Worker::On(const DisconnectCommand& command) {
  if (command.force) {
    Forget(command.node);
  } else if (Link* link = Find(command.node)) {
    link->draining = true;
    ForgetIfDrained(command.node);
  }
  PublishPaths();
}

void Worker::On(const PullCommand& command) {
  const RequestId id = command.request.request_id;
  Link* link = Find(command.request.peer);
  if (link == nullptr || !command.registered) {
    sink_->OnPullEnded(id, PullEnd::kFailed);
    return;
  }
  if (pulls_.size() >= pulls_max_) {
    sink_->OnPullEnded(id, PullEnd::kNoRoom);
    return;
  }
  const bool is_new = pulls_.emplace(id, OpenPull{command.request, command.landing}).second;
  WEIGHTMESH_CHECK(is_new, "a request id was used twice");
  PostTo(link, RequestFrame{link->peer.send_token, command.request});
}

void Worker::On(const CancelCommand& command) {
  const auto found = pulls_.find(command.request_id);
  if (found == pulls_.end()) return;
  const auto link = links_.find(found->second.request.peer);
  EndPull(command.request_id, PullEnd::kCancelled);
  if (link != links_.end()) {
    PostTo(&link->second, CancelFrame{link->second.peer.send_token, command.request_id});
    ForgetIfDrained(link->first);
  }
}

void Worker::On(const AnswerCommand& command) {
  Link* link = Find(command.answer.peer);
  if (link != nullptr) PostTo(link, AnswerFrame{link->peer.send_token, command.answer});
}

void Worker::On(const SendCommand& command) {
  Link* link = Find(command.answer.peer);
  if (link == nullptr || !command.registered || free_sends_.empty()) {
    sink_->OnSendEnded(command.send_id, false);
    return;
  }
  const size_t index = free_sends_.back();
  free_sends_.pop_back();
  ++open_sends_;
  const uint64_t generation = offers_->Offer(index);
  sends_[index] = {command.answer.peer, command.send_id, generation, true};
  PostTo(link, DataFrame{link->peer.send_token, command.answer, command.data, offers_, index,
                         generation, mailbox_});
}

void Worker::On(const RequestFrame& frame) {
  const Link* sender = Sender(frame.token);
  if (sender == nullptr || sender->draining) return;
  PullRequest request = frame.request;
  request.peer = sender->peer.node;
  sink_->OnPullRequest(request);
}

void Worker::On(const CancelFrame& frame) {
  const Link* sender = Sender(frame.token);
  if (sender != nullptr) sink_->OnPullCancel(sender->peer.node, frame.request_id);
}

void Worker::On(const AnswerFrame& frame) {
  const Link* sender = Sender(frame.token);
  const OpenPull* pull = sender == nullptr ? nullptr : Answered(*sender, frame.answer);
  if (pull == nullptr) return;
  PullAnswer answer = frame.answer;
  answer.peer = sender->peer.node;
  if (answer.verdict == wire::Verdict::kData) {  // that comes as a DataFrame only
    return Refuse(answer.peer, FrameRefusal::kMalformed);
  }
  if (!Fits(answer, pull->request)) return Refuse(answer.peer, FrameRefusal::kUnfitting);
  sink_->OnPullAnswer(answer);
  if (!IsFinal(answer.verdict)) return;
  EndPull(answer.request_id, PullEnd::kNoData);
  ForgetIfDrained(answer.peer);
}

void Worker::On(const DataFrame& frame) {
  if (!frame.offers->Take(frame.offer_index, frame.offer_generation)) return;
  const Link* sender = Sender(frame.token);
  OpenPull* pull = sender == nullptr ? nullptr : Answered(*sender, frame.answer);
  if (pull == nullptr) {
    frame.source->Post(OfferDone{frame.offer_index, false});
    return;
  }
  PullAnswer answer = frame.answer;
  answer.peer = sender->peer.node;
  answer.verdict = wire::Verdict::kData;
  const bool fits = Fits(answer, pull->request) && pull->landing.size() == frame.data.size();
  if (fits) {
    sink_->OnPullAnswer(answer);
    std::memcpy(pull->landing.data(), frame.data.data(), frame.data.size());
  } else {
    Refuse(answer.peer, FrameRefusal::kUnfitting);
  }
  frame.source->Post(OfferDone{frame.offer_index, fits});
  EndPull(answer.request_id, fits ? PullEnd::kLanded : PullEnd::kFailed);
  ForgetIfDrained(answer.peer);
}

void Worker::On(const OfferDone& done) {
  const NodeId peer = sends_[done.offer_index].peer;
  EndSend(done.offer_index, done.sent);
  ForgetIfDrained(peer);
}

void Worker::On(const AddressGone& gone) {
  std::vector<NodeId> nodes;  // Break may erase a link
  for (const auto& [node, link] : links_) {
    if (link.peer.address == gone.address && link.up) nodes.push_back(node);
  }
  for (const NodeId& node : nodes) Break(&links_.at(node), "the peer's transport stopped");
}

Worker::Link* Worker::Find(NodeId node) {
  const auto found = links_.find(node);
  if (found == links_.end() || found->second.draining || stopping_) return nullptr;
  return &found->second;
}

Worker::Link* Worker::Sender(uint64_t token) {
  if (stopping_) return nullptr;
  const auto found = nodes_by_token_.find(token);
  if (found == nodes_by_token_.end()) {
    Refuse({}, FrameRefusal::kUnknownToken);
    return nullptr;
  }
  return &links_.at(found->second);
}

void Worker::Refuse(NodeId peer, FrameRefusal reason) {
  frames_refused_.fetch_add(1, std::memory_order_relaxed);
  sink_->OnFrameRefused(peer, reason);
}

Worker::OpenPull* Worker::Answered(const Link& sender, const PullAnswer& answer) {
  const auto found = pulls_.find(answer.request_id);
  if (found == pulls_.end() || found->second.request.peer != sender.peer.node) {
    answers_unasked_.fetch_add(1, std::memory_order_relaxed);
    return nullptr;
  }
  return &found->second;
}

// On failure the link breaks: what is open on it, this message's operation included, has ended.
bool Worker::PostTo(Link* link, Message message) {
  const std::shared_ptr<Mailbox> mailbox = exchange_->Find(link->peer.address);
  if (mailbox != nullptr && mailbox->Post(std::move(message))) {
    link->up = true;
    return true;
  }
  Break(link, "no transport has that address");
  return false;
}

// May erase `link`, when it was draining.
void Worker::Break(Link* link, absl::string_view reason) {
  const NodeId node = link->peer.node;
  const bool draining = link->draining;
  link->up = false;
  EndAllOf(node);
  if (!draining) sink_->OnLinkDown(node, reason);
  ForgetIfDrained(node);
}

void Worker::EndPull(RequestId request_id, PullEnd end) {
  pulls_.erase(request_id);
  sink_->OnPullEnded(request_id, end);
}

void Worker::EndSend(size_t index, bool sent) {
  OpenSend& send = sends_[index];
  if (!send.open) return;
  send.open = false;
  --open_sends_;
  free_sends_.push_back(index);
  sink_->OnSendEnded(send.send_id, sent);
}

// A send that its reader has taken ends later, by OfferDone.
void Worker::EndAllOf(NodeId peer) {
  std::vector<RequestId> ended;
  for (const auto& [request_id, pull] : pulls_) {
    if (pull.request.peer == peer) ended.push_back(request_id);
  }
  std::sort(ended.begin(), ended.end());
  for (const RequestId request_id : ended) EndPull(request_id, PullEnd::kFailed);
  for (size_t index = 0; index < sends_.size(); ++index) {
    const OpenSend& send = sends_[index];
    if (send.open && send.peer == peer && offers_->Revoke(index, send.generation)) {
      EndSend(index, false);
    }
  }
}

void Worker::Forget(NodeId node) {
  const auto found = links_.find(node);
  if (found == links_.end()) return;
  EndAllOf(node);
  nodes_by_token_.erase(found->second.peer.receive_token);
  links_.erase(found);
}

void Worker::ForgetIfDrained(NodeId node) {
  const auto found = links_.find(node);
  if (found == links_.end() || !found->second.draining) return;
  for (const auto& [request_id, pull] : pulls_) {
    if (pull.request.peer == node) return;
  }
  for (const OpenSend& send : sends_) {
    if (send.open && send.peer == node) return;
  }
  Forget(node);
}

void Worker::PublishPaths() {
  std::vector<PathReport> paths;
  for (const auto& [node, link] : links_) {
    if (!link.draining) paths.push_back({node, "loopback", "memory", ""});
  }
  std::sort(paths.begin(), paths.end(),
            [](const PathReport& a, const PathReport& b) { return a.peer < b.peer; });
  MutexLock lock(&paths_mutex_);
  paths_ = std::move(paths);
}

std::vector<PathReport> Worker::Paths() const {
  MutexLock lock(&paths_mutex_);
  return paths_;
}

}  // namespace weightmesh::loopback_internal
