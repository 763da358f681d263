// What UCX's TCP transport is given of its sockets on a guarded thread, and others on theirs.
#include "daemon/transport/ucx/tcp_guard.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace weightmesh {
namespace {

constexpr size_t kSegment = 1000;
constexpr size_t kHeader = 5;

class TcpGuardTest : public testing::Test {
 protected:
  TcpGuardTest() {
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets_), 0);
    EXPECT_EQ(write(sockets_[1], "headbody two", 12), 12);
  }
  ~TcpGuardTest() override {
    close(sockets_[0]);
    close(sockets_[1]);
  }

  // What a read into `room` bytes brings.
  std::string Read(size_t room, int flags = 0) {
    std::vector<char> buffer(room);
    const ssize_t size = recv(sockets_[0], buffer.data(), room, flags | MSG_DONTWAIT);
    return size < 0 ? "error" : std::string(buffer.data(), static_cast<size_t>(size));
  }

  // Each thread has a guard of its own.
  static void OnGuardedThread(const std::function<void()>& body) {
    std::thread([&body] {
      GuardTcp(kSegment);
      body();
    }).join();
  }

  int sockets_[2];
};

TEST_F(TcpGuardTest, AReadEndsWithTheHeaderOfAMessage) {
  OnGuardedThread([this] {
    EXPECT_EQ(Read(kSegment + kHeader, MSG_PEEK), "headb") << "nothing is there yet";
    EXPECT_EQ(Read(2), "he") << "the rest of a message";
    EXPECT_EQ(Read(kSegment + kHeader - 2), "adb") << "two bytes of a header are there";
    EXPECT_EQ(Read(kSegment + kHeader - 4), "o") << "four are";
    EXPECT_EQ(Read(kSegment), "dy two") << "as much as a message may have beyond its header";
    EXPECT_EQ(write(sockets_[1], "large", 5), 5);
    EXPECT_EQ(Read(kSegment + kHeader + 1), "large") << "not what UCX asks for a message";
  });
}

TEST_F(TcpGuardTest, OtherThreadsReadAsEver) {
  OnGuardedThread([] {});
  EXPECT_EQ(Read(kSegment + kHeader), "headbody two");
}

TEST_F(TcpGuardTest, ASocketIsReadyForOneDirectionAtATime) {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  epoll_event wanted{};
  wanted.events = EPOLLIN | EPOLLOUT;
  ASSERT_EQ(epoll_ctl(epoll, EPOLL_CTL_ADD, sockets_[0], &wanted), 0);
  const auto wait = [epoll] {
    epoll_event ready{};
    EXPECT_EQ(epoll_wait(epoll, &ready, 1, 1000), 1);
    return ready.events;
  };
  EXPECT_EQ(wait(), EPOLLIN | EPOLLOUT) << "not guarded";
  OnGuardedThread([&] {
    const uint32_t first = wait();
    const uint32_t second = wait();
    EXPECT_NE(first, second);
    EXPECT_EQ(first | second, EPOLLIN | EPOLLOUT);
    EXPECT_EQ(wait(), first);
    EXPECT_EQ(Read(100), "headbody two");
    EXPECT_EQ(wait(), static_cast<uint32_t>(EPOLLOUT));
    EXPECT_EQ(wait(), static_cast<uint32_t>(EPOLLOUT)) << "there is no turn of the other";
  });
  close(epoll);
}

}  // namespace
}  // namespace weightmesh
