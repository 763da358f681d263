// Bytes from one socket to another.
#include "tests/control/stalling_proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

#include "daemon/core/check.h"

namespace weightmesh::testing {
namespace {

sockaddr_in Loopback(int port) {
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  name.sin_port = htons(static_cast<uint16_t>(port));
  return name;
}

FileDescriptor NewSocket() {
  return FileDescriptor(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

}  // namespace

StallingProxy::StallingProxy(const std::string& target)
    : target_port_(std::atoi(target.substr(target.rfind(':') + 1).c_str())),
      listener_(NewSocket()),
      wake_(eventfd(0, EFD_CLOEXEC)) {
  sockaddr_in name = Loopback(0);
  socklen_t size = sizeof name;
  WEIGHTMESH_CHECK(bind(listener_.get(), reinterpret_cast<sockaddr*>(&name), sizeof name) == 0 &&
                       listen(listener_.get(), 16) == 0 &&
                       getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&name), &size) == 0,
                   "the proxy cannot listen");
  address_ = "127.0.0.1:" + std::to_string(ntohs(name.sin_port));
  thread_ = std::thread([this] { Run(); });
}

StallingProxy::~StallingProxy() {
  ended_ = true;
  const uint64_t one = 1;
  WEIGHTMESH_CHECK(write(wake_.get(), &one, sizeof one) == sizeof one, "the proxy cannot be woken");
  thread_.join();
}

void StallingProxy::Accept() {
  FileDescriptor near(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  FileDescriptor far = NewSocket();
  const sockaddr_in name = Loopback(target_port_);
  if (!near.valid() ||
      connect(far.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0) {
    return;
  }
  ends_.push_back(std::move(near));
  ends_.push_back(std::move(far));
}

void StallingProxy::Run() {
  while (!ended_) {
    std::vector<pollfd> polled = {{wake_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
    for (const FileDescriptor& end : ends_) polled.push_back({end.get(), POLLIN, 0});
    poll(polled.data(), polled.size(), -1);
    if (stalled_) {  // what has come stays where it is
      poll(polled.data(), 1, -1);
      return;
    }
    for (size_t k = 0; k < ends_.size() && k + 2 < polled.size(); ++k) {
      if (polled[k + 2].revents == 0) continue;
      char bytes[4096];
      const ssize_t got = read(ends_[k].get(), bytes, sizeof bytes);
      const int other = ends_[k ^ 1].get();
      if (got <= 0) shutdown(other, SHUT_WR);
      if (got <= 0 || write(other, bytes, static_cast<size_t>(got)) != got) return;
    }
    if ((polled[1].revents & POLLIN) != 0) Accept();
  }
}

}  // namespace weightmesh::testing
