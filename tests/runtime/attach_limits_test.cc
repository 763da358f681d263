// The limits of the attach socket: sizes, numbers and times.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/runtime/attach_server_fixture.h"

namespace weightmesh {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

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

}  // namespace
}  // namespace weightmesh
