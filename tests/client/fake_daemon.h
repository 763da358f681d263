// FakeDaemon: speaks the daemon's side of attach and control page to one trainer of the test's own
// process, as a script says. Its thread starts in the constructor.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "client/src/unique_fd.h"
#include "proto/arena_layout.h"
#include "proto/attach.h"
#include "proto/control_page.h"

namespace weightmesh::client {

class FakeDaemon {
 public:
  // Each runs on the daemon's thread. Set them before the trainer attaches.
  std::function<void(const attach::AttachRequest&)> on_request;  // default: Accept
  std::function<void(const control_page::Command&)> on_command;  // after the daemon's own part
  std::function<void()> on_leave;                                // default: reply
  std::string gives_blob;                                        // to who joins
  // What the daemon does by itself at kPublish: puts the slot back to READABLE.
  std::atomic<bool> frees_slots{true};
  // At kCollect: freezes the round when on_collect (which may fill the table) returns true.
  std::function<bool(uint64_t round)> on_collect = [](uint64_t) { return true; };
  std::atomic<bool> takes_commands{true};
  std::atomic<bool> reads_request{true};
  attach::AttachReply reply;  // Accept fills in id and sizes, then lets `change_reply` alter it
  std::function<void(attach::AttachReply*, control_page::ControlPage*)> change_reply;
  int descriptors_sent = attach::kDescriptorCount;
  uint64_t publish_wait_us = 10'000'000;
  uint64_t collect_wait_us = 10'000'000;

  FakeDaemon();
  ~FakeDaemon();

  const std::string& socket_path() const { return socket_path_; }

  // On the daemon's thread:
  void Accept();  // makes the arena and sends a good reply
  void Send(attach::MessageType type, const std::string& payload,
            uint16_t version = attach::kVersion);
  void SendRaw(const std::string& bytes);
  void HangUp();
  // Puts a sealed segment of `flat` (the whole model of the source) into the inbox and the table.
  void Deliver(uint32_t segment, uint32_t buffer, uint64_t round, uint64_t source,
               const std::vector<float>& flat);
  void SetOutcome(uint32_t segment, uint32_t outcome);
  void Freeze(uint64_t round);

  // From any thread:
  void RingTrainer();
  void RingDaemon();  // as the trainer would
  control_page::ControlPage& page() { return *page_; }
  control_page::CollectedSegment& collected(uint32_t segment);
  control_page::MixedSegment mixed(uint32_t segment);
  std::byte* inbox(uint32_t buffer) { return base_ + layout_.InboxOffset(buffer); }
  std::byte* slot(uint32_t slot) { return base_ + layout_.SlotOffset(slot); }
  const ArenaLayout& layout() const { return layout_; }
  const attach::AttachRequest& request() const { return request_; }
  // The blob that the trainer has given last, once it is `bytes` long; waits for that at most 10 s.
  std::string WaitForBlob(size_t bytes);
  // True once the newest connection has ended; waits for that at most 10 s.
  bool WaitForHangUp();
  std::vector<control_page::Command> Commands();

 private:
  void ThreadMain();
  void Serve();
  bool ReadMessage(attach::MessageType* type, std::string* payload);
  void TakeCommands();
  void Take(const control_page::Command& command);

  std::string folder_;
  std::string socket_path_;
  UniqueFd listener_;
  UniqueFd stop_;
  UniqueFd connection_;
  UniqueFd arena_;
  UniqueFd daemon_doorbell_;
  UniqueFd trainer_doorbell_;
  attach::AttachRequest request_;
  ArenaLayout layout_;
  std::byte* base_ = nullptr;
  control_page::ControlPage* page_ = nullptr;
  uint64_t taken_ = 0;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool hung_up_ = false;                         // guarded by mutex_
  std::string blob_;                             // guarded by mutex_
  std::vector<control_page::Command> commands_;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace weightmesh::client
