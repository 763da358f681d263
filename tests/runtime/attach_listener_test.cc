// The socket path: taken over from the dead, never from the living.
#include "daemon/runtime/attach_listener.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <fstream>

#include "tests/runtime/temporary_folder.h"

namespace weightmesh {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// A bound socket as another program makes it; it listens if `listening`.
FileDescriptor ForeignSocket(const std::string& path, bool listening) {
  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, path.c_str());
  EXPECT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  if (listening) {
    EXPECT_EQ(::listen(socket.get(), 0), 0);
  }
  return socket;
}

bool Exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

TEST(AttachListenerTest, CreatesFolderAndSocketForItsUserAlone) {
  TemporaryFolder folder;
  const std::string path = folder / "a/b/attach.sock";
  {
    const auto listener = AttachListener::Listen(path);
    ASSERT_TRUE(listener.ok()) << listener.status();
    struct stat found {};
    ASSERT_EQ(::lstat(path.c_str(), &found), 0);
    EXPECT_TRUE(S_ISSOCK(found.st_mode));
    EXPECT_EQ(found.st_mode & 0777, 0600u);
    EXPECT_EQ((*listener)->Accept().status().code(), absl::StatusCode::kUnavailable);
  }
  EXPECT_FALSE(Exists(path));
}

TEST(AttachListenerTest, TakesOverWhatADeadDaemonLeft) {
  TemporaryFolder folder;
  const std::string path = folder / "attach.sock";
  ForeignSocket(path, true).Reset();
  ASSERT_TRUE(Exists(path));
  const auto listener = AttachListener::Listen(path);
  EXPECT_TRUE(listener.ok()) << listener.status();
}

TEST(AttachListenerTest, LeavesALiveDaemonAlone) {
  TemporaryFolder folder;
  const std::string path = folder / "attach.sock";
  const auto first = AttachListener::Listen(path);
  ASSERT_TRUE(first.ok()) << first.status();
  const absl::Status second = AttachListener::Listen(path).status();
  EXPECT_EQ(second.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(second.message()), AllOf(HasSubstr(path), HasSubstr("stop it")));
  EXPECT_TRUE(Exists(path));
}

TEST(AttachListenerTest, LeavesAnyOtherListenerAlone) {
  TemporaryFolder folder;
  const std::string path = folder / "attach.sock";
  const FileDescriptor foreign = ForeignSocket(path, true);
  EXPECT_EQ(AttachListener::Listen(path).status().code(), absl::StatusCode::kAlreadyExists);
  // Its line of waiting connections is full now, and still it lives.
  EXPECT_EQ(AttachListener::Listen(path).status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(AttachListener::Listen(path).status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(Exists(path));
}

TEST(AttachListenerTest, LeavesAFileAlone) {
  TemporaryFolder folder;
  const std::string path = folder / "attach.sock";
  std::ofstream(path) << "precious";
  const absl::Status status = AttachListener::Listen(path).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("no socket"));
  EXPECT_TRUE(Exists(path));
}

TEST(AttachListenerTest, DoesNotRemoveASuccessor) {
  TemporaryFolder folder;
  const std::string path = folder / "attach.sock";
  auto listener = AttachListener::Listen(path);
  ASSERT_TRUE(listener.ok()) << listener.status();
  ASSERT_EQ(::rename(path.c_str(), (folder / "kept").c_str()), 0);
  const FileDescriptor successor = ForeignSocket(path, true);
  listener->reset();
  EXPECT_TRUE(Exists(path));
}

TEST(AttachListenerTest, ChecksThePathsLength) {
  TemporaryFolder folder;
  EXPECT_EQ(AttachListener::Listen("").status().code(), absl::StatusCode::kInvalidArgument);
  std::string path = folder / "";
  path.append(AttachListener::kPathBytesMax - path.size(), 's');
  EXPECT_TRUE(AttachListener::Listen(path).ok());
  const absl::Status status = AttachListener::Listen(path + "s").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("107"));
}

TEST(AttachListenerTest, NamesAFolderThatCannotBe) {
  TemporaryFolder folder;
  std::ofstream(folder / "file") << "x";
  const absl::Status status = AttachListener::Listen(folder / "file/attach.sock").status();
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr("attach_socket"));
}

}  // namespace
}  // namespace weightmesh
