// The attach socket, spoken to over real sockets by trainers good and bad.
#include "daemon/runtime/attach_server.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <condition_variable>
#include <deque>
#include <future>
#include <thread>

#include "tests/runtime/temporary_folder.h"
#include "tests/runtime/test_trainer.h"

namespace weightmesh {
namespace {

using attach::MessageType;
using attach::ReplyCode;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// Keeps what the server said, for the test's thread to wait for.
class RecordingHandler : public AttachHandler {
 public:
  void OnAttach(AttachId id, attach::AttachRequest request) override {
    Note("attach " + request.replica_name, id);
  }
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

TEST_F(AttachServerTest, AttachesProgressesRepliesAndLeaves) {
  Start();
  TestTrainer trainer(path_);
  const AttachId id = Attach(&trainer);
  const FileDescriptor doorbell(::eventfd(0, EFD_CLOEXEC));
  const FileDescriptor other(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  attach::AttachReply reply;
  reply.arena_bytes = 4096;
  OnLoop([&] {
    server_->SendProgress(id, "waiting for 3 replicas");
    server_->SendReply(id, reply, {doorbell.get(), other.get(), doorbell.get()});
  });
  const auto progress = trainer.Receive();
  ASSERT_TRUE(progress.has_value());
  EXPECT_EQ(progress->type(), MessageType::kAttachProgress);
  EXPECT_EQ(progress->payload, "waiting for 3 replicas");
  EXPECT_TRUE(progress->descriptors.empty());

  const auto replied = trainer.Receive();
  ASSERT_TRUE(replied.has_value());
  attach::AttachReply received;
  ASSERT_TRUE(attach::Decode(replied->payload, &received));
  EXPECT_EQ(received.arena_bytes, 4096u);
  ASSERT_EQ(replied->descriptors.size(), 3u);
  // They are the same files, in the same order.
  const uint64_t three = 3;
  ASSERT_EQ(::write(replied->descriptors[0].get(), &three, sizeof three), ssize_t{sizeof three});
  uint64_t rung = 0;
  ASSERT_EQ(::read(doorbell.get(), &rung, sizeof rung), ssize_t{sizeof rung});
  EXPECT_EQ(rung, 3u);
  struct stat sent {};
  struct stat got {};
  ASSERT_EQ(::fstat(other.get(), &sent), 0);
  ASSERT_EQ(::fstat(replied->descriptors[1].get(), &got), 0);
  EXPECT_EQ(sent.st_rdev, got.st_rdev);

  ASSERT_TRUE(trainer.Send(MessageType::kLeave));
  AttachId left{};
  EXPECT_EQ(handler_.Next(&left), "leave");
  EXPECT_EQ(left, id);
  OnLoop([&] {
    server_->SendLeaveReply(id);
    server_->Close(id);
  });
  const auto leave = trainer.Receive();
  ASSERT_TRUE(leave.has_value());
  EXPECT_EQ(leave->type(), MessageType::kLeaveReply);
  EXPECT_FALSE(trainer.Receive().has_value());
  trainer.Close();
  AwaitNoConnections();
}

TEST_F(AttachServerTest, TakesARequestByteByByte) {
  Start();
  TestTrainer trainer(path_);
  for (const char byte : TestTrainer::Frame(MessageType::kAttachRequest, Request())) {
    ASSERT_TRUE(trainer.SendBytes(std::string(1, byte)));
    OnLoop([] {});  // the byte before is read alone
  }
  EXPECT_EQ(handler_.Next(), "attach host/0");
  for (const char byte : TestTrainer::Frame(MessageType::kLeave, "")) {
    ASSERT_TRUE(trainer.SendBytes(std::string(1, byte)));
    OnLoop([] {});
  }
  EXPECT_EQ(handler_.Next(), "leave");
  trainer.Close();
  EXPECT_THAT(handler_.Next(), StartsWith("closed"));
}

TEST_F(AttachServerTest, TakesALargeRequest) {
  Start();
  attach::AttachRequest request;
  request.replica_name = "large";
  for (int i = 0; i < 20'000; ++i) {
    request.tensors.push_back({"a tensor with a rather long name, number " + std::to_string(i),
                               attach::DataType::kFp32,
                               {1, 2, 3}});
  }
  TestTrainer trainer(path_);
  ASSERT_TRUE(trainer.Send(MessageType::kAttachRequest, attach::Encode(request)));
  EXPECT_EQ(handler_.Next(), "attach large");
  trainer.Close();
  EXPECT_THAT(handler_.Next(), StartsWith("closed"));
}

TEST_F(AttachServerTest, TellsOfATrainersDeathOnce) {
  Start();
  TestTrainer trainer(path_);
  const AttachId id = Attach(&trainer);
  trainer.Close();
  AttachId closed{};
  EXPECT_THAT(handler_.Next(&closed), HasSubstr("closed its attach socket"));
  EXPECT_EQ(closed, id);
  OnLoop([&] {
    server_->SendProgress(id, "nobody hears this");
    server_->Close(id);
  });
}

TEST_F(AttachServerTest, NamesBothVersionsAndTheCure) {
  Start();
  TestTrainer trainer(path_);
  ASSERT_TRUE(trainer.SendBytes(TestTrainer::Frame(MessageType::kAttachRequest, "whatever", 7)));
  const attach::AttachReply reply = trainer.ReceiveReply();
  EXPECT_EQ(reply.code, ReplyCode::kVersion);
  EXPECT_THAT(reply.message, AllOf(HasSubstr("version 1"), HasSubstr("version 7"),
                                   HasSubstr("libweightmesh of the daemon's release")));
  EXPECT_FALSE(trainer.Receive().has_value());
  EXPECT_THAT(handler_.Next(), HasSubstr("version 7"));
  // Still taking in what the other sends, until it closes.
  EXPECT_TRUE(trainer.SendBytes(std::string(1 << 20, 'x')));
  trainer.Close();
  AwaitNoConnections();
}

TEST_F(AttachServerTest, ClosesOnRubbish) {
  Start();
  TestTrainer trainer(path_);
  ASSERT_TRUE(trainer.SendBytes("GET / HTTP/1.1\r\n\r\n"));
  EXPECT_FALSE(trainer.Receive().has_value());
  EXPECT_THAT(handler_.Next(), HasSubstr("does not speak"));
}

TEST_F(AttachServerTest, RefusesWhatIsNotDue) {
  Start();
  TestTrainer early(path_);
  ASSERT_TRUE(early.Send(MessageType::kLeave));
  EXPECT_EQ(early.ReceiveReply().code, ReplyCode::kInvalid);
  EXPECT_THAT(handler_.Next(), HasSubstr("not due"));

  TestTrainer undecodable(path_);
  ASSERT_TRUE(undecodable.Send(MessageType::kAttachRequest, Request() + "more"));
  EXPECT_THAT(undecodable.ReceiveReply().message, HasSubstr("cannot be decoded"));
  EXPECT_THAT(handler_.Next(), HasSubstr("cannot be decoded"));

  // Once attached, its end is the handler's business.
  TestTrainer twice(path_);
  const AttachId id = Attach(&twice);
  ASSERT_TRUE(twice.Send(MessageType::kAttachRequest, Request()));
  EXPECT_EQ(twice.ReceiveReply().code, ReplyCode::kInvalid);
  AttachId closed{};
  EXPECT_THAT(handler_.Next(&closed), StartsWith("closed"));
  EXPECT_EQ(closed, id);
}

TEST_F(AttachServerTest, RefusesAnOversizedRequestByItsHeader) {
  Start();
  TestTrainer trainer(path_);
  const attach::MessageHeader header{attach::kMagic, attach::kVersion,
                                     static_cast<uint16_t>(MessageType::kAttachRequest),
                                     attach::kPayloadBytesMax + 1, 0};
  ASSERT_TRUE(
      trainer.SendBytes(std::string(reinterpret_cast<const char*>(&header), sizeof header)));
  const attach::AttachReply reply = trainer.ReceiveReply();
  EXPECT_EQ(reply.code, ReplyCode::kLimit);
  EXPECT_THAT(reply.message, HasSubstr(std::to_string(attach::kPayloadBytesMax)));
  EXPECT_THAT(handler_.Next(), StartsWith("refused"));
}

TEST_F(AttachServerTest, LimitsWhatItReceivesAtOnce) {
  AttachServerOptions options;
  const std::string request = TestTrainer::Frame(MessageType::kAttachRequest, Request());
  options.receiving_bytes_max = request.size();
  Start(options);
  TestTrainer slow(path_);
  ASSERT_TRUE(slow.SendBytes(request.substr(0, 20)));
  OnLoop([] {});
  TestTrainer second(path_);
  ASSERT_TRUE(second.SendBytes(request));
  const attach::AttachReply reply = second.ReceiveReply();
  EXPECT_EQ(reply.code, ReplyCode::kLimit);
  EXPECT_THAT(reply.message, HasSubstr("later"));
  EXPECT_THAT(handler_.Next(), StartsWith("refused"));
  // The first is served, and its bytes are free for the next.
  ASSERT_TRUE(slow.SendBytes(request.substr(20)));
  EXPECT_EQ(handler_.Next(), "attach host/0");
  TestTrainer third(path_);
  Attach(&third);
  slow.Close();
  third.Close();
  EXPECT_THAT(handler_.Next(), StartsWith("closed"));
  EXPECT_THAT(handler_.Next(), StartsWith("closed"));
}

TEST_F(AttachServerTest, LimitsItsConnections) {
  AttachServerOptions options;
  options.attach_sockets_max = 2;
  Start(options);
  TestTrainer first(path_);
  TestTrainer second(path_);
  Attach(&first);
  Attach(&second);
  TestTrainer third(path_);
  const attach::AttachReply reply = third.ReceiveReply();
  EXPECT_EQ(reply.code, ReplyCode::kLimit);
  EXPECT_THAT(reply.message, HasSubstr("2 attach sockets"));
  EXPECT_THAT(handler_.Next(), StartsWith("refused"));
  third.Close();
  first.Close();
  EXPECT_THAT(handler_.Next(), StartsWith("closed"));
  size_t open = 0;
  do OnLoop([&] { open = server_->connections(); });
  while (open > 1);
  TestTrainer fourth(path_);
  Attach(&fourth);
  fourth.Close();
  second.Close();
  EXPECT_THAT(handler_.Next(), StartsWith("closed"));
  EXPECT_THAT(handler_.Next(), StartsWith("closed"));
}

TEST_F(AttachServerTest, LimitsThoseItRefuses) {
  AttachServerOptions options;
  options.attach_sockets_max = 0;
  Start(options);
  std::vector<std::unique_ptr<TestTrainer>> refused;
  for (int i = 0; i < 16; ++i) {
    refused.push_back(std::make_unique<TestTrainer>(path_));
    EXPECT_EQ(refused.back()->ReceiveReply().code, ReplyCode::kLimit);
    EXPECT_THAT(handler_.Next(), HasSubstr("attach sockets"));
  }
  TestTrainer cut(path_);
  EXPECT_FALSE(cut.Receive().has_value());
  EXPECT_THAT(handler_.Next(), HasSubstr("being refused"));
}

TEST_F(AttachServerTest, ClosesTheSilentAndTheSlow) {
  AttachServerOptions options;
  options.hello_timeout = absl::Milliseconds(20);
  Start(options);
  TestTrainer silent(path_);
  EXPECT_FALSE(silent.Receive().has_value());
  EXPECT_THAT(handler_.Next(), HasSubstr("did not say"));
  TestTrainer half(path_);
  EXPECT_TRUE(
      half.SendBytes(TestTrainer::Frame(MessageType::kAttachRequest, Request()).substr(0, 30)));
  EXPECT_FALSE(half.Receive().has_value());
  EXPECT_THAT(handler_.Next(), HasSubstr("did not say"));
}

TEST_F(AttachServerTest, GivesTheAttachedAllTheTimeTheyNeed) {
  AttachServerOptions options;
  options.hello_timeout = absl::Milliseconds(20);
  Start(options);
  TestTrainer attached(path_);
  const AttachId id = Attach(&attached);
  TestTrainer silent(path_);  // its end shows that the deadline has passed
  EXPECT_FALSE(silent.Receive().has_value());
  EXPECT_THAT(handler_.Next(), HasSubstr("did not say"));
  OnLoop([&] { server_->SendProgress(id, "still here"); });
  const auto progress = attached.Receive();
  ASSERT_TRUE(progress.has_value());
  EXPECT_EQ(progress->payload, "still here");
  attached.Close();
  EXPECT_THAT(handler_.Next(), StartsWith("closed"));
}

TEST_F(AttachServerTest, CutsOffARefusedTrainerThatNeverCloses) {
  AttachServerOptions options;
  options.hello_timeout = absl::Milliseconds(20);
  Start(options);
  TestTrainer trainer(path_);
  const AttachId id = Attach(&trainer);
  OnLoop([&] { server_->Close(id); });
  EXPECT_FALSE(trainer.Receive().has_value());
  AwaitNoConnections();
}

TEST_F(AttachServerTest, ClosesATrainerThatDoesNotRead) {
  Start();
  TestTrainer trainer(path_);
  const AttachId id = Attach(&trainer);
  // More than the socket and the server's own buffer hold together.
  const std::string text(64 * 1024, 'p');
  OnLoop([&] {
    for (int i = 0; i < 64; ++i) server_->SendProgress(id, text);
  });
  AttachId closed{};
  EXPECT_THAT(handler_.Next(&closed), AllOf(StartsWith("closed"), HasSubstr("does not read")));
  EXPECT_EQ(closed, id);
}

TEST_F(AttachServerTest, SendsTheRestWhenATrainerReadsAgain) {
  Start();
  TestTrainer trainer(path_);
  const AttachId id = Attach(&trainer);
  const int small = 4096;
  ASSERT_EQ(::setsockopt(trainer.fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
  const std::string text(100 * 1024, 'p');
  const FileDescriptor null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  OnLoop([&] {
    for (int i = 0; i < 3; ++i) server_->SendProgress(id, text);
    server_->SendReply(id, attach::AttachReply(), {null.get(), null.get(), null.get()});
  });
  for (int i = 0; i < 3; ++i) {
    const auto progress = trainer.Receive();
    ASSERT_TRUE(progress.has_value());
    EXPECT_EQ(progress->payload, text);
    EXPECT_TRUE(progress->descriptors.empty());
  }
  const auto reply = trainer.Receive();
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->descriptors.size(), 3u);
  trainer.Close();
  EXPECT_THAT(handler_.Next(), StartsWith("closed"));
}

TEST_F(AttachServerTest, RefusalsCarryNoDescriptors) {
  Start();
  TestTrainer trainer(path_);
  const AttachId id = Attach(&trainer);
  attach::AttachReply refusal;
  refusal.code = ReplyCode::kMismatch;
  refusal.message = "seed is 1 here and 2 in the run";
  OnLoop([&] {
    server_->SendReply(id, refusal, {1, 2, 3});
    server_->Close(id);
  });
  const auto message = trainer.Receive();
  ASSERT_TRUE(message.has_value());
  EXPECT_TRUE(message->descriptors.empty());
  attach::AttachReply received;
  ASSERT_TRUE(attach::Decode(message->payload, &received));
  EXPECT_EQ(received.message, refusal.message);
  EXPECT_FALSE(trainer.Receive().has_value());
}

TEST_F(AttachServerTest, ServesWhoCameWhileDescriptorsHadRunOut) {
  Start();
  std::unique_ptr<TestTrainer> trainer;
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  // While the loop waits here, so that it finds the trainer and no descriptor for it.
  OnLoop([&] {
    trainer = std::make_unique<TestTrainer>(path_);
    const rlimit none{0, before.rlim_max};
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  });
  EXPECT_THAT(handler_.Next(), HasSubstr("open files"));
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  Attach(trainer.get());
  trainer->Close();
  EXPECT_THAT(handler_.Next(), StartsWith("closed"));
}

TEST_F(AttachServerTest, ManyTrainersComeAndGo) {
  Start();
  std::vector<std::thread> trainers;
  for (int i = 0; i < 8; ++i) {
    trainers.emplace_back([this] {
      for (int k = 0; k < 10; ++k) {
        TestTrainer trainer(path_);
        EXPECT_TRUE(trainer.Send(MessageType::kAttachRequest, Request()));
      }
    });
  }
  for (std::thread& trainer : trainers) trainer.join();
  std::set<AttachId> attached;
  std::set<AttachId> closed;
  for (int i = 0; i < 2 * 80; ++i) {
    AttachId id{};
    const std::string what = handler_.Next(&id);
    EXPECT_TRUE((what == "attach host/0" ? attached : closed).insert(id).second) << what;
  }
  EXPECT_EQ(attached.size(), 80u);
  EXPECT_EQ(closed, attached);
}

TEST_F(AttachServerTest, KeepsAnotherDaemonAway) {
  Start();
  RecordingHandler handler;
  auto executor = *Executor::Create();
  AttachServerOptions options;
  options.socket_path = path_;
  AttachServer second(options, executor.get(), &handler);
  EXPECT_EQ(second.Start().code(), absl::StatusCode::kAlreadyExists);
  TestTrainer trainer(path_);
  Attach(&trainer);
  trainer.Close();
  EXPECT_THAT(handler_.Next(), StartsWith("closed"));
}

}  // namespace
}  // namespace weightmesh
