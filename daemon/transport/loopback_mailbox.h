// What the data threads of LoopbackTransports post to each other, and the mailbox it waits in.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "daemon/core/mutex.h"
#include "daemon/transport/transport.h"

namespace weightmesh::loopback_internal {

class Mailbox;

// The sends of one transport, as their readers see them. A reader takes an offer before it reads
// the data; the source revokes one to end it. Whoever comes second leaves the data alone.
class OfferTable {
 public:
  explicit OfferTable(size_t offers_max) : words_(offers_max) {}

  // By the source, of an index that no open send uses. Returns the offer's generation.
  uint64_t Offer(size_t index) {
    const uint64_t generation = (words_[index].load(std::memory_order_relaxed) >> 2) + 1;
    words_[index].store(generation << 2 | kOffered, std::memory_order_release);
    return generation;
  }
  bool Take(size_t index, uint64_t generation) { return Change(index, generation, kTaken); }
  bool Revoke(size_t index, uint64_t generation) { return Change(index, generation, kRevoked); }

 private:
  enum State : uint64_t { kFree = 0, kOffered = 1, kTaken = 2, kRevoked = 3 };

  bool Change(size_t index, uint64_t generation, State state) {
    uint64_t expected = generation << 2 | kOffered;
    return words_[index].compare_exchange_strong(expected, generation << 2 | state,
                                                 std::memory_order_acq_rel);
  }

  std::vector<std::atomic<uint64_t>> words_;  // generation << 2 | State
};

// Commands of the own core.
struct ConnectCommand {
  PeerLink link;
};
struct DisconnectCommand {
  NodeId node;
  bool force;
};
struct PullCommand {
  PullRequest request;
  absl::Span<std::byte> landing;
  bool registered;
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
  bool registered;
};
struct StopCommand {};

// Frames of peers. `token` is the sender's send_token.
struct RequestFrame {
  uint64_t token;
  PullRequest request;
};
struct CancelFrame {
  uint64_t token;
  RequestId request_id;
};
struct AnswerFrame {
  uint64_t token;
  PullAnswer answer;
};
struct DataFrame {
  uint64_t token;
  PullAnswer answer;
  absl::Span<const std::byte> data;
  std::shared_ptr<OfferTable> offers;
  size_t offer_index;
  uint64_t offer_generation;
  std::shared_ptr<Mailbox> source;
};
// To the source, once for each offer that was taken.
struct OfferDone {
  size_t offer_index;
  bool sent;
};
// To all: that transport stopped.
struct AddressGone {
  std::string address;
};

using Message = std::variant<ConnectCommand, DisconnectCommand, PullCommand, CancelCommand,
                             AnswerCommand, SendCommand, StopCommand, RequestFrame, CancelFrame,
                             AnswerFrame, DataFrame, OfferDone, AddressGone>;

// An unbounded queue from any thread to one data thread. What may wait in it is bounded by the
// open pulls and sends of its senders, which are.
class Mailbox {
 public:
  // False once closed; the message is then not delivered.
  bool Post(Message message) {
    {
      MutexLock lock(&mutex_);
      if (closed_) return false;
      messages_.push_back(std::move(message));
    }
    arrived_.notify_one();
    return true;
  }

  // Waits until there are messages, and swaps them with `batch`, which must be empty.
  void WaitAndTake(std::vector<Message>* batch) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    std::unique_lock<std::mutex> lock(mutex_.native());
    while (messages_.empty()) arrived_.wait(lock);
    messages_.swap(*batch);
  }

  // From now on nothing is accepted; what had been is swapped with `batch`.
  void Close(std::vector<Message>* batch) {
    MutexLock lock(&mutex_);
    closed_ = true;
    messages_.swap(*batch);
  }

 private:
  Mutex mutex_;
  std::condition_variable arrived_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<Message> messages_ ABSL_GUARDED_BY(mutex_);
};

// The mailboxes by address. Thread-safe.
class Exchange {
 public:
  // Returns the new address of `mailbox`.
  std::string Add(std::shared_ptr<Mailbox> mailbox) {
    MutexLock lock(&mutex_);
    std::string address = "loopback:" + std::to_string(++last_);
    mailboxes_.emplace(address, std::move(mailbox));
    return address;
  }

  // Null when nobody has that address.
  std::shared_ptr<Mailbox> Find(const std::string& address) {
    MutexLock lock(&mutex_);
    const auto found = mailboxes_.find(address);
    return found == mailboxes_.end() ? nullptr : found->second;
  }

  // Forgets the address, whose mailbox is closed, and tells all others.
  void Remove(const std::string& address) {
    MutexLock lock(&mutex_);
    mailboxes_.erase(address);
    for (const auto& [other, mailbox] : mailboxes_) mailbox->Post(AddressGone{address});
  }

 private:
  Mutex mutex_;
  uint64_t last_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<std::string, std::shared_ptr<Mailbox>> mailboxes_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace weightmesh::loopback_internal
