// FaultTransport: which operations a fault hits, and what then becomes of them.
#include "daemon/transport/fault.h"

#include <algorithm>
#include <array>

#include "daemon/core/check.h"
#include "daemon/core/hash.h"

namespace weightmesh {
namespace {

// Keeps the random numbers of the faults apart.
enum FaultKind : uint64_t {
  kFailPull = 1,
  kDropRequest,
  kDropAnswer,
  kFailSend,
  kCorrupt,
  kCorruptBit,
  kTear,
  kDelay,
  kDropCancel,
  kDuplicateRequest,
  kDuplicateAnswer,
  kDuplicateSend,
  kStopPull,
  kStopSend,
};

// Marks the second offer of a send that is offered twice.
constexpr uint64_t kCopy = uint64_t{1} << 63;

uint64_t Draw(uint64_t seed, uint64_t kind, uint64_t count) {
  return Hash64(std::array<uint64_t, 3>{seed, kind, count});
}

}  // namespace

FaultTransport::FaultTransport(std::unique_ptr<Transport> inner, const FaultOptions& options)
    : inner_(std::move(inner)), options_(options) {}

FaultTransport::~FaultTransport() {
  if (thread_.joinable()) Stop();
}

absl::Status FaultTransport::Start(TransportSink* sink) {
  WEIGHTMESH_CHECK(sink_ == nullptr, "a transport was started twice");
  sink_ = sink;
  const absl::Status started = inner_->Start(this);
  if (started.ok()) thread_ = std::thread([this] { Run(); });
  return started;
}

absl::Status FaultTransport::Register(absl::Span<std::byte> memory, MemoryKind kind) {
  MutexLock lock(&inner_mutex_);
  return inner_->Register(memory, kind);
}

void FaultTransport::Unregister(absl::Span<std::byte> memory) {
  MutexLock lock(&inner_mutex_);
  inner_->Unregister(memory);
}

void FaultTransport::Connect(const PeerLink& link) {
  MutexLock lock(&inner_mutex_);
  {
    MutexLock state_lock(&mutex_);
    EndDelayed(link.node);
    EndDropped(link.node);
    EndStopped(link.node);
  }
  inner_->Connect(link);
}

void FaultTransport::Disconnect(NodeId node, bool force) {
  MutexLock lock(&inner_mutex_);
  if (!force) ForwardDelayed(node);
  {
    MutexLock state_lock(&mutex_);
    EndDelayed(node);
    EndDropped(node);
    if (force) EndStopped(node);
  }
  inner_->Disconnect(node, force);
}

void FaultTransport::Pull(const PullRequest& request, absl::Span<std::byte> landing) {
  MutexLock lock(&inner_mutex_);
  {
    MutexLock state_lock(&mutex_);
    const uint64_t count = ++pulls_;
    if (Hits(options_.fail_pull, kFailPull, count)) {
      ++counts_.pulls_failed;
      return Complete(PullEnded{request.request_id, PullEnd::kFailed});
    }
    if (Hits(options_.drop_request, kDropRequest, count)) {
      ++counts_.requests_dropped;
      dropped_.emplace(request.request_id, request.peer);
      return;
    }
    PlanDamage(request, landing);
    if (Delay(request.peer, DelayedPull{request, landing})) return;
  }
  inner_->Pull(request, landing);
}

void FaultTransport::Cancel(RequestId request_id) {
  MutexLock lock(&inner_mutex_);
  {
    MutexLock state_lock(&mutex_);
    if (dropped_.erase(request_id) > 0) {
      return Complete(PullEnded{request_id, PullEnd::kCancelled});
    }
    const auto waiting = std::find_if(delayed_.begin(), delayed_.end(), [&](const auto& entry) {
      const auto* pull = std::get_if<DelayedPull>(&entry.second.second);
      return pull != nullptr && pull->request.request_id == request_id;
    });
    if (waiting != delayed_.end()) {
      delayed_.erase(waiting);
      damage_.erase(request_id);
      return Complete(PullEnded{request_id, PullEnd::kCancelled});
    }
  }
  inner_->Cancel(request_id);
}

void FaultTransport::Answer(const PullAnswer& answer) {
  MutexLock lock(&inner_mutex_);
  DelayedAnswer operation{answer, false};
  {
    MutexLock state_lock(&mutex_);
    if (Hits(options_.drop_answer, kDropAnswer, ++answers_)) {
      ++counts_.answers_dropped;
      return;
    }
    operation.twice = Hits(options_.duplicate_answer, kDuplicateAnswer, answers_);
    counts_.answers_duplicated += operation.twice;
    if (Delay(answer.peer, operation)) return;
  }
  Forward(operation);
}

void FaultTransport::Send(const PullAnswer& answer, absl::Span<const std::byte> data,
                          SendId send_id) {
  MutexLock lock(&inner_mutex_);
  DelayedSend operation{answer, data, send_id, false};
  {
    MutexLock state_lock(&mutex_);
    if (Hits(options_.fail_send, kFailSend, ++sends_)) {
      ++counts_.sends_failed;
      return Complete(SendEnded{send_id});
    }
    operation.twice = Hits(options_.duplicate_send, kDuplicateSend, sends_);
    counts_.sends_duplicated += operation.twice;
    if (Hits(options_.stop_send, kStopSend, sends_)) stopped_sends_[send_id].peer = answer.peer;
    if (Delay(answer.peer, operation)) return;
  }
  Forward(operation);
}

void FaultTransport::Stop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    EndDelayed(std::nullopt);
    EndDropped(std::nullopt);
    EndStopped(std::nullopt);
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
  inner_->Stop();
}

FaultCounts FaultTransport::counts() const {
  MutexLock lock(&mutex_);
  return counts_;
}

void FaultTransport::Forward(const Operation& operation) {
  if (const auto* pull = std::get_if<DelayedPull>(&operation)) {
    inner_->Pull(pull->request, pull->landing);
  } else if (const auto* answer = std::get_if<DelayedAnswer>(&operation)) {
    inner_->Answer(answer->answer);
    if (answer->twice) inner_->Answer(answer->answer);
  } else if (const auto* send = std::get_if<DelayedSend>(&operation)) {
    if (send->twice) {
      MutexLock lock(&mutex_);
      send_copies_[send->send_id] = SendCopies{};
    }
    inner_->Send(send->answer, send->data, send->send_id);
    if (send->twice) {
      inner_->Send(send->answer, send->data, SendId{Value(send->send_id) | kCopy});
    }
  }
}

void FaultTransport::ForwardDelayed(NodeId peer) {
  std::vector<Operation> operations;
  {
    MutexLock lock(&mutex_);
    for (auto entry = delayed_.begin(); entry != delayed_.end();) {
      if (entry->second.first == peer) {
        operations.push_back(std::move(entry->second.second));
        entry = delayed_.erase(entry);
      } else {
        ++entry;
      }
    }
  }
  for (const Operation& operation : operations) Forward(operation);
}

bool FaultTransport::Hits(const FaultRule& rule, uint64_t kind, uint64_t count) const {
  if (rule.nth != 0 && rule.nth == count) return true;
  return static_cast<double>(Draw(options_.seed, kind, count) >> 11) * 0x1p-53 < rule.rate;
}

bool FaultTransport::Delay(NodeId peer, Operation operation) {
  if (options_.delay_ms_max == 0) return false;
  const uint64_t count = ++delays_;
  if (stopping_ || delayed_.size() >= options_.delayed_max) {
    if (const auto* pull = std::get_if<DelayedPull>(&operation)) {
      damage_.erase(pull->request.request_id);
      Complete(PullEnded{pull->request.request_id, PullEnd::kFailed});
    } else if (const auto* send = std::get_if<DelayedSend>(&operation)) {
      stopped_sends_.erase(send->send_id);
      Complete(SendEnded{send->send_id});
    }
    return true;
  }
  ++counts_.delayed;
  const uint64_t choices = uint64_t{options_.delay_ms_max} - options_.delay_ms_min + 1;
  const uint64_t delay_ms =
      options_.delay_ms_min + Draw(options_.seed, kDelay, count) % std::max<uint64_t>(choices, 1);
  Clock::time_point& last = last_due_[peer];
  last = std::max(last, Clock::now() + std::chrono::milliseconds(delay_ms));
  delayed_.emplace(std::pair(last, count), std::pair(peer, std::move(operation)));
  changed_.notify_one();
  return true;
}

void FaultTransport::PlanDamage(const PullRequest& request, absl::Span<std::byte> landing) {
  Damage damage;
  damage.peer = request.peer;
  damage.landing = landing;
  damage.flip = Hits(options_.corrupt, kCorrupt, pulls_);
  damage.tear = Hits(options_.tear, kTear, pulls_);
  damage.stop = Hits(options_.stop_pull, kStopPull, pulls_);
  if (landing.empty() || !(damage.flip || damage.tear || damage.stop)) return;
  const auto second_half = landing.subspan(landing.size() / 2);
  if (damage.tear || damage.stop) damage.former.assign(second_half.begin(), second_half.end());
  damage_[request.request_id] = std::move(damage);
}

bool FaultTransport::ApplyDamage(RequestId request_id, Damage damage) {
  const auto second_half = damage.landing.subspan(damage.landing.size() / 2);
  if (damage.stop) {
    ++counts_.pulls_stopped;
    std::vector<std::byte> data(second_half.begin(), second_half.end());
    std::copy(damage.former.begin(), damage.former.end(), second_half.begin());
    stopped_pulls_[request_id] = StoppedPull{damage.peer, second_half, std::move(data)};
    return false;
  }
  if (damage.tear) {
    ++counts_.torn;
    std::copy(damage.former.begin(), damage.former.end(), second_half.begin());
  }
  if (damage.flip) {
    ++counts_.corrupted;
    const uint64_t bit = Draw(options_.seed, kCorruptBit, Value(request_id));
    damage.landing[bit / 8 % damage.landing.size()] ^= std::byte(1 << bit % 8);
  }
  return true;
}

void FaultTransport::EndDelayed(std::optional<NodeId> peer) {
  for (auto entry = delayed_.begin(); entry != delayed_.end();) {
    if (peer.has_value() && entry->second.first != *peer) {
      ++entry;
      continue;
    }
    if (const auto* pull = std::get_if<DelayedPull>(&entry->second.second)) {
      damage_.erase(pull->request.request_id);
      Complete(PullEnded{pull->request.request_id, PullEnd::kFailed});
    } else if (const auto* send = std::get_if<DelayedSend>(&entry->second.second)) {
      stopped_sends_.erase(send->send_id);
      Complete(SendEnded{send->send_id});
    }
    entry = delayed_.erase(entry);
  }
}

void FaultTransport::EndDropped(std::optional<NodeId> peer) {
  for (auto entry = dropped_.begin(); entry != dropped_.end();) {
    if (peer.has_value() && entry->second != *peer) {
      ++entry;
      continue;
    }
    Complete(PullEnded{entry->first, PullEnd::kFailed});
    entry = dropped_.erase(entry);
  }
}

void FaultTransport::EndStopped(std::optional<NodeId> peer) {
  const auto is_of_it = [&](NodeId other) { return !peer.has_value() || other == *peer; };
  for (auto& [request_id, damage] : damage_) damage.stop &= !is_of_it(damage.peer);
  std::erase_if(stopped_pulls_, [&](const auto& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const StoppedPull& pull = entry.second;
    if (!is_of_it(pull.peer)) return false;
    std::copy(pull.data.begin(), pull.data.end(), pull.second_half.begin());
    Complete(PullEnded{entry.first, PullEnd::kFailed});
    return true;
  });
  std::erase_if(stopped_sends_, [&](const auto& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!is_of_it(entry.second.peer)) return false;
    if (entry.second.over) Complete(SendEnded{entry.first});
    return true;
  });
}

void FaultTransport::Complete(Completion completion) {
  completions_.push_back(completion);
  changed_.notify_one();
}

void FaultTransport::Run() ABSL_NO_THREAD_SAFETY_ANALYSIS {
  for (;;) {
    {
      std::unique_lock<std::mutex> lock(mutex_.native());
      while (completions_.empty() && !stopping_ &&
             (delayed_.empty() || delayed_.begin()->first.first > Clock::now())) {
        if (delayed_.empty()) {
          changed_.wait(lock);
        } else {
          const Clock::time_point due = delayed_.begin()->first.first;
          changed_.wait_until(lock, due);
        }
      }
      if (completions_.empty() && stopping_) return;
    }
    DeliverCompletions();

    // Taken and forwarded under one hold of inner_mutex_, so that no Cancel or Disconnect falls
    // between.
    MutexLock inner_lock(&inner_mutex_);
    std::optional<Operation> operation;
    {
      MutexLock lock(&mutex_);
      if (!delayed_.empty() && delayed_.begin()->first.first <= Clock::now()) {
        operation = std::move(delayed_.begin()->second.second);
        delayed_.erase(delayed_.begin());
      }
    }
    if (operation.has_value()) Forward(*operation);
  }
}

void FaultTransport::DeliverCompletions() {
  MutexLock sink_lock(&sink_mutex_);
  std::vector<Completion> completions;
  {
    MutexLock lock(&mutex_);
    completions.swap(completions_);
  }
  for (const Completion& completion : completions) {
    if (const auto* pull = std::get_if<PullEnded>(&completion)) {
      sink_->OnPullEnded(pull->request_id, pull->end);
    } else if (const auto* send = std::get_if<SendEnded>(&completion)) {
      sink_->OnSendEnded(send->send_id, false);
    }
  }
}

void FaultTransport::OnPullRequest(const PullRequest& request) {
  bool twice = false;
  {
    MutexLock lock(&mutex_);
    twice = Hits(options_.duplicate_request, kDuplicateRequest, ++requests_);
    counts_.requests_duplicated += twice;
  }
  MutexLock lock(&sink_mutex_);
  sink_->OnPullRequest(request);
  if (twice) sink_->OnPullRequest(request);
}

void FaultTransport::OnPullCancel(NodeId peer, RequestId request_id) {
  {
    MutexLock lock(&mutex_);
    if (Hits(options_.drop_cancel, kDropCancel, ++cancels_)) {
      ++counts_.cancels_dropped;
      return;
    }
  }
  MutexLock lock(&sink_mutex_);
  sink_->OnPullCancel(peer, request_id);
}

void FaultTransport::OnPullAnswer(const PullAnswer& answer) {
  MutexLock lock(&sink_mutex_);
  sink_->OnPullAnswer(answer);
}

void FaultTransport::OnPullEnded(RequestId request_id, PullEnd end) {
  {
    MutexLock lock(&mutex_);
    const auto found = damage_.find(request_id);
    if (found != damage_.end()) {
      Damage damage = std::move(found->second);
      damage_.erase(found);
      if (end == PullEnd::kLanded && !ApplyDamage(request_id, std::move(damage))) return;
    }
  }
  MutexLock lock(&sink_mutex_);
  sink_->OnPullEnded(request_id, end);
}

void FaultTransport::OnSendEnded(SendId send_id, bool sent) {
  {
    MutexLock lock(&mutex_);
    send_id = SendId{Value(send_id) & ~kCopy};
    if (const auto copies = send_copies_.find(send_id); copies != send_copies_.end()) {
      copies->second.sent |= sent;
      if (--copies->second.open > 0) return;
      sent = copies->second.sent;
      send_copies_.erase(copies);
    }
    if (const auto stopped = stopped_sends_.find(send_id); stopped != stopped_sends_.end()) {
      if (sent) {
        ++counts_.sends_stopped;
        stopped->second.over = true;
        return;
      }
      stopped_sends_.erase(stopped);
    }
  }
  MutexLock lock(&sink_mutex_);
  sink_->OnSendEnded(send_id, sent);
}

void FaultTransport::OnLinkDown(NodeId peer, absl::string_view reason) {
  {
    MutexLock lock(&mutex_);
    EndDropped(peer);
    EndStopped(peer);
  }
  DeliverCompletions();
  MutexLock lock(&sink_mutex_);
  sink_->OnLinkDown(peer, reason);
}

void FaultTransport::OnFrameRefused(NodeId peer, FrameRefusal reason) {
  MutexLock lock(&sink_mutex_);
  sink_->OnFrameRefused(peer, reason);
}

}  // namespace weightmesh
