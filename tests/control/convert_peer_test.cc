// Conversion of peer messages: nothing is lost, and everything that may be wrong is refused.
#include "daemon/control/convert_peer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "daemon/control/message_limits.h"
#include "daemon/control/protocol_version.h"
#include "daemon/mem/founding.h"
#include "google/protobuf/util/message_differencer.h"
#include "tests/control/samples.h"

namespace weightmesh {
namespace {

using ::testing::HasSubstr;

// A replica that a daemon admits is one that its peers take.
static_assert(kRunIdInSyncBytesMax == kRunIdBytesMax);
static_assert(kReplicaNameInSyncBytesMax == kReplicaNameBytesMax);

template <typename Proto>
void ExpectSame(const Proto& a, const Proto& b) {
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(a, b))
      << a.DebugString() << "\n--- and ---\n"
      << b.DebugString();
}

TEST(ConvertPeer, FoundersMayBeLeftOut) {
  SyncMessage sent = testing::SampleSync();
  const uint64_t digest = sent.runs[0].founders_digest;
  const absl::StatusOr<SyncMessage> whole = FromProto(ToProto(sent));
  ASSERT_TRUE(whole.ok()) << whole.status();
  EXPECT_EQ(whole->runs[0].founders_digest, digest) << "of those that are given";
  sent.runs[0].founders.clear();
  const absl::StatusOr<SyncMessage> got = FromProto(ToProto(sent));
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_TRUE(got->runs[0].founders.empty());
  EXPECT_EQ(got->runs[0].founders_digest, digest);
  EXPECT_EQ(got->runs[0].replicas.size(), 2u);
}

TEST(ConvertPeer, SyncKeepsEveryField) {
  const SyncMessage sent = testing::SampleSync();
  const v1::SyncMessage proto = ToProto(sent);
  EXPECT_EQ(proto.protocol_version(), kPeerProtocolVersion);
  const absl::StatusOr<SyncMessage> got = FromProto(proto);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->self.node_id, sent.self.node_id);
  EXPECT_EQ(got->self.session, 7000u);
  EXPECT_EQ(got->self.control_address, "10.0.0.1:7473");
  EXPECT_EQ(got->self.version, "0.1.0");
  ASSERT_EQ(got->runs.size(), 2u);
  const RunState& run = got->runs[0];
  EXPECT_EQ(run.run_id, "letters");
  EXPECT_TRUE(run.started);
  EXPECT_EQ(run.founders, sent.runs[0].founders);
  EXPECT_EQ(run.view_digest, 77u);
  EXPECT_EQ(run.newest_round, Round{103});
  EXPECT_EQ(run.round_time, absl::Milliseconds(140));
  EXPECT_EQ(FoundingDigest(run.founding), FoundingDigest(sent.runs[0].founding));
  ASSERT_EQ(run.replicas.size(), 2u);
  EXPECT_EQ(run.replicas[1].name, "node1/0");
  EXPECT_EQ(run.replicas[1].state, ReplicaState::kActive);
  EXPECT_EQ(run.replicas[1].published_round, Round{101});
  EXPECT_EQ(run.replicas[1].mixed_round, Round{100});
  ASSERT_EQ(run.gone.size(), 1u);
  EXPECT_EQ(run.gone[0].name, "node3/0");
  EXPECT_EQ(run.gone[0].state, ReplicaState::kLeft);
  EXPECT_EQ(run.gone[0].active_from, Round{40});
  EXPECT_EQ(run.gone[0].left_at, Round{90});
  EXPECT_FALSE(got->runs[1].started);
  EXPECT_EQ(got->runs[1].waiting_digest, 88u);
  ExpectSame(ToProto(*got), proto);
}

TEST(ConvertPeer, EveryEnumValueSurvives) {
  for (ScheduleKind schedule :
       {ScheduleKind::kHashCycle, ScheduleKind::kDerangement, ScheduleKind::kExponential}) {
    for (Mode mode : {Mode::kLockstep, Mode::kOverlap, Mode::kAsync}) {
      for (WireFormat wire : {WireFormat::kFp32, WireFormat::kBf16}) {
        RunConfig config = testing::SampleFounding().config;
        config.schedule = schedule;
        config.mode = mode;
        config.staleness_rounds_max = mode == Mode::kAsync ? 5 : 0;
        config.wire = wire;
        const absl::StatusOr<RunConfig> got = FromProto(ToProto(config));
        ASSERT_TRUE(got.ok()) << got.status();
        EXPECT_EQ(got->schedule, schedule);
        EXPECT_EQ(got->mode, mode);
        EXPECT_EQ(got->staleness_rounds_max, config.staleness_rounds_max);
        EXPECT_EQ(got->wire, wire);
      }
    }
  }
  for (ReplicaState state :
       {ReplicaState::kWaiting, ReplicaState::kActive, ReplicaState::kLeft, ReplicaState::kDead}) {
    ReplicaInfo replica = testing::SampleReplica(0);
    replica.state = state;
    const absl::StatusOr<ReplicaInfo> got = FromProto(ToProto(replica), "letters");
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(got->state, state);
  }
}

TEST(ConvertPeer, OffersKeepEveryField) {
  const LinkOffer sent = testing::SampleOffer();
  for (const absl::StatusOr<LinkOffer>& got :
       {FromProto(ToConnectRequest(sent)), FromProto(ToConnectReply(sent))}) {
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(got->self.node_id, sent.self.node_id);
    EXPECT_EQ(got->transport_address, sent.transport_address);
    EXPECT_EQ(got->transport_kind, "ucx");
    EXPECT_EQ(got->token, 99u);
  }
}

// One thing that a peer may send wrong, and words of the refusal.
template <typename Proto>
struct Fault {
  const char* words;
  std::function<void(Proto*)> make;
};

template <typename Proto>
void ExpectRefused(const Proto& good, const std::vector<Fault<Proto>>& faults) {
  ASSERT_TRUE(FromProto(good).ok()) << FromProto(good).status();
  for (const Fault<Proto>& fault : faults) {
    Proto proto = good;
    fault.make(&proto);
    const auto got = FromProto(proto);
    ASSERT_FALSE(got.ok()) << fault.words;
    EXPECT_EQ(got.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(got.status().message()), HasSubstr(fault.words));
  }
}

TEST(ConvertPeer, RefusesWrongNodes) {
  ExpectRefused<v1::NodeInfo>(
      ToProto(testing::SampleNode(0)),
      {{"node_id is missing or zero", [](auto* node) { node->clear_node_id(); }},
       {"session is missing or zero", [](auto* node) { node->set_session(0); }},
       {"control_address is empty", [](auto* node) { node->clear_control_address(); }},
       {"the port is missing", [](auto* node) { node->set_control_address("somewhere"); }},
       {"nobody listens on port 0", [](auto* node) { node->set_control_address("h:0"); }},
       {"control_address has 276 bytes; at most 270",
        [](auto* node) { node->set_control_address(std::string(271, 'a') + ":7473"); }},
       {"version is empty", [](auto* node) { node->clear_version(); }},
       {"version has 129 bytes; at most 128",
        [](auto* node) { node->set_version(std::string(129, '1')); }},
       {"control characters", [](auto* node) { node->set_version("1\x1b[2J"); }}});
}

TEST(ConvertPeer, RefusesWrongRunConfigs) {
  ExpectRefused<v1::RunConfig>(
      ToProto(testing::SampleFounding().config),
      {{"RunConfig.schedule is 0; this daemon knows 1 to 3",
        [](auto* config) { config->clear_schedule(); }},
       {"RunConfig.schedule is 4",
        [](auto* config) { config->set_schedule(static_cast<v1::Schedule>(4)); }},
       {"RunConfig.schedule is -1",
        [](auto* config) { config->set_schedule(static_cast<v1::Schedule>(-1)); }},
       {"RunConfig.mode is 0", [](auto* config) { config->clear_mode(); }},
       {"RunConfig.mode is 4", [](auto* config) { config->set_mode(static_cast<v1::Mode>(4)); }},
       {"RunConfig.staleness_rounds_max is 5",
        [](auto* config) { config->set_staleness_rounds_max(5); }},
       {"RunConfig.staleness_rounds_max is 0",
        [](auto* config) { config->set_mode(v1::MODE_ASYNC); }},
       {"RunConfig.staleness_rounds_max is 1025",
        [](auto* config) {
          config->set_mode(v1::MODE_ASYNC);
          config->set_staleness_rounds_max(1025);
        }},
       {"RunConfig.wire is 0", [](auto* config) { config->clear_wire(); }},
       {"RunConfig.wire is 3",
        [](auto* config) { config->set_wire(static_cast<v1::WireFormat>(3)); }},
       {"RunConfig.alpha is 0", [](auto* config) { config->set_alpha(0); }},
       {"RunConfig.alpha is 1.5", [](auto* config) { config->set_alpha(1.5); }},
       {"RunConfig.alpha is nan",
        [](auto* config) { config->set_alpha(std::numeric_limits<double>::quiet_NaN()); }},
       {"RunConfig.round_deadline_ms is 9", [](auto* config) { config->set_round_deadline_ms(9); }},
       {"RunConfig.round_deadline_ms is 3600001",
        [](auto* config) { config->set_round_deadline_ms(3600001); }},
       {"RunConfig.round_deadline_ms is 18446744073709551615",
        [](auto* config) { config->set_round_deadline_ms(~uint64_t{0}); }},
       {"RunConfig.replicas_min is 0", [](auto* config) { config->set_replicas_min(0); }},
       {"RunConfig.replicas_min is 4097", [](auto* config) { config->set_replicas_min(4097); }}});
}

TEST(ConvertPeer, RefusesWrongFoundingRecords) {
  ExpectRefused<v1::FoundingRecord>(
      ToProto(testing::SampleFounding()),
      {{"RunConfig.schedule is 0", [](auto* record) { record->clear_config(); }},
       {"schema_digest is missing or zero", [](auto* record) { record->clear_schema_digest(); }},
       {"segments is 0", [](auto* record) { record->set_segments(0); }},
       {"segments is 65537", [](auto* record) { record->set_segments(65537); }},
       {"parameters is 1, less than the 2 segments",
        [](auto* record) { record->set_parameters(1); }}});
}

TEST(ConvertPeer, DifferentInitialWeightsMayHaveNoDigest) {
  v1::FoundingRecord proto = ToProto(testing::SampleFounding());
  proto.clear_weights_digest();
  ASSERT_TRUE(FromProto(proto).ok());
  EXPECT_TRUE(FromProto(proto)->weights_digest.IsZero());
}

TEST(ConvertPeer, RefusesWrongRuns) {
  ExpectRefused<v1::RunState>(
      ToProto(testing::SampleSync()).runs(0),
      {{"run_id is empty", [](auto* run) { run->clear_run_id(); }},
       {"run_id has 256 bytes; at most 255",
        [](auto* run) { run->set_run_id(std::string(256, 'r')); }},
       {"founding: RunConfig.schedule", [](auto* run) { run->clear_founding(); }},
       {"started is true with 0 founders and no digest of them",
        [](auto* run) { run->clear_founders(); }},
       {"started is false with 4 founders and no digest of them",
        [](auto* run) { run->set_started(false); }},
       {"founders are given, and founders_digest as well",
        [](auto* run) { run->set_founders_digest(5); }},
       {"started is false with 0 founders and a digest of them",
        [](auto* run) {
          run->clear_founders();
          run->set_founders_digest(5);
          run->set_started(false);
        }},
       {"founders[2]: replica_id is missing or zero",
        [](auto* run) { run->mutable_founders(2)->Clear(); }},
       {"is listed twice", [](auto* run) { *run->mutable_founders(2) = run->founders(0); }},
       {"founders has 4097 entries; at most 4096",
        [](auto* run) {
          while (run->founders_size() < 4097) *run->add_founders() = run->founders(0);
        }},
       {"replicas[1]: replica_id is missing or zero",
        [](auto* run) { run->mutable_replicas(1)->clear_replica_id(); }},
       {"replicas[0]: name is empty", [](auto* run) { run->mutable_replicas(0)->clear_name(); }},
       {"name has 256 bytes; at most 255",
        [](auto* run) { run->mutable_replicas(0)->set_name(std::string(256, 'n')); }},
       {"not UTF-8", [](auto* run) { run->mutable_replicas(0)->set_name("\xff"); }},
       {"is not that of \"another\"",
        [](auto* run) { run->mutable_replicas(0)->set_name("another"); }},
       {"replicas[0]: state is 0", [](auto* run) { run->mutable_replicas(0)->clear_state(); }},
       {"replicas[0]: state is 7",
        [](auto* run) { run->mutable_replicas(0)->set_state(static_cast<v1::ReplicaState>(7)); }},
       {"replicas[2]: ", [](auto* run) { *run->add_replicas() = run->replicas(0); }},
       {"is not among the founders",
        [](auto* run) {
          for (auto& founder : *run->mutable_founders()) founder.set_high(founder.high() ^ 1);
        }},
       {"newest_round is 4611686018427387904; it must be at most 4611686018427387903",
        [](auto* run) { run->set_newest_round(uint64_t{1} << 62); }},
       {"round_time_us is 3600000001; it must be at most 3600000000",
        [](auto* run) { run->set_round_time_us(3600000001); }},
       {"replicas[0]: published_round is 18446744073709551615",
        [](auto* run) { run->mutable_replicas(0)->set_published_round(~uint64_t{0}); }},
       {"replicas[0]: mixed_round is 18446744073709551615",
        [](auto* run) { run->mutable_replicas(0)->set_mixed_round(~uint64_t{0}); }},
       {"founding: start_round is 2305843009213693953; it must be at most 2305843009213693952",
        [](auto* run) { run->mutable_founding()->set_start_round((uint64_t{1} << 61) + 1); }},
       {"founding: segments is 4294967295",
        [](auto* run) { run->mutable_founding()->set_segments(~uint32_t{0}); }},
       {"replicas has 4097 entries; at most 4096",
        [](auto* run) {
          while (run->replicas_size() < 4097) *run->add_replicas() = run->replicas(0);
        }},
       {"gone is given, and started is false",
        [](auto* run) {
          run->clear_founders();
          run->set_started(false);
        }},
       {"gone[0]: name is empty", [](auto* run) { run->mutable_gone(0)->clear_name(); }},
       {"gone[0]: state is active; it must be left or dead",
        [](auto* run) { run->mutable_gone(0)->set_state(v1::REPLICA_STATE_ACTIVE); }},
       {"gone[1]: ", [](auto* run) { *run->add_gone() = run->gone(0); }},
       {"gone has 4097 entries; at most 4096", [](auto* run) {
          while (run->gone_size() < 4097) *run->add_gone() = run->gone(0);
        }}});
}

TEST(ConvertPeer, GossipKeepsEveryField) {
  const swim::Message sent = testing::SampleGossip();
  const v1::GossipMessage proto = ToProto(sent);
  EXPECT_EQ(proto.protocol_version(), kPeerProtocolVersion);
  const absl::StatusOr<swim::Message> got = FromProto(proto);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->from, sent.from);
  EXPECT_EQ(got->uptime, sent.uptime);
  EXPECT_EQ(got->incarnation, 4u);
  EXPECT_EQ(got->digest, 55u);
  EXPECT_FALSE(got->whole);
  EXPECT_TRUE(got->wants_whole);
  EXPECT_EQ(got->updates, sent.updates);
  ExpectSame(ToProto(*got), proto);

  const absl::StatusOr<IndirectProbeQuery> query =
      FromProto(ToProto(IndirectProbeQuery{sent, testing::SampleNode(5), absl::Milliseconds(300)}));
  ASSERT_TRUE(query.ok()) << query.status();
  EXPECT_EQ(query->message.updates, sent.updates);
  EXPECT_EQ(query->target, testing::SampleNode(5));
  EXPECT_EQ(query->timeout, absl::Milliseconds(300));
  for (const bool ack : {false, true}) {
    const absl::StatusOr<IndirectProbeResult> result =
        FromProto(ToProto(IndirectProbeResult{sent, ack}));
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->ack, ack);
    EXPECT_EQ(result->message.updates, sent.updates);
  }
}

TEST(ConvertPeer, RefusesWrongGossipAndSaysWhere) {
  const v1::GossipMessage good = ToProto(testing::SampleGossip());
  ExpectRefused<v1::GossipMessage>(
      good, {{"GossipMessage.self: node_id is missing", [](auto* gossip) { gossip->clear_self(); }},
             {"GossipMessage.updates[0]: state is 5; this daemon knows 1 to 4",
              [](auto* gossip) {
                gossip->mutable_updates(0)->set_state(static_cast<v1::MemberState>(5));
              }},
             {"updates[0]: accusers has 5 entries; at most 4",
              [](auto* gossip) {
                auto* update = gossip->mutable_updates(0);
                while (update->accusers_size() < 5) *update->add_accusers() = update->accusers(0);
              }},
             {"updates[0]: accusers is missing or zero",
              [](auto* gossip) { gossip->mutable_updates(0)->add_accusers(); }},
             {"updates[0]: record has 4001 bytes; at most 4000",
              [](auto* gossip) { gossip->mutable_updates(0)->set_record(std::string(4001, 'r')); }},
             {"updates[0]: node: control_address",
              [](auto* gossip) {
                gossip->mutable_updates(0)->mutable_node()->set_control_address("nowhere");
              }},
             {"updates[1]: node: node_id is missing",
              [](auto* gossip) { gossip->mutable_updates(1)->mutable_node()->clear_node_id(); }},
             {"updates[1]: node: session is missing",
              [](auto* gossip) { gossip->mutable_updates(1)->mutable_node()->clear_session(); }},
             {"GossipMessage.updates has 4097 entries; at most 4096", [](auto* gossip) {
                while (gossip->updates_size() < 4097) *gossip->add_updates() = gossip->updates(1);
              }}});
  v1::IndirectProbeRequest request;
  *request.mutable_message() = good;
  *request.mutable_target() = ToProto(testing::SampleNode(1));
  ExpectRefused<v1::IndirectProbeRequest>(
      request, {{"IndirectProbeRequest: GossipMessage.self: node_id is missing",
                 [](auto* query) { query->mutable_message()->clear_self(); }},
                {"IndirectProbeRequest.target: node_id is missing",
                 [](auto* query) { query->clear_target(); }}});
  v1::IndirectProbeReply reply;
  *reply.mutable_message() = good;
  ExpectRefused<v1::IndirectProbeReply>(
      reply, {{"IndirectProbeReply: GossipMessage.self: node_id is missing",
               [](auto* result) { result->clear_message(); }}});
}

TEST(ConvertPeer, RefusesWrongSyncsAndSaysWhere) {
  ExpectRefused<v1::SyncMessage>(
      ToProto(testing::SampleSync()),
      {{"SyncMessage.self: node_id is missing", [](auto* sync) { sync->clear_self(); }},
       {"SyncMessage.runs[1]: run_id is empty",
        [](auto* sync) { sync->mutable_runs(1)->clear_run_id(); }},
       {"SyncMessage.runs[2]: run \"faces\" is listed twice",
        [](auto* sync) { *sync->add_runs() = sync->runs(1); }},
       {"SyncMessage.runs has 1025 entries; at most 1024", [](auto* sync) {
          while (sync->runs_size() < 1025) *sync->add_runs() = sync->runs(0);
        }}});
}

template <typename Proto>
std::vector<Fault<Proto>> WrongOffers() {
  return {{".self: node_id is missing", [](Proto* offer) { offer->clear_self(); }},
          {"transport_address has 0 bytes", [](Proto* offer) { offer->clear_transport_address(); }},
          {"transport_address has 65537 bytes; 1 to 65536",
           [](Proto* offer) { offer->set_transport_address(std::string(65537, 'x')); }},
          {"transport_kind is empty", [](Proto* offer) { offer->clear_transport_kind(); }},
          {"transport_kind has 33 bytes",
           [](Proto* offer) { offer->set_transport_kind(std::string(33, 'x')); }},
          {"token is missing or zero", [](Proto* offer) { offer->clear_token(); }}};
}

TEST(ConvertPeer, RefusesWrongOffers) {
  ExpectRefused<v1::ConnectRequest>(ToConnectRequest(testing::SampleOffer()),
                                    WrongOffers<v1::ConnectRequest>());
  ExpectRefused<v1::ConnectReply>(ToConnectReply(testing::SampleOffer()),
                                  WrongOffers<v1::ConnectReply>());
}

}  // namespace
}  // namespace weightmesh
