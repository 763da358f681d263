// TransportNode and its sink: guarded memory, and waiting for what the transport reports.
#include "tests/transport/transport_node.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include "daemon/core/hash.h"

namespace weightmesh {
namespace {

constexpr size_t kGuardBytes = 64;
constexpr std::byte kGuard{0xa5};

uint64_t PatternWord(uint64_t seed, size_t index) {
  return Mix64(seed * 0x9e3779b97f4a7c15u + index);
}

}  // namespace

void RecordingSink::OnPullRequest(const PullRequest& request) {
  MutexLock lock(&mutex_);
  requests.push_back(request);
  changed_.notify_all();
}

void RecordingSink::OnPullCancel(NodeId, RequestId request_id) {
  MutexLock lock(&mutex_);
  cancels.push_back(request_id);
  changed_.notify_all();
}

void RecordingSink::OnPullAnswer(const PullAnswer& answer) {
  MutexLock lock(&mutex_);
  Pulled& pull = pulls[answer.request_id];
  EXPECT_TRUE(pull.ends.empty()) << "an answer came after the end";
  pull.answers.push_back(answer);
  changed_.notify_all();
}

void RecordingSink::OnPullEnded(RequestId request_id, PullEnd end) {
  MutexLock lock(&mutex_);
  pulls[request_id].ends.push_back(end);
  changed_.notify_all();
}

void RecordingSink::OnSendEnded(SendId send_id, bool sent) {
  MutexLock lock(&mutex_);
  sends[send_id].push_back(sent);
  changed_.notify_all();
}

void RecordingSink::OnLinkDown(NodeId peer, absl::string_view) {
  MutexLock lock(&mutex_);
  links_down.push_back(peer);
  changed_.notify_all();
}

void RecordingSink::OnFrameRefused(NodeId peer, FrameRefusal reason) {
  MutexLock lock(&mutex_);
  refusals.emplace_back(peer, reason);
  changed_.notify_all();
}

bool RecordingSink::WaitFor(const std::function<bool(const RecordingSink&)>& condition) {
  std::unique_lock<std::mutex> lock(mutex_.native());
  return changed_.wait_for(lock, kPatience, [&] { return condition(*this); });
}

TransportNode::TransportNode(uint64_t number, std::unique_ptr<Transport> transport,
                             size_t memory_bytes)
    : id_{number, ~number}, transport_(std::move(transport)), memory_(memory_bytes) {
  EXPECT_TRUE(transport_->Start(&sink_).ok());
  const absl::Status registered = transport_->Register(absl::MakeSpan(memory_), MemoryKind::kHost);
  EXPECT_TRUE(registered.ok()) << registered;
}

TransportNode::~TransportNode() {
  Stop();
  for (const auto& guard : guards_) {
    EXPECT_TRUE(std::all_of(guard.begin(), guard.end(), [](std::byte b) { return b == kGuard; }))
        << "bytes beside a landing were written";
  }
  EXPECT_EQ(sink_.sends.size(), last_send_) << "a send did not end";
  for (const auto& [id, ends] : sink_.sends) EXPECT_EQ(ends.size(), 1u) << "send " << Value(id);
  EXPECT_EQ(sink_.pulls.size(), last_request_) << "a pull did not end";
  for (const auto& [id, pull] : sink_.pulls) {
    EXPECT_EQ(pull.ends.size(), 1u) << "pull " << Value(id);
  }
}

absl::Span<std::byte> TransportNode::Allocate(size_t bytes) {
  // Odd offsets too: nothing promises that a segment begins at a round address.
  const size_t end = used_ + kGuardBytes + bytes + kGuardBytes;
  if (end > memory_.size()) {
    ADD_FAILURE() << "the test's memory is too small";
    return {};
  }
  const auto all = absl::MakeSpan(memory_).subspan(used_, 2 * kGuardBytes + bytes);
  used_ = end;
  const auto bytes_span = all.subspan(kGuardBytes, bytes);
  for (const auto& guard : {all.first(kGuardBytes), all.last(kGuardBytes)}) {
    std::fill(guard.begin(), guard.end(), kGuard);
    guards_.push_back(guard);
  }
  std::fill(bytes_span.begin(), bytes_span.end(), kUntouched);
  return bytes_span;
}

absl::Span<std::byte> TransportNode::AllocatePattern(size_t bytes, uint64_t seed) {
  const absl::Span<std::byte> span = Allocate(bytes);
  for (size_t at = 0; at < span.size(); at += sizeof(uint64_t)) {
    const uint64_t word = PatternWord(seed, at);
    std::memcpy(span.data() + at, &word, std::min(sizeof word, span.size() - at));
  }
  return span;
}

RequestId TransportNode::Pull(const TransportNode& peer, absl::Span<std::byte> landing,
                              uint32_t segment) {
  return PullFrom(peer.id(), landing, segment);
}

RequestId TransportNode::PullFrom(NodeId peer, absl::Span<std::byte> landing, uint32_t segment) {
  PullRequest request;
  request.peer = peer;
  request.request_id = RequestId{++last_request_};
  request.run_key = 7;
  request.source = {peer.high, 1};
  request.reader = {id_.high, 2};
  request.round = Round{11};
  request.segment = SegmentId{segment};
  request.remaining_ms = 5000;
  request.newest_round = Round{12};
  request.rounds_behind_max = rounds_behind_max_;
  request.rounds_ahead_max = rounds_ahead_max_;
  transport_->Pull(request, landing);
  return request.request_id;
}

SendId TransportNode::Send(const PullRequest& request, absl::Span<const std::byte> data) {
  const SendId send_id{++last_send_};
  transport_->Send({request.peer, request.request_id, request.run_key, wire::Verdict::kData,
                    request.segment, request.round, Round{13}},
                   data, send_id);
  return send_id;
}

void TransportNode::Answer(const PullRequest& request, wire::Verdict verdict) {
  transport_->Answer({request.peer, request.request_id, request.run_key, verdict, request.segment,
                      Round{9}, Round{13}});
}

PullRequest TransportNode::WaitForRequest(size_t nth) {
  PullRequest request;
  EXPECT_TRUE(sink_.WaitFor([&](const RecordingSink& sink) {
    if (sink.requests.size() <= nth) return false;
    request = sink.requests[nth];
    return true;
  })) << "request "
      << nth << " did not arrive";
  return request;
}

PullEnd TransportNode::WaitForEnd(RequestId request_id) {
  PullEnd end{};
  EXPECT_TRUE(sink_.WaitFor([&](const RecordingSink& sink) {
    const auto found = sink.pulls.find(request_id);
    if (found == sink.pulls.end() || found->second.ends.empty()) return false;
    end = found->second.ends[0];
    return true;
  })) << "pull "
      << Value(request_id) << " did not end";
  return end;
}

bool TransportNode::WaitForSent(SendId send_id) {
  bool sent = false;
  EXPECT_TRUE(sink_.WaitFor([&](const RecordingSink& sink) {
    const auto found = sink.sends.find(send_id);
    if (found == sink.sends.end()) return false;
    sent = found->second[0];
    return true;
  })) << "send "
      << Value(send_id) << " did not end";
  return sent;
}

void TransportNode::Stop() {
  if (stopped_) return;
  stopped_ = true;
  transport_->Stop();
}

bool HoldsPattern(absl::Span<const std::byte> bytes, uint64_t seed) {
  for (size_t at = 0; at < bytes.size(); at += sizeof(uint64_t)) {
    const uint64_t word = PatternWord(seed, at);
    if (std::memcmp(bytes.data() + at, &word, std::min(sizeof word, bytes.size() - at)) != 0) {
      return false;
    }
  }
  return true;
}

bool IsUntouched(absl::Span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == kUntouched; });
}

void Link(TransportNode& a, TransportNode& b) {
  static std::atomic<uint64_t> tokens{0x1000};
  const uint64_t to_b = ++tokens;
  const uint64_t to_a = ++tokens;
  a.transport().Connect({b.id(), b.transport().address(), to_b, to_a});
  b.transport().Connect({a.id(), a.transport().address(), to_a, to_b});
}

}  // namespace weightmesh
