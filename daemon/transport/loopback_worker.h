// Worker: the data thread of one LoopbackTransport, with all its links, pulls and sends.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "daemon/core/mutex.h"
#include "daemon/transport/loopback_mailbox.h"
#include "daemon/transport/memory_ranges.h"
#include "daemon/transport/transport.h"

namespace weightmesh::loopback_internal {

class Worker {
 public:
  // Starts the thread. `sink` must outlive the worker.
  Worker(std::shared_ptr<Exchange> exchange, size_t pulls_max, size_t sends_max,
         TransportSink* sink);
  // Stops the thread, unless Join() did.
  ~Worker();

  void Post(Message message) { mailbox_->Post(std::move(message)); }
  void Join();

  const std::string& address() const { return address_; }
  uint64_t frames_refused() const { return frames_refused_.load(std::memory_order_relaxed); }
  uint64_t answers_unasked() const { return answers_unasked_.load(std::memory_order_relaxed); }
  std::vector<PathReport> Paths() const;

  // Registered memory: used by the caller's thread only.
  MemoryRanges<MemoryKind>& memory() { return memory_; }

 private:
  struct Link {
    PeerLink peer;
    bool up = true;         // false from a break until the next use
    bool draining = false;  // Disconnect without force: forgotten once nothing is open
  };
  struct OpenPull {
    PullRequest request;
    absl::Span<std::byte> landing;
  };
  struct OpenSend {
    NodeId peer;
    SendId send_id{};
    uint64_t generation = 0;
    bool open = false;
  };

  void Run();

  void On(const ConnectCommand& command);
  void On(const DisconnectCommand& command);
  void On(const PullCommand& command);
  void On(const CancelCommand& command);
  void On(const AnswerCommand& command);
  void On(const SendCommand& command);
  void On(const StopCommand& command);
  void On(const RequestFrame& frame);
  void On(const CancelFrame& frame);
  void On(const AnswerFrame& frame);
  void On(const DataFrame& frame);
  void On(const OfferDone& done);
  void On(const AddressGone& gone);

  // The link to use for something new; null if there is none.
  Link* Find(NodeId node);
  // The sender of a frame; null, and counted, when the token is unknown.
  Link* Sender(uint64_t token);
  void Refuse(NodeId peer, FrameRefusal reason);
  // The open pull that a frame of `sender` answers; null when it ended or was another's.
  OpenPull* Answered(const Link& sender, const PullAnswer& answer);
  bool PostTo(Link* link, Message message);
  void Break(Link* link, absl::string_view reason);

  void EndPull(RequestId request_id, PullEnd end);
  void EndSend(size_t index, bool sent);
  void EndAllOf(NodeId peer);
  void Forget(NodeId node);
  void ForgetIfDrained(NodeId node);
  void PublishPaths();

  const std::shared_ptr<Exchange> exchange_;
  const size_t pulls_max_;
  TransportSink* const sink_;
  const std::shared_ptr<Mailbox> mailbox_ = std::make_shared<Mailbox>();
  const std::string address_;
  MemoryRanges<MemoryKind> memory_;
  std::atomic<uint64_t> frames_refused_{0};
  std::atomic<uint64_t> answers_unasked_{0};

  // Owned by the data thread.
  absl::flat_hash_map<NodeId, Link> links_;
  absl::flat_hash_map<uint64_t, NodeId> nodes_by_token_;
  absl::flat_hash_map<RequestId, OpenPull> pulls_;
  std::vector<OpenSend> sends_;  // by offer index
  std::vector<size_t> free_sends_;
  size_t open_sends_ = 0;
  const std::shared_ptr<OfferTable> offers_;
  bool stopping_ = false;

  mutable Mutex paths_mutex_;
  std::vector<PathReport> paths_ ABSL_GUARDED_BY(paths_mutex_);
  std::thread thread_;
};

}  // namespace weightmesh::loopback_internal
