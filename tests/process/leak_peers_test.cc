// Nothing leaks: hundreds of daemons that come, link and go leave a daemon with the descriptors,
// threads, mappings and memory that it had.
//
// The peers are this process: they speak PeerService and UCX as a daemon does, and go without a
// word.
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "daemon/control/peer_client.h"
#include "daemon/core/membership.h"
#include "daemon/transport/ucx/ucx_transport.h"
#include "tests/control/await.h"
#include "tests/process/footprint.h"
#include "tests/process/mesh.h"
#include "weightmesh/weightmesh.hpp"

namespace weightmesh {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(60);
constexpr absl::Duration kCallLimit = absl::Seconds(20);

// gRPC's pool of threads breathes (18 to 22 were seen), and each thread has its stack and its arena
// of the allocator: far below one for each peer.
constexpr GrowthLimit kGrowth = {
    .descriptors = 2, .threads = 12, .mappings = 64, .resident_kb = 8192};

int CountFrom(const char* variable, int by_default) {
  const char* const text = std::getenv(variable);
  return text == nullptr ? by_default : std::atoi(text);
}

// Hears how one pull ended.
class OnePullSink final : public TransportSink {
 public:
  void OnPullRequest(const PullRequest&) override {}
  void OnPullCancel(NodeId, RequestId) override {}
  void OnPullAnswer(const PullAnswer& answer) override {
    dead_ = answer.verdict == wire::Verdict::kDead;
  }
  void OnPullEnded(RequestId, PullEnd end) override {
    end_ = end;
    ended_ = true;
  }
  void OnSendEnded(SendId, bool) override {}
  void OnLinkDown(NodeId, absl::string_view) override {}
  void OnFrameRefused(NodeId, FrameRefusal) override {}

  bool ended() const { return ended_; }
  PullEnd end() const { return end_; }
  bool dead() const { return dead_; }

 private:
  std::atomic<bool> dead_{false};
  std::atomic<PullEnd> end_{PullEnd::kFailed};
  std::atomic<bool> ended_{false};
};

// Comes, is known, links, asks for a segment of no run (so that the daemon opens an endpoint to
// answer by), and goes. Nobody listens at its control address.
void ComeAndGo(const std::string& daemon, uint64_t number) {
  NodeInfo self;
  self.node_id = NodeId{0xfeed, number};
  self.session = number + 1;
  self.control_address = "127.0.0.1:" + std::to_string(1 + number % 1000);
  self.version = "test";
  PeerClient client{PeerClientOptions{}};
  SyncMessage hello;
  hello.sequence = 1;
  hello.self = self;
  const absl::StatusOr<SyncMessage> known =
      testing::Await<SyncMessage>([&](auto done) { client.Sync(daemon, hello, kCallLimit, done); });
  ASSERT_TRUE(known.ok()) << known.status();

  absl::StatusOr<std::unique_ptr<UcxTransport>> transport =
      NewUcxTransport({.network_devices = {}, .control_ip = "127.0.0.1"});
  ASSERT_TRUE(transport.ok()) << transport.status();
  OnePullSink sink;
  ASSERT_TRUE((*transport)->Start(&sink).ok());
  std::vector<std::byte> landing(4096);
  EXPECT_TRUE((*transport)->Register(absl::MakeSpan(landing), MemoryKind::kHost).ok());
  const LinkOffer mine{self, (*transport)->address(), "ucx", number + 77};
  const absl::StatusOr<LinkOffer> theirs =
      testing::Await<LinkOffer>([&](auto done) { client.Connect(daemon, mine, kCallLimit, done); });
  EXPECT_TRUE(theirs.ok()) << theirs.status();
  if (theirs.ok()) {
    const NodeId node = theirs->self.node_id;
    (*transport)->Connect(PeerLink{node, theirs->transport_address, theirs->token, mine.token});
    PullRequest request;
    request.peer = node;
    request.request_id = RequestId{1};
    request.remaining_ms = 1000;
    (*transport)->Pull(request, absl::MakeSpan(landing));
    EXPECT_TRUE(Mesh::Await([&] { return sink.ended(); }, kPatience));
    EXPECT_EQ(sink.end(), PullEnd::kNoData);
    EXPECT_TRUE(sink.dead());
  }
  (*transport)->Stop();
}

TEST(LeakPeers, PeersThatComeLinkAndGo) {
  const int peers = CountFrom("WEIGHTMESH_LEAK_PEERS", 200);
  Mesh mesh(1);
  const pid_t daemon = mesh.daemon(0).pid();
  uint64_t number = 0;
  // More than the daemon remembers.
  while (number < kSilentPeersMax + 20)
    ASSERT_NO_FATAL_FAILURE(ComeAndGo(mesh.address(0), number++));
  const auto remembers = [&] { return mesh.Topology(0, "").nodes_size(); };
  const int most = static_cast<int>(kSilentPeersMax) + 1;
  ASSERT_TRUE(Mesh::Await([&] { return remembers() <= most; }, kPatience)) << remembers();
  const Footprint before = FootprintOf(daemon);
  for (int k = 0; k < peers; ++k) ASSERT_NO_FATAL_FAILURE(ComeAndGo(mesh.address(0), number++));
  EXPECT_TRUE(Mesh::Await([&] { return remembers() <= most; }, kPatience)) << remembers();
  EXPECT_EQ(AwaitReturnTo(before, daemon, kGrowth, kPatience), "");
}

}  // namespace
}  // namespace weightmesh
