// How the launcher learns the port that a daemon took.
#include "deploy/demo/ready_socket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>

#include "tests/config/temporary_folder.h"

namespace weightmesh::demo {
namespace {

using ::testing::HasSubstr;
using ::testing::Optional;

void Send(const std::string& path, const std::string& text) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  const FileDescriptor socket(::socket(AF_UNIX, SOCK_DGRAM, 0));
  EXPECT_EQ(sendto(socket.get(), text.data(), text.size(), 0, reinterpret_cast<sockaddr*>(&address),
                   sizeof(address)),
            static_cast<ssize_t>(text.size()));
}

TEST(ReadyAddress, NeedsBothLines) {
  EXPECT_THAT(ReadyAddress("READY=1\nWEIGHTMESH_LISTENING=127.0.0.1:42\n"),
              Optional(std::string("127.0.0.1:42")));
  EXPECT_EQ(ReadyAddress("READY=1\n"), std::nullopt);
  EXPECT_EQ(ReadyAddress("WEIGHTMESH_LISTENING=127.0.0.1:42\n"), std::nullopt);
  EXPECT_EQ(ReadyAddress("STATUS=READY=1"), std::nullopt);
}

TEST(ReadySocket, SkipsWhatComesBeforeReady) {
  TemporaryFolder folder;
  const std::string path = folder.path() + "/notify";
  const auto socket = ReadySocket::Listen(path);
  ASSERT_TRUE(socket.ok()) << socket.status();
  EXPECT_EQ((*socket)->Poll(), std::nullopt);
  Send(path, "STATUS=starting\n");
  EXPECT_EQ((*socket)->Poll(), std::nullopt);
  Send(path, "STATUS=soon\n");
  Send(path, "READY=1\nWEIGHTMESH_LISTENING=[::1]:9\n");
  EXPECT_THAT((*socket)->Poll(), Optional(std::string("[::1]:9")));
}

TEST(ReadySocket, NamesAPathThatIsTooLong) {
  const std::string path = "/tmp/" + std::string(120, 'a');
  const auto socket = ReadySocket::Listen(path);
  EXPECT_EQ(socket.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(socket.status().message()), HasSubstr("--work-dir"));
}

}  // namespace
}  // namespace weightmesh::demo
