// The attach socket, spoken to over real sockets by trainers good and bad.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/runtime/attach_server_fixture.h"

namespace weightmesh {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

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
  EXPECT_THAT(reply.message, AllOf(HasSubstr("version 3"), HasSubstr("version 7"),
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

TEST_F(AttachServerTest, TakesAndBringsBlobs) {
  Start();
  TestTrainer trainer(path_);
  const AttachId id = Attach(&trainer);
  ASSERT_TRUE(trainer.Send(MessageType::kBlob, "step 7"));
  ASSERT_TRUE(trainer.Send(MessageType::kBlob, std::string(attach::kBlobBytesMax, 'x')));
  ASSERT_TRUE(trainer.Send(MessageType::kBlob, ""));
  ASSERT_TRUE(trainer.Send(MessageType::kBlobRequest));
  AttachId who{};
  EXPECT_EQ(handler_.Next(&who), "blob step 7");
  EXPECT_EQ(who, id);
  EXPECT_EQ(handler_.Next().size(), 5 + attach::kBlobBytesMax);
  EXPECT_EQ(handler_.Next(), "blob ");
  EXPECT_EQ(handler_.Next(), "blob request");
  OnLoop([&] { server_->SendBlob(id, std::string("\0any", 4)); });
  const auto answer = trainer.Receive();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->type(), MessageType::kBlobReply);
  EXPECT_EQ(answer->payload, std::string("\0any", 4));
  ASSERT_TRUE(trainer.Send(MessageType::kBlob, std::string(attach::kBlobBytesMax + 1, 'x')));
  EXPECT_THAT(trainer.ReceiveReply().message, HasSubstr("message 6 of 65537 bytes is not due"));
  EXPECT_THAT(handler_.Next(), HasSubstr("closed"));
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
