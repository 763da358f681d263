// A peer that lies, on both planes, to a real daemon in the middle of a real run: the run loses
// nothing, the daemon counts what it refuses, says so a few times, and does not grow.
#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/control/protocol_version.h"
#include "daemon/core/ids.h"
#include "daemon/core/run.h"
#include "grpcpp/grpcpp.h"
#include "proto/weightmesh/v1/mesh.grpc.pb.h"
#include "proto/weightmesh/v1/peer.grpc.pb.h"
#include "tests/process/footprint.h"
#include "tests/process/mesh.h"
#include "tests/process/trainers.h"
#include "tests/transport/ucx_forger.h"

namespace weightmesh {
namespace {

using wire::FrameType;
using wire::Verdict;

constexpr absl::Duration kLimit = absl::Seconds(100);
constexpr uint64_t kOwnToken = 77;  // that the daemon is told to put on its frames
constexpr int kFlood = 5000;
// How many nodes a daemon keeps. Each is called upon, which is slow under AddressSanitizer.
constexpr uint64_t kNodesMax = kResidentMemoryIsOwn ? 4096 : 400;
// What a flood may add to a daemon's memory: queues at their limits, and what UCX keeps.
constexpr long kGrowthKiBMax = 96 << 10;

template <typename Service>
auto StubTo(const std::string& address) {
  return Service::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
}

// The liar: a node of its own with a valid token, from Connect.
class Liar {
 public:
  explicit Liar(const std::string& daemon) : peers_(StubTo<v1::PeerService>(daemon)) {}

  v1::ConnectRequest Offer(uint64_t node, const std::string& transport_address) const {
    v1::ConnectRequest request;
    request.set_protocol_version(kPeerProtocolVersion);
    request.mutable_self()->mutable_node_id()->set_high(0xbad);
    request.mutable_self()->mutable_node_id()->set_low(node);
    request.mutable_self()->set_session(1);
    request.mutable_self()->set_control_address("127.0.0.1:1");
    request.mutable_self()->set_version("hostile");
    request.set_transport_address(transport_address);
    request.set_transport_kind("ucx");
    request.set_token(kOwnToken);
    return request;
  }
  grpc::Status Connect(const v1::ConnectRequest& request, v1::ConnectReply* reply) const {
    grpc::ClientContext context;
    return peers_->Connect(&context, request, reply);
  }
  grpc::Status Sync(const v1::SyncMessage& message) const {
    grpc::ClientContext context;
    v1::SyncMessage reply;
    return peers_->Sync(&context, message, &reply);
  }
  grpc::Status Gossip(const v1::GossipMessage& message) const {
    grpc::ClientContext context;
    v1::GossipMessage reply;
    return peers_->Gossip(&context, message, &reply);
  }

 private:
  const std::unique_ptr<v1::PeerService::Stub> peers_;
};

class HostilePeerTest : public testing::Test {
 protected:
  HostilePeerTest()
      : mesh_(2,
              {.config = absl::StrCat("limits { nodes_max: ", kNodesMax, " }"), .config_of = {}}),
        run_(&mesh_, Options()),
        liar_(mesh_.address(0)) {}

  static GossipOptions Options() {
    GossipOptions options;
    options.run_id = "beset";
    options.replicas = 2;
    options.segments = 4;
    options.parameters = 50'000;
    options.steps = 0;
    options.deadline_ms = 20'000;
    options.step_ms = {1, 1};
    return options;
  }

  void AwaitRound(uint64_t round) {
    EXPECT_TRUE(Mesh::Await([&] { return run_.Stats(0).round() >= round; }, kLimit));
  }
  v1::Stats StatsOfVictim() const { return mesh_.Stats(0, ""); }
  v1::Link LinkToLiar() const {
    const auto stub = StubTo<v1::MeshService>(mesh_.address(0));
    grpc::ClientContext context;
    v1::LinkList links;
    EXPECT_TRUE(stub->ListLinks(&context, {}, &links).ok());
    for (const v1::Link& link : links.links()) {
      if (link.node_id().high() == 0xbad) return link;
    }
    return {};
  }
  // Every pull of both ARRIVED, and both trained to the end.
  void ExpectNothingLost() {
    AwaitRound(run_.Stats(0).round() + 20);
    run_.Stop();
    for (int k = 0; k < 2; ++k) {
      const TrainerResult result = run_.Result(k, kLimit);
      EXPECT_EQ(result.exit_code, 0);
      EXPECT_EQ(result.alone, 0u);
      // The last round may end without its peer, which has left.
      const uint64_t all = 4 * result.steps;
      EXPECT_GE(result.Pulls(Outcome::kArrived) + 4, all) << result.DescribePulls();
    }
  }
  size_t LinesWith(const std::string& text) const {
    std::ifstream file(mesh_.Folder() + "/0/daemon.log");
    size_t lines = 0;
    for (std::string line; std::getline(file, line);) lines += line.find(text) != line.npos;
    return lines;
  }

  Mesh mesh_;
  GossipRun run_;
  Liar liar_;
};

TEST_F(HostilePeerTest, FramesOfEveryKindHurtNobody) {
  AwaitRound(10);
  auto worker = UcxWorker::New("lo");
  ASSERT_TRUE(worker.ok()) << worker.status();
  v1::ConnectReply reply;
  ASSERT_TRUE(liar_.Connect(liar_.Offer(1, (*worker)->address()), &reply).ok());
  UcxForger forger(reply.transport_address());
  const long resident_kib = FootprintOf(mesh_.daemon(0).pid()).resident_kb;

  const auto send = [&](FrameType type, const std::string& header, const std::string& data = "",
                        uint32_t flags = UCP_AM_SEND_FLAG_EAGER) {
    forger.Send(static_cast<unsigned>(type), header, data, flags);
  };
  const ReplicaId victim = MakeReplicaId("beset", ReplicaName(0));
  const ReplicaId other = MakeReplicaId("beset", ReplicaName(1));
  auto request = MakeFrame<wire::PullRequestFrame>(FrameType::kPullRequest, reply.token());
  request.run_key = MakeRunKey("beset");
  request.source_high = victim.high;
  request.source_low = victim.low;
  request.reader_high = other.high;
  request.reader_low = other.low;
  request.remaining_ms = ~uint32_t{0};
  auto answer = MakeFrame<wire::PullAnswerFrame>(FrameType::kPullAnswer, reply.token());
  answer.run_key = request.run_key;
  auto cancel = MakeFrame<wire::PullCancelFrame>(FrameType::kPullCancel, reply.token());
  for (int k = 0; k < kFlood; ++k) {
    // In the other's name: rounds past, present and to come, and one that cannot be.
    request.request_id = k % 100;
    request.round = k % 10 == 0 ? uint64_t{1} << 60 : run_.Stats(0).round() + k % 3;
    request.segment = k % 7 == 0 ? ~uint32_t{0} : k % 4;
    send(FrameType::kPullRequest, Bytes(request));
    if (k % 100 == 0) {
      send(FrameType::kPullRequest, Bytes(request).substr(1));
      send(FrameType::kPullRequest, std::string(8000, 'x'));
      send(static_cast<FrameType>(4711), Bytes(request), std::string(1 << 20, 'x'));
      auto unknown = request;
      ++unknown.header.token;
      send(FrameType::kPullRequest, Bytes(unknown));
      unknown = request;
      ++unknown.run_key;
      send(FrameType::kPullRequest, Bytes(unknown));
      answer.request_id = k;
      answer.verdict = static_cast<uint32_t>(Verdict::kGone);
      answer.bytes = 0;
      send(FrameType::kPullAnswer, Bytes(answer));
      answer.verdict = static_cast<uint32_t>(Verdict::kData);
      answer.bytes = 1 << 20;
      send(FrameType::kPullAnswer, Bytes(answer), std::string(1 << 20, 'x'), UCP_AM_SEND_FLAG_RNDV);
    }
    cancel.request_id = k;
    send(FrameType::kPullCancel, Bytes(cancel));
  }
  EXPECT_TRUE(
      forger.ProgressUntil([&] { return StatsOfVictim().answers_unasked() >= 2 * kFlood / 100; }));
  const v1::Stats stats = StatsOfVictim();
  std::vector<uint64_t> refused(v1::FrameRefusal_ARRAYSIZE, 0);
  for (const auto& row : stats.frame_refusals()) refused[row.reason()] = row.count();
  EXPECT_EQ(refused[v1::FRAME_REFUSAL_MALFORMED], 3u * kFlood / 100);
  EXPECT_EQ(refused[v1::FRAME_REFUSAL_UNKNOWN_TOKEN], 1u * kFlood / 100);
  EXPECT_EQ(stats.frames_refused(), 4u * kFlood / 100);
  EXPECT_TRUE(Mesh::Await([&] { return LinkToLiar().requests_refused() >= kFlood; }, kLimit))
      << LinkToLiar().DebugString();
  if (kResidentMemoryIsOwn) {
    EXPECT_LE(FootprintOf(mesh_.daemon(0).pid()).resident_kb, resident_kib + kGrowthKiBMax);
  }
  EXPECT_GE(LinesWith("a reader that is not its own"), 1u);
  EXPECT_GE(LinesWith("malformed"), 1u);
  EXPECT_LE(LinesWith("so far"), 30u) << "a line for each power of ten of each reason";
  ExpectNothingLost();
}

// Offers and syncs with lies, about itself, the daemon that it speaks to, and the other one.
TEST_F(HostilePeerTest, WordsOfEveryKindHurtNobody) {
  AwaitRound(10);
  auto worker = UcxWorker::New("lo");
  ASSERT_TRUE(worker.ok()) << worker.status();
  const std::string address = (*worker)->address();
  const v1::Topology topology = mesh_.Topology(0, "");
  v1::NodeInfo victim, friendly;
  for (const v1::Node& node : topology.nodes()) {
    const bool self = node.info().node_id().low() == topology.self().low();
    (self ? victim : friendly) = node.info();
  }
  const long resident_kib = FootprintOf(mesh_.daemon(0).pid()).resident_kb;

  v1::ConnectReply reply;
  v1::ConnectRequest offer = liar_.Offer(1, address);
  *offer.mutable_self() = victim;
  EXPECT_EQ(liar_.Connect(offer, &reply).error_code(), grpc::INVALID_ARGUMENT) << "its own id";
  *offer.mutable_self() = friendly;
  EXPECT_EQ(liar_.Connect(offer, &reply).error_code(), grpc::ALREADY_EXISTS)
      << "another address for a process that has told one";
  offer.set_transport_address(std::string(1000, 'x'));
  EXPECT_EQ(liar_.Connect(offer, &reply).error_code(), grpc::ALREADY_EXISTS);
  offer.mutable_self()->set_session(friendly.session() + 1);
  EXPECT_EQ(liar_.Connect(offer, &reply).error_code(), grpc::FAILED_PRECONDITION);
  EXPECT_EQ(liar_.Connect(liar_.Offer(1, std::string(1000, 'x')), &reply).error_code(),
            grpc::INVALID_ARGUMENT)
      << "an address that is none";
  // More links than the daemon keeps.
  for (uint64_t node = 1; node <= kNodesMax + 200; ++node) {
    const grpc::StatusCode code = liar_.Connect(liar_.Offer(node, address), &reply).error_code();
    ASSERT_TRUE(code == grpc::OK || code == grpc::RESOURCE_EXHAUSTED) << node << ": " << code;
  }

  v1::GossipMessage gossip;
  gossip.set_protocol_version(kPeerProtocolVersion);
  *gossip.mutable_self() = liar_.Offer(1, address).self();
  gossip.set_whole(true);
  for (uint64_t node = 2; node <= kNodesMax; ++node) {
    v1::MemberUpdate& update = *gossip.add_updates();
    *update.mutable_node() = liar_.Offer(node, address).self();
    update.set_state(v1::MEMBER_STATE_ALIVE);
  }
  EXPECT_TRUE(liar_.Gossip(gossip).ok());
  gossip.set_whole(false);
  for (v1::MemberUpdate& update : *gossip.mutable_updates()) {
    update.set_state(v1::MEMBER_STATE_DEAD);
    *update.mutable_node() = victim;
    update.set_incarnation(~uint64_t{0});
  }
  EXPECT_TRUE(liar_.Gossip(gossip).ok()) << "nobody is dead because a liar says so";
  for (int node = 0; node < 6000; ++node) *gossip.add_updates() = gossip.updates(0);
  EXPECT_EQ(liar_.Gossip(gossip).error_code(), grpc::INVALID_ARGUMENT) << "10,095 updates";
  v1::SyncMessage sync;
  sync.set_protocol_version(kPeerProtocolVersion);
  *sync.mutable_self() = liar_.Offer(1, address).self();
  sync.set_sequence(1);
  for (int run = 0; run < 100'000; ++run) sync.add_runs()->set_run_id(std::to_string(run));
  EXPECT_EQ(liar_.Sync(sync).error_code(), grpc::INVALID_ARGUMENT) << "100,000 runs";

  if (kResidentMemoryIsOwn) {
    EXPECT_LE(FootprintOf(mesh_.daemon(0).pid()).resident_kb, resident_kib + kGrowthKiBMax);
  }
  ExpectNothingLost();
}

}  // namespace
}  // namespace weightmesh
