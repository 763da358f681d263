// What reaches a service manager's socket.
#include "daemon/runtime/notify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>

#include "tests/config/temporary_folder.h"

namespace weightmesh {
namespace {

using ::testing::HasSubstr;

// A bound datagram socket; `name` as in NOTIFY_SOCKET.
FileDescriptor Listen(const std::string& name) {
  FileDescriptor socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, name.data(), name.size());
  if (name[0] == '@') address.sun_path[0] = '\0';
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
  EXPECT_EQ(bind(socket.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  return socket;
}

std::string Receive(const FileDescriptor& socket) {
  char bytes[1024];
  const ssize_t size = recv(socket.get(), bytes, sizeof(bytes), 0);
  return size < 0 ? "nothing" : std::string(bytes, static_cast<size_t>(size));
}

TEST(Notifier, TellsReadyStatusAndStopping) {
  TemporaryFolder folder;
  const std::string path = folder.path() + "/notify";
  const FileDescriptor socket = Listen(path);
  Notifier notifier(path);
  EXPECT_TRUE(notifier.Ready("127.0.0.1:4242").ok());
  EXPECT_EQ(Receive(socket), "READY=1\nWEIGHTMESH_LISTENING=127.0.0.1:4242\n");
  EXPECT_TRUE(notifier.Status("waiting\nREADY=1").ok());
  EXPECT_EQ(Receive(socket), "STATUS=waiting READY=1\n");
  EXPECT_TRUE(notifier.Stopping().ok());
  EXPECT_EQ(Receive(socket), "STOPPING=1\n");
}

TEST(Notifier, TakesAbstractNames) {
  TemporaryFolder folder;  // its name is unique
  const std::string name = "@" + folder.path();
  const FileDescriptor socket = Listen(name);
  EXPECT_TRUE(Notifier(name).Stopping().ok());
  EXPECT_EQ(Receive(socket), "STOPPING=1\n");
}

TEST(Notifier, WithoutASocketDoesNothing) { EXPECT_TRUE(Notifier("").Ready("a:1").ok()); }

TEST(Notifier, NamesASocketThatCannotBe) {
  TemporaryFolder folder;
  const absl::Status gone = Notifier(folder.path() + "/none").Stopping();
  EXPECT_EQ(gone.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(gone.message()), HasSubstr(folder.path() + "/none"));
  EXPECT_EQ(Notifier("relative").Stopping().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Notifier("/" + std::string(200, 'a')).Stopping().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(Notifier, NeverBlocksOnAReaderThatDoesNotRead) {
  TemporaryFolder folder;
  const std::string path = folder.path() + "/notify";
  const FileDescriptor socket = Listen(path);
  Notifier notifier(path);
  absl::Status status;
  for (int i = 0; i < 100000 && status.ok(); ++i) status = notifier.Status("busy");
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace weightmesh
