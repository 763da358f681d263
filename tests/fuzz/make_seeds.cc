// Writes the first inputs of every fuzz target: one small good one of each kind, to be mutated.
//
// Usage: fuzz_seeds FOLDER    (tests/fuzz/corpus)
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "daemon/control/convert_peer.h"
#include "proto/attach.h"
#include "proto/byte_codec.h"
#include "proto/control_page.h"
#include "proto/wire.h"
#include "tests/testing/core_harness.h"

namespace weightmesh::fuzz {
namespace {

using testing_support::CoreHarness;

std::filesystem::path folder;

void Write(const std::string& target, const std::string& name, const std::string& bytes) {
  std::filesystem::create_directories(folder / target);
  std::ofstream(folder / target / ("seed_" + name), std::ios::binary) << bytes;
}

template <typename T>
std::string Raw(const T& value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}
std::string Raw(std::initializer_list<uint8_t> bytes) {
  return std::string(bytes.begin(), bytes.end());
}

std::string Message(attach::MessageType type, const std::string& payload) {
  return Raw(attach::MessageHeader{attach::kMagic, attach::kVersion, static_cast<uint16_t>(type),
                                   static_cast<uint32_t>(payload.size()), 0}) +
         payload;
}

void Attach() {
  attach::AttachRequest request;
  request.client_version = "1";
  request.run_id = "run";
  request.replica_name = "a/0";
  request.tensors = {{"w", attach::DataType::kFp32, {2, 3}}, {"b", attach::DataType::kFp32, {}}};
  request.segment_bounds = {0, 3, 7};
  const std::string alone = attach::Encode(request);
  request.replicas_min = 2;
  request.mode = attach::Mode::kOverlap;
  request.wire = WireFormat::kBf16;
  request.schedule = attach::ScheduleKind::kExponential;
  Write("attach_request", "alone", Raw({1}) + alone);
  Write("attach_request", "overlap", Raw({1}) + attach::Encode(request));
  request.mode = attach::Mode::kAsync;
  request.staleness_rounds_max = 8;
  Write("attach_request", "async", Raw({1}) + attach::Encode(request));
  Write("attach_request", "stream",
        Raw({0, 30}) + Message(attach::MessageType::kAttachRequest, alone) +
            Message(attach::MessageType::kLeave, ""));

  attach::AttachReply reply;
  reply.control_bytes = 3072;
  reply.arena_bytes = 1 << 20;
  Write("attach_reply", "good",
        Message(attach::MessageType::kAttachProgress, "waiting for 1") +
            Message(attach::MessageType::kAttachReply, attach::Encode(reply)) +
            Message(attach::MessageType::kLeaveReply, ""));
  reply.code = attach::ReplyCode::kLimit;
  reply.message = "no room";
  Write("attach_reply", "refused",
        Message(attach::MessageType::kAttachReply, attach::Encode(reply)));
}

// What the first byte of frames and control_page chooses.
constexpr const char* kModeNames[] = {"lockstep", "overlap", "async"};

// Steps of frames.cc.
void Frames() {
  const auto header = [](wire::FrameType type) {
    return wire::FrameHeader{wire::kMagic, wire::kVersion, static_cast<uint16_t>(type), 1};
  };
  wire::PullRequestFrame request{};
  request.header = header(wire::FrameType::kPullRequest);
  request.request_id = 1;
  request.run_key = MakeRunKey("run");
  request.source_high = CoreHarness::ReplicaOf(0).high;
  request.source_low = CoreHarness::ReplicaOf(0).low;
  request.reader_high = CoreHarness::ReplicaOf(1).high;
  request.reader_low = CoreHarness::ReplicaOf(1).low;
  request.round = 1;
  request.remaining_ms = 500;
  wire::PullAnswerFrame answer{};
  answer.header = header(wire::FrameType::kPullAnswer);
  answer.request_id = 1;
  answer.verdict = static_cast<uint32_t>(wire::Verdict::kData);
  answer.bytes = 100;
  const wire::PullCancelFrame cancel{header(wire::FrameType::kPullCancel), 1};
  const wire::IdleCloseFrame idle{header(wire::FrameType::kIdleClose)};

  const std::string round = Raw({8, 0});
  const std::string asked = Raw({0, 0, 0}) + Raw(request);
  const std::string given = Raw({4, 0, 0}) + Raw(uint64_t{1}) + Raw(uint64_t{1}) + Raw({5, 0, 0});
  for (const uint8_t mode : {0, 1, 2}) {
    const std::string name = kModeNames[mode];
    Write("frames", name + "_served", Raw({mode}) + round + asked + Raw({6, 0, 0}) + round);
    Write("frames", name + "_early", Raw({mode}) + asked + round + Raw({2, 0, 0}) + Raw(cancel));
    Write("frames", name + "_landed", Raw({mode}) + round + given + given + given + round);
  }
  Write("frames", "kinds",
        Raw({0}) + Raw({1, 0, 201}) + Raw(answer) + Raw({3, 4, 16, 0, 0}) + Raw(idle) +
            Raw({7, 0, 8}) + Raw({9, 0}));
}

// Steps of control_page.cc.
void ControlPage() {
  const auto post = [](uint8_t round, control_page::CommandKind kind, uint8_t slot) {
    return Raw({2, round, static_cast<uint8_t>(kind), slot});
  };
  const std::string landed = Raw({4, 1, 0}) + Raw({4, 1, 0}) + Raw({4, 1, 0});
  const std::string rows = Raw({6, 0, 1}) + Raw(1.5) + Raw({6, 1, 7}) + Raw(2.5);
  const std::string drain = Raw({3});
  for (const uint8_t mode : {0, 1, 2}) {
    Write("control_page", kModeNames[mode],
          Raw({mode}) + post(1, control_page::CommandKind::kPublish, 1) +
              post(1, control_page::CommandKind::kCollect, 0) + drain + landed + rows +
              post(0, control_page::CommandKind::kMixed, 0) + drain +
              post(1, control_page::CommandKind::kSkip, 0) + drain + Raw({4, 0, 200}) + Raw({5}));
  }
  Write("control_page", "hostile",
        Raw({0}) + Raw({7, 1}) + Raw(control_page::SlotWord(9, control_page::SlotState::kHeld)) +
            Raw({1}) + Raw(uint64_t{1} << 61) + Raw(uint32_t{1}) + Raw(uint32_t{2}) + drain +
            Raw({0, 0x80, 0, 8}) + Raw(uint64_t{1000}) + drain);
}

void Config() {
  Write("config", "textproto", Raw({0}) + R"(# a comment
listen_address: "127.0.0.1:7473"
state_directory: "/tmp/s"
attach_socket: "/tmp/a.sock"
seeds: "127.0.0.1:7474"
limits { segments_max: 100 }
)");
  Write("config", "json", Raw({1}) + R"({"listenAddress": "127.0.0.1:0", "seeds": ["[::1]:1"],
 "limits": {"arenaBytesMax": "1073741824", "segments_max": 7}})");
}

void Peers() {
  CoreHarness harness({}, 3);
  SyncMessage waiting = harness.MessageOf(1, ReplicaState::kWaiting, {0, 1, 2}, false);
  SyncMessage active = harness.MessageOf(1, ReplicaState::kActive, {0, 1, 2}, true);
  active.runs[0].newest_round = Round{7};
  Write("peer_messages", "waiting", Raw({0}) + ToProto(waiting).SerializeAsString());
  Write("peer_messages", "active", Raw({1}) + ToProto(active).SerializeAsString());
  LinkOffer offer;
  offer.self = harness.InfoOf(1);
  offer.transport_kind = "ucx";
  offer.transport_address = "address";
  offer.token = 4;
  Write("peer_messages", "connect", Raw({2}) + ToConnectRequest(offer).SerializeAsString());
  Write("peer_messages", "connected", Raw({3}) + ToConnectReply(offer).SerializeAsString());
  swim::Message gossip;
  gossip.from = harness.InfoOf(1);
  gossip.incarnation = 3;
  gossip.whole = gossip.wants_whole = true;
  for (uint32_t k = 0; k < 4; ++k) {
    swim::MemberUpdate update;
    update.node = harness.InfoOf(k);
    update.incarnation = k;
    update.state = static_cast<swim::MemberState>(k + 1);
    if (update.state == swim::MemberState::kSuspect) update.accusers = {CoreHarness::NodeOf(2)};
    update.record_version = 1;
    gossip.updates.push_back(update);
  }
  Write("peer_messages", "gossip", Raw({4}) + ToProto(gossip).SerializeAsString());
  Write("peer_messages", "gossiped", Raw({5}) + ToProto(gossip).SerializeAsString());
  const IndirectProbeQuery query{gossip, harness.InfoOf(2), absl::Milliseconds(300)};
  Write("peer_messages", "probe_asked", Raw({6}) + ToProto(query).SerializeAsString());
  const IndirectProbeResult result{gossip, true};
  Write("peer_messages", "probe_told", Raw({7}) + ToProto(result).SerializeAsString());
}

}  // namespace
}  // namespace weightmesh::fuzz

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: fuzz_seeds FOLDER\n");
    return 2;
  }
  weightmesh::fuzz::folder = argv[1];
  weightmesh::fuzz::Attach();
  weightmesh::fuzz::Frames();
  weightmesh::fuzz::ControlPage();
  weightmesh::fuzz::Config();
  weightmesh::fuzz::Peers();
  return 0;
}
