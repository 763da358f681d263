// Fuzz target: what the client library makes of the bytes of a daemon, through a real socket.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "client/src/attach_channel.h"
#include "daemon/core/check.h"
#include "daemon/mem/file_descriptor.h"

namespace weightmesh::fuzz {
namespace {

using client::AttachChannel;

// What a socket takes in at once, whatever the machine.
constexpr size_t kBytesMax = 64 * 1024;

// Listens in a folder of its own, which goes with the process.
class FakeDaemon {
 public:
  FakeDaemon() {
    char folder[] = "/tmp/weightmesh-fuzz-XXXXXX";
    WEIGHTMESH_CHECK(mkdtemp(folder) != nullptr, "no temporary folder");
    folder_ = folder;
    path_ = folder_ + "/attach.sock";
    listener_ = FileDescriptor(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.data(), path_.size());
    WEIGHTMESH_CHECK(
        bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
            listen(listener_.get(), 8) == 0,
        "the fake daemon cannot listen");
  }
  ~FakeDaemon() {
    unlink(path_.c_str());
    rmdir(folder_.c_str());
  }

  const std::string& path() const { return path_; }

  // Accepts the one that waits, says `bytes` to it and hangs up.
  void Say(const uint8_t* bytes, size_t size) {
    const FileDescriptor trainer(accept(listener_.get(), nullptr, nullptr));
    WEIGHTMESH_CHECK(trainer.valid(), "the client has not connected");
    WEIGHTMESH_CHECK(send(trainer.get(), bytes, size, MSG_NOSIGNAL) == static_cast<ssize_t>(size),
                     "the socket does not take it all");
  }

 private:
  std::string folder_;
  std::string path_;
  FileDescriptor listener_;
};

void Receive(const uint8_t* bytes, size_t size) {
  static FakeDaemon daemon;
  AttachChannel channel;
  WEIGHTMESH_CHECK(channel.Connect(daemon.path()).ok(), "the fake daemon does not listen");
  daemon.Say(bytes, size);
  const client::Clock::time_point deadline = client::Clock::now() + std::chrono::minutes(1);
  for (;;) {
    attach::MessageType type;
    std::string payload;
    const client::Status status = channel.Receive(deadline, &type, &payload);
    if (!status.ok()) {
      WEIGHTMESH_CHECK(!status.message.empty(), "a failure without a word");
      WEIGHTMESH_CHECK(status.code != WEIGHTMESH_START_TIMEOUT, "the client waits for the dead");
      return;
    }
    attach::AttachReply reply;
    if (type == attach::MessageType::kAttachReply && attach::Decode(payload, &reply)) {
      WEIGHTMESH_CHECK(attach::Encode(reply) == payload, "a reply reads otherwise than written");
    }
  }
}

}  // namespace
}  // namespace weightmesh::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  weightmesh::fuzz::Receive(
      data, size < weightmesh::fuzz::kBytesMax ? size : weightmesh::fuzz::kBytesMax);
  return 0;
}
