// The socket, the arena and the thread of FakeDaemon.
#include "tests/client/fake_daemon.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "client/src/kernels.h"
#include "proto/segment_seal.h"

namespace weightmesh::client {
namespace {

using attach::MessageType;
using control_page::Command;
using control_page::CommandKind;
using control_page::ControlPage;
using control_page::SlotState;
using control_page::SlotWord;

void Require(bool good, const char* what) {
  if (good) return;
  std::perror(what);
  std::abort();
}

}  // namespace

FakeDaemon::FakeDaemon() {
  char folder[] = "/tmp/weightmesh-test-XXXXXX";
  Require(mkdtemp(folder) != nullptr, "mkdtemp");
  folder_ = folder;
  socket_path_ = folder_ + "/attach.sock";
  listener_ = UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  stop_ = UniqueFd(eventfd(0, EFD_CLOEXEC));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, socket_path_.c_str());
  Require(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0,
          "bind");
  Require(listen(listener_.get(), 8) == 0, "listen");
  thread_ = std::thread([this] { ThreadMain(); });
}

FakeDaemon::~FakeDaemon() {
  const uint64_t one = 1;
  Require(write(stop_.get(), &one, sizeof one) == sizeof one, "stop");
  thread_.join();
  if (base_ != nullptr) munmap(base_, layout_.arena_bytes);
  unlink(socket_path_.c_str());
  rmdir(folder_.c_str());
}

void FakeDaemon::ThreadMain() {
  pollfd watched[2] = {{listener_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
  while (poll(watched, 2, -1) >= 0 && watched[1].revents == 0) {
    connection_ = UniqueFd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      hung_up_ = false;
    }
    Serve();
    connection_ = UniqueFd();
    const std::lock_guard<std::mutex> lock(mutex_);
    hung_up_ = true;
    changed_.notify_all();
  }
}

void FakeDaemon::Serve() {
  MessageType type = MessageType::kAttachRequest;
  std::string payload;
  if (reads_request) {
    if (!ReadMessage(&type, &payload)) return;
    Require(type == MessageType::kAttachRequest && attach::Decode(payload, &request_), "request");
  }
  if (on_request) {
    on_request(request_);
  } else {
    Accept();
  }
  while (connection_.valid()) {
    pollfd watched[3] = {{connection_.get(), POLLIN, 0},
                         {stop_.get(), POLLIN, 0},
                         {daemon_doorbell_.get(), POLLIN, 0}};
    Require(poll(watched, 3, -1) > 0, "poll");
    if (watched[1].revents != 0) return;
    if (watched[2].revents != 0) {
      uint64_t rings;
      Require(read(daemon_doorbell_.get(), &rings, sizeof rings) > 0, "doorbell");
      TakeCommands();
    }
    if (watched[0].revents != 0 && connection_.valid()) {
      if (!ReadMessage(&type, &payload)) return;
      if (type == MessageType::kLeave && on_leave) {
        on_leave();
      } else if (type == MessageType::kBlob) {
        const std::lock_guard<std::mutex> lock(mutex_);
        blob_ = payload;
        changed_.notify_all();
      } else if (type == MessageType::kBlobRequest) {
        Send(MessageType::kBlobReply, gives_blob);
      } else if (type == MessageType::kLeave) {
        TakeCommands();
        Send(MessageType::kLeaveReply, "");
      }
    }
  }
}

bool FakeDaemon::ReadMessage(MessageType* type, std::string* payload) {
  attach::MessageHeader header;
  if (recv(connection_.get(), &header, sizeof header, MSG_WAITALL) != sizeof header) return false;
  payload->resize(header.payload_bytes);
  *type = static_cast<MessageType>(header.type);
  if (payload->empty()) return true;  // recv of nothing would wait for something
  return recv(connection_.get(), payload->data(), payload->size(), MSG_WAITALL) ==
         static_cast<ssize_t>(payload->size());
}

void FakeDaemon::Accept() {
  if (base_ != nullptr) munmap(base_, layout_.arena_bytes);
  taken_ = 0;
  const uint64_t segments = request_.segment_bounds.size() - 1;
  layout_ = MakeArenaLayout(request_.segment_bounds, request_.wire, request_.slots,
                            control_page::ControlPageBytes(segments));
  arena_ = UniqueFd(memfd_create("arena", MFD_CLOEXEC));
  Require(ftruncate(arena_.get(), static_cast<off_t>(layout_.arena_bytes)) == 0, "ftruncate");
  base_ = static_cast<std::byte*>(
      mmap(nullptr, layout_.arena_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, arena_.get(), 0));
  Require(base_ != MAP_FAILED, "mmap");
  page_ = new (base_) ControlPage;
  page_->magic = control_page::kMagic;
  page_->version = control_page::kVersion;
  page_->segments = static_cast<uint32_t>(segments);
  page_->slots = request_.slots;
  page_->page_bytes = control_page::ControlPageBytes(segments);
  page_->next_round = request_.start_round + 1;
  page_->publish_wait_us = publish_wait_us;
  page_->collect_wait_us = collect_wait_us;
  page_->view_replicas = 3;
  for (uint32_t k = 0; k < request_.slots; ++k) {
    page_->slot_words[k] = SlotWord(0, SlotState::kReadable);
  }
  daemon_doorbell_ = UniqueFd(eventfd(0, EFD_CLOEXEC));
  trainer_doorbell_ = UniqueFd(eventfd(0, EFD_CLOEXEC));
  reply.replica_high = 100;
  reply.replica_low = 200;
  reply.control_bytes = page_->page_bytes;
  reply.arena_bytes = layout_.arena_bytes;
  if (change_reply) change_reply(&reply, page_);

  const std::string payload = attach::Encode(reply);
  attach::MessageHeader header = {attach::kMagic, attach::kVersion,
                                  static_cast<uint16_t>(MessageType::kAttachReply),
                                  static_cast<uint32_t>(payload.size()), 0};
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
  bytes += payload;
  const int descriptors[] = {arena_.get(), daemon_doorbell_.get(), trainer_doorbell_.get()};
  alignas(cmsghdr) char ancillary[CMSG_SPACE(sizeof descriptors)] = {};
  iovec part = {bytes.data(), bytes.size()};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (descriptors_sent > 0) {
    const size_t sent = sizeof(int) * static_cast<size_t>(descriptors_sent);
    message.msg_control = ancillary;
    message.msg_controllen = CMSG_SPACE(sent);
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sent);
    std::memcpy(CMSG_DATA(rights), descriptors, sent);
  }
  Require(sendmsg(connection_.get(), &message, MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()),
          "sendmsg");
}

void FakeDaemon::Send(MessageType type, const std::string& payload, uint16_t version) {
  attach::MessageHeader header = {attach::kMagic, version, static_cast<uint16_t>(type),
                                  static_cast<uint32_t>(payload.size()), 0};
  SendRaw(std::string(reinterpret_cast<const char*>(&header), sizeof header) + payload);
}

void FakeDaemon::SendRaw(const std::string& bytes) {
  send(connection_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
}

void FakeDaemon::HangUp() { connection_ = UniqueFd(); }

void FakeDaemon::RingTrainer() {
  const uint64_t one = 1;
  Require(write(trainer_doorbell_.get(), &one, sizeof one) == sizeof one, "ring");
}

void FakeDaemon::RingDaemon() {
  const uint64_t one = 1;
  Require(write(daemon_doorbell_.get(), &one, sizeof one) == sizeof one, "ring");
}

control_page::CollectedSegment& FakeDaemon::collected(uint32_t segment) {
  return reinterpret_cast<control_page::CollectedSegment*>(
      base_ + control_page::CollectedOffset())[segment];
}

control_page::MixedSegment FakeDaemon::mixed(uint32_t segment) {
  return reinterpret_cast<control_page::MixedSegment*>(
      base_ + control_page::MixedOffset(layout_.segments.size()))[segment];
}

void FakeDaemon::Deliver(uint32_t segment, uint32_t buffer, uint64_t round, uint64_t source,
                         const std::vector<float>& flat) {
  const SegmentPlace& place = layout_.segments[segment];
  const SealKey key = {source, source + 1, round, segment};
  std::byte* const data = inbox(buffer) + place.offset;
  uint64_t* const seal = reinterpret_cast<uint64_t*>(inbox(buffer) + place.seal_offset);
  const bool finite =
      EncodeWeights(request_.wire, flat.data() + place.first_parameter, place.parameters, data);
  for (uint64_t block = 0; block < place.blocks; ++block) {
    const uint64_t bytes = std::min(kBlockBytes, place.data_bytes - block * kBlockBytes);
    seal[1 + block] = BlockChecksum(key, block, data + block * kBlockBytes, bytes);
  }
  seal[0] = MakeSealWord(key, finite ? 0 : kSealNonFinite);
  collected(segment) = {1, 0, buffer, 0, round, source, source + 1};
}

void FakeDaemon::SetOutcome(uint32_t segment, uint32_t outcome) {
  collected(segment) = {0, outcome, 0, 0, 0, 0, 0};
}

void FakeDaemon::Freeze(uint64_t round) {
  page_->collected_round.store(round, std::memory_order_release);
  RingTrainer();
}

void FakeDaemon::TakeCommands() {
  while (takes_commands && taken_ < page_->commands_posted.load(std::memory_order_acquire)) {
    const Command command = page_->commands[taken_ % control_page::kCommandsMax];
    page_->commands_taken.store(++taken_, std::memory_order_release);
    Take(command);
  }
}

void FakeDaemon::Take(const Command& command) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    commands_.push_back(command);
  }
  switch (static_cast<CommandKind>(command.kind)) {
    case CommandKind::kPublish:
      page_->next_round = command.round + 1;
      if (frees_slots) {
        uint64_t held = SlotWord(command.round, SlotState::kHeld);
        page_->slot_words[command.slot].compare_exchange_strong(
            held, SlotWord(command.round, SlotState::kReadable));
      }
      break;
    case CommandKind::kSkip:
      page_->next_round = command.round + 1;
      break;
    case CommandKind::kCollect:
      if (on_collect(command.round)) Freeze(command.round);
      break;
    case CommandKind::kMixed:
    case CommandKind::kCaughtUp:
    case CommandKind::kAgree:
      break;
  }
  if (on_command) on_command(command);
}

std::string FakeDaemon::WaitForBlob(size_t bytes) {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait_for(lock, std::chrono::seconds(10), [&] { return blob_.size() == bytes; });
  return blob_;
}

bool FakeDaemon::WaitForHangUp() {
  std::unique_lock<std::mutex> lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(10), [this] { return hung_up_; });
}

std::vector<Command> FakeDaemon::Commands() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return commands_;
}

}  // namespace weightmesh::client
