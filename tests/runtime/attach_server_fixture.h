// A real attach server on a thread of its own, and what it told its handler.
#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "daemon/runtime/attach_server.h"
#include "tests/runtime/temporary_folder.h"
#include "tests/runtime/test_trainer.h"

namespace weightmesh {

using attach::MessageType;
using attach::ReplyCode;

// Keeps what the server said, for the test's thread to wait for.
class RecordingHandler : public AttachHandler {
 public:
  void OnAttach(AttachId id, attach::AttachRequest request) override {
    Note("attach " + request.replica_name, id);
  }
  void OnBlob(AttachId id, std::string blob) override { Note("blob " + blob, id); }
  void OnBlobRequest(AttachId id) override { Note("blob request", id); }
  void OnLeave(AttachId id) override { Note("leave", id); }
  void OnClosed(AttachId id, absl::string_view reason) override {
    Note("closed: " + std::string(reason), id);
  }
  void OnRefused(absl::string_view reason) override {
    Note("refused: " + std::string(reason), AttachId{0});
  }

  // The next thing that happened, and to whom.
  std::string Next(AttachId* id = nullptr) {
    std::unique_lock<std::mutex> lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(20), [this] { return !noted_.empty(); })) {
      ADD_FAILURE() << "nothing happened";
      return "";
    }
    const auto [what, who] = noted_.front();
    noted_.pop_front();
    if (id != nullptr) *id = who;
    return what;
  }
  bool Empty() {
    std::unique_lock<std::mutex> lock(mutex_);
    return noted_.empty();
  }

 private:
  void Note(std::string what, AttachId id) {
    std::unique_lock<std::mutex> lock(mutex_);
    noted_.emplace_back(std::move(what), id);
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::pair<std::string, AttachId>> noted_;
};

class AttachServerTest : public testing::Test {
 protected:
  ~AttachServerTest() override {
    if (!loop_.joinable()) return;
    executor_->Stop();
    loop_.join();
    EXPECT_TRUE(handler_.Empty()) << handler_.Next();
  }

  void Start(AttachServerOptions options = {}) {
    options.socket_path = path_;
    server_ = std::make_unique<AttachServer>(options, executor_.get(), &handler_);
    const absl::Status started = server_->Start();
    ASSERT_TRUE(started.ok()) << started;
    loop_ = std::thread([this] { executor_->RunUntilStopped(); });
  }

  // Runs `task` on the loop's thread and waits for it.
  void OnLoop(std::function<void()> task) {
    std::promise<void> done;
    ASSERT_TRUE(executor_->Post([&] {
      task();
      done.set_value();
    }));
    done.get_future().wait();
  }

  static std::string Request(const std::string& name = "host/0") {
    attach::AttachRequest request;
    request.run_id = "run";
    request.replica_name = name;
    request.tensors = {{"w", attach::DataType::kFp32, {10}}};
    request.segment_bounds = {0, 10};
    return attach::Encode(request);
  }

  // Sends a good request and gives its id.
  AttachId Attach(TestTrainer* trainer) {
    EXPECT_TRUE(trainer->Send(MessageType::kAttachRequest, Request()));
    AttachId id{};
    EXPECT_EQ(handler_.Next(&id), "attach host/0");
    return id;
  }

  // Until the server has let go of all sockets.
  void AwaitNoConnections() {
    size_t open = 1;
    for (int i = 0; i < 100'000 && open > 0; ++i) OnLoop([&] { open = server_->connections(); });
    EXPECT_EQ(open, 0u);
  }

  TemporaryFolder folder_;
  const std::string path_ = folder_ / "attach.sock";
  RecordingHandler handler_;
  std::unique_ptr<Executor> executor_ = *Executor::Create();
  std::unique_ptr<AttachServer> server_;
  std::thread loop_;
};

}  // namespace weightmesh
