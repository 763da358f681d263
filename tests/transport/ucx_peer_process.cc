// A source in a process of its own, for tests that stop or kill it.
//
// It prints its transport address in hexadecimal, then obeys one line at a time on standard input:
// "connect NODE_HIGH NODE_LOW SEND_TOKEN RECEIVE_TOKEN ADDRESS". A request for segment 0 is
// answered WAITING; one for segment s > 0 by s KiB of data. It ends with its standard input.
// A number as argument is a signal that it gives itself once its first send has ended, in the midst
// of the others.
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "daemon/core/mutex.h"
#include "daemon/transport/ucx/ucx_transport.h"

namespace weightmesh {
namespace {

constexpr size_t kSegmentBytesMax = size_t{32} << 20;

class AnsweringSink : public TransportSink {
 public:
  explicit AnsweringSink(int signal_at_first_send) : signal_(signal_at_first_send) {}

  void OnPullRequest(const PullRequest& request) override {
    MutexLock lock(&mutex_);
    requests_.push_back(request);
    arrived_.notify_one();
  }
  void OnPullCancel(NodeId, RequestId) override {}
  void OnPullAnswer(const PullAnswer&) override {}
  void OnPullEnded(RequestId, PullEnd) override {}
  void OnSendEnded(SendId, bool) override {
    if (signal_ != 0) kill(getpid(), std::exchange(signal_, 0));
  }
  void OnLinkDown(NodeId, absl::string_view) override {}
  void OnFrameRefused(NodeId, FrameRefusal) override {}

  PullRequest Next() {
    std::unique_lock<std::mutex> lock(mutex_.native());
    arrived_.wait(lock, [this] { return !requests_.empty(); });
    const PullRequest request = requests_.front();
    requests_.erase(requests_.begin());
    return request;
  }

 private:
  int signal_;
  Mutex mutex_;
  std::condition_variable arrived_;
  std::vector<PullRequest> requests_;
};

int Run(int signal_at_first_send) {
  auto transport = NewUcxTransport({.network_devices = {}, .control_ip = "127.0.0.1"});
  if (!transport.ok()) {
    std::cerr << transport.status() << "\n";
    return 1;
  }
  AnsweringSink sink(signal_at_first_send);
  std::vector<std::byte> memory(kSegmentBytesMax, std::byte{0x77});
  if (!(*transport)->Start(&sink).ok() ||
      !(*transport)->Register(absl::MakeSpan(memory), MemoryKind::kHost).ok()) {
    return 1;
  }
  std::cout << absl::BytesToHexString((*transport)->address()) << std::endl;

  Mutex transport_mutex;  // the transport takes one caller at a time
  std::thread answers([&] {
    for (uint64_t send_id = 1;; ++send_id) {
      const PullRequest request = sink.Next();
      if (request.peer.IsZero()) return;
      PullAnswer answer{request.peer,    request.request_id, request.run_key, {},
                        request.segment, request.round,      request.round};
      MutexLock lock(&transport_mutex);
      if (Value(request.segment) == 0) {
        answer.verdict = wire::Verdict::kWaiting;
        (*transport)->Answer(answer);
      } else {
        answer.verdict = wire::Verdict::kData;
        const size_t bytes = std::min(size_t{Value(request.segment)} << 10, kSegmentBytesMax);
        (*transport)->Send(answer, absl::MakeConstSpan(memory).first(bytes), SendId{send_id});
      }
    }
  });
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    std::string verb, address;
    PeerLink link;
    words >> verb >> link.node.high >> link.node.low >> link.send_token >> link.receive_token >>
        address;
    link.address = absl::HexStringToBytes(address);
    MutexLock lock(&transport_mutex);
    (*transport)->Connect(link);
    std::cout << "connected" << std::endl;
  }
  sink.OnPullRequest({});  // of nobody: ends the answers
  answers.join();
  (*transport)->Stop();
  return 0;
}

}  // namespace
}  // namespace weightmesh

int main(int argc, char** argv) { return weightmesh::Run(argc > 1 ? std::atoi(argv[1]) : 0); }
