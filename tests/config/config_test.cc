// Defaults and ranges of DaemonConfig.
#include "daemon/runtime/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "daemon/runtime/config_file.h"
#include "daemon/runtime/fault_config.h"

namespace weightmesh {
namespace {

using ::testing::HasSubstr;

TEST(ConfigDefaults, AreThoseOfTheProtoComments) {
  const v1::DaemonConfig config = ApplyDefaults({}, 123456789);
  EXPECT_EQ(ToTextproto(config), R"(listen_address: "127.0.0.1:7473"
state_directory: "/var/lib/weightmesh"
attach_socket: "/run/weightmesh/attach.sock"
log {
  level: LEVEL_INFO
  format: FORMAT_TEXT
}
limits {
  runs_max: 64
  replicas_max: 64
  segments_max: 4096
  arena_bytes_max: 123456789
  nodes_max: 4096
  sends_per_peer_max: 2
  watchers_max: 256
}
membership {
  sync_interval_ms: 1000
  detection_target_ms: 3000
}
transport {
  kind: "ucx"
}
drain_deadline_ms: 10000
)");
  EXPECT_TRUE(ValidateConfig(config).ok()) << ValidateConfig(config);
  EXPECT_TRUE(ValidateConfig(ApplyDefaults({})).ok());
}

TEST(ConfigDefaults, KeepWhatIsSet) {
  v1::DaemonConfig config;
  config.mutable_limits()->set_runs_max(3);
  config.mutable_limits()->set_arena_bytes_max(uint64_t{2} << 20);
  config.mutable_log()->set_level(v1::Log::LEVEL_ERROR);
  const v1::DaemonConfig effective = ApplyDefaults(config, 99);
  EXPECT_EQ(effective.limits().runs_max(), 3u);
  EXPECT_EQ(effective.limits().arena_bytes_max(), uint64_t{2} << 20);
  EXPECT_EQ(effective.log().level(), v1::Log::LEVEL_ERROR);
}

TEST(ConfigPrint, CanBeReadBack) {
  v1::DaemonConfig config = ApplyDefaults({});
  config.add_seeds("10.0.0.1:7473");
  config.mutable_log()->set_file("/var/log/\"wé\"\n");
  const auto read = ParseConfig("printed.textproto", ToTextproto(config));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->SerializeAsString(), config.SerializeAsString());
}

TEST(ConfigPrint, NamesDerivedTimesInWhatCanBeReadBack) {
  v1::DaemonConfig config = ApplyDefaults({});
  config.mutable_membership()->set_sync_interval_ms(30'000);
  const std::string derived = DerivedTimesAsComments(config);
  EXPECT_THAT(derived, HasSubstr("within 1m is silent"));
  EXPECT_TRUE(ParseConfig("printed.textproto", ToTextproto(config) + derived).ok());
}

struct BadConfig {
  const char* name;
  std::function<void(v1::DaemonConfig*)> spoil;
  std::vector<const char*> expected;  // all stand in the message
};

class ConfigRanges : public ::testing::TestWithParam<BadConfig> {};

TEST_P(ConfigRanges, NameFieldValueAndWhatIsAllowed) {
  v1::DaemonConfig config = ApplyDefaults({});
  GetParam().spoil(&config);
  const absl::Status status = ValidateConfig(config);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  for (const char* part : GetParam().expected) {
    EXPECT_THAT(std::string(status.message()), HasSubstr(part));
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, ConfigRanges,
    ::testing::Values(
        BadConfig{"Listen",
                  [](auto* c) { c->set_listen_address("nowhere"); },
                  {"listen_address", "nowhere", "host:port"}},
        BadConfig{"Advertise",
                  [](auto* c) { c->set_advertise_address("a b:1"); },
                  {"advertise_address", "a b:1"}},
        BadConfig{"AdvertisePort",
                  [](auto* c) { c->set_advertise_address("host:0"); },
                  {"advertise_address", "host:0", "1 to 65535"}},
        BadConfig{"AdvertiseWildcard",
                  [](auto* c) { c->set_advertise_address("0.0.0.0:7473"); },
                  {"advertise_address", "own address"}},
        BadConfig{"ListenWildcard",
                  [](auto* c) {
                    c->set_listen_address("[::]:7473");
                    c->set_insecure_plaintext(true);
                  },
                  {"listen_address", "[::]:7473", "set advertise_address"}},
        BadConfig{"Seed",
                  [](auto* c) {
                    c->add_seeds("good:1");
                    c->add_seeds("bad");
                  },
                  {"seeds[1]", "bad"}},
        BadConfig{"Plaintext",
                  [](auto* c) { c->set_listen_address("10.0.0.1:7473"); },
                  {"listen_address", "insecure_plaintext: true"}},
        BadConfig{"SocketTooLong",
                  [](auto* c) { c->set_attach_socket("/" + std::string(107, 'a')); },
                  {"attach_socket", "108", "107"}},
        BadConfig{"Runs",
                  [](auto* c) { c->mutable_limits()->set_runs_max(1025); },
                  {"limits.runs_max", "1025", "1 to 1024"}},
        BadConfig{"Replicas",
                  [](auto* c) { c->mutable_limits()->set_replicas_max(2000); },
                  {"limits.replicas_max", "2000", "1 to 1024"}},
        BadConfig{"Segments",
                  [](auto* c) { c->mutable_limits()->set_segments_max(65537); },
                  {"limits.segments_max", "65537", "1 to 65536"}},
        BadConfig{"Arena",
                  [](auto* c) { c->mutable_limits()->set_arena_bytes_max(4096); },
                  {"limits.arena_bytes_max", "4096", "1 MiB"}},
        BadConfig{"Nodes",
                  [](auto* c) { c->mutable_limits()->set_nodes_max(4097); },
                  {"limits.nodes_max", "4097", "1 to 4096"}},
        BadConfig{"Sends",
                  [](auto* c) { c->mutable_limits()->set_sends_per_peer_max(65); },
                  {"limits.sends_per_peer_max", "65", "1 to 64"}},
        BadConfig{"Watchers",
                  [](auto* c) { c->mutable_limits()->set_watchers_max(4097); },
                  {"limits.watchers_max", "4097", "1 to 4096", "default 256"}},
        BadConfig{"SyncShort",
                  [](auto* c) { c->mutable_membership()->set_sync_interval_ms(49); },
                  {"membership.sync_interval_ms", "49", "50 to 60000"}},
        BadConfig{"SyncLong",
                  [](auto* c) { c->mutable_membership()->set_sync_interval_ms(60001); },
                  {"membership.sync_interval_ms", "60001"}},
        BadConfig{"DrainTooLong",
                  [](auto* c) { c->set_drain_deadline_ms(3'600'001); },
                  {"drain_deadline_ms", "3600001", "100 to 3600000"}},
        BadConfig{"DetectionTargetTooShort",
                  [](auto* c) { c->mutable_membership()->set_detection_target_ms(499); },
                  {"membership.detection_target_ms", "499", "500 to 60000"}},
        BadConfig{"Transport",
                  [](auto* c) { c->mutable_transport()->set_kind("tcp"); },
                  {"transport.kind", "tcp", "ucx, loopback"}},
        BadConfig{"Device",
                  [](auto* c) { c->mutable_transport()->add_devices("eth0,eth1"); },
                  {"transport.devices[0]", "eth0,eth1"}},
        BadConfig{"FaultRate",
                  [](auto* c) {
                    c->mutable_transport()->mutable_faults()->mutable_tear()->set_rate(1.5);
                  },
                  {"transport.faults.tear.rate", "1.5", "0 to 1"}},
        BadConfig{"FaultRateIsNoNumber",
                  [](auto* c) {
                    c->mutable_transport()->mutable_faults()->mutable_corrupt()->set_rate(NAN);
                  },
                  {"transport.faults.corrupt.rate", "nan", "0 to 1"}},
        BadConfig{"FaultDelays",
                  [](auto* c) {
                    c->mutable_transport()->mutable_faults()->set_delay_ms_min(20);
                    c->mutable_transport()->mutable_faults()->set_delay_ms_max(10);
                  },
                  {"transport.faults.delay_ms_min", "20", "10", "at least"}},
        BadConfig{
            "FaultDelayTooLong",
            [](auto* c) { c->mutable_transport()->mutable_faults()->set_delay_ms_max(3'600'001); },
            {"transport.faults.delay_ms_max", "3600001", "0 to 3600000"}},
        BadConfig{"Level",
                  [](auto* c) { c->mutable_log()->set_level(static_cast<v1::Log::Level>(9)); },
                  {"log.level", "9", "LEVEL_WARNING"}},
        BadConfig{"Format",
                  [](auto* c) { c->mutable_log()->set_format(static_cast<v1::Log::Format>(7)); },
                  {"log.format", "7", "FORMAT_JSON"}},
        BadConfig{"ZeroByte",
                  [](auto* c) { c->set_state_directory(std::string("/a\0b", 4)); },
                  {"state_directory", "zero byte"}}),
    [](const auto& info) { return info.param.name; });

TEST(ConfigLimits, EndsAreAllowed) {
  v1::DaemonConfig config = ApplyDefaults({});
  config.mutable_limits()->set_runs_max(1024);
  config.mutable_limits()->set_segments_max(65536);
  config.mutable_limits()->set_arena_bytes_max(uint64_t{1} << 20);
  config.mutable_membership()->set_sync_interval_ms(50);
  config.set_attach_socket("/" + std::string(106, 'a'));
  config.set_listen_address("10.0.0.1:0");
  config.set_insecure_plaintext(true);
  EXPECT_TRUE(ValidateConfig(config).ok()) << ValidateConfig(config);
}

// Each field of the message reaches the field of the transport that bears its name.
TEST(ConfigFaults, ReachTheTransport) {
  v1::FaultConfig config;
  config.set_seed(7);
  config.mutable_fail_pull()->set_nth(1);
  config.mutable_drop_request()->set_nth(2);
  config.mutable_drop_answer()->set_nth(3);
  config.mutable_fail_send()->set_nth(4);
  config.mutable_corrupt()->set_nth(5);
  config.mutable_tear()->set_nth(6);
  config.mutable_tear()->set_rate(0.25);
  config.mutable_drop_cancel()->set_nth(10);
  config.mutable_duplicate_request()->set_nth(11);
  config.mutable_duplicate_answer()->set_nth(12);
  config.mutable_duplicate_send()->set_nth(13);
  config.mutable_stop_pull()->set_nth(14);
  config.mutable_stop_send()->set_nth(15);
  config.set_delay_ms_min(8);
  config.set_delay_ms_max(9);
  ASSERT_TRUE(CheckFaults(config).ok());
  const FaultOptions options = FaultOptionsOf(config);
  EXPECT_EQ(options.seed, 7u);
  EXPECT_EQ(options.fail_pull.nth, 1u);
  EXPECT_EQ(options.drop_request.nth, 2u);
  EXPECT_EQ(options.drop_answer.nth, 3u);
  EXPECT_EQ(options.fail_send.nth, 4u);
  EXPECT_EQ(options.corrupt.nth, 5u);
  EXPECT_EQ(options.tear.nth, 6u);
  EXPECT_EQ(options.tear.rate, 0.25);
  EXPECT_EQ(options.drop_cancel.nth, 10u);
  EXPECT_EQ(options.duplicate_request.nth, 11u);
  EXPECT_EQ(options.duplicate_answer.nth, 12u);
  EXPECT_EQ(options.duplicate_send.nth, 13u);
  EXPECT_EQ(options.stop_pull.nth, 14u);
  EXPECT_EQ(options.stop_send.nth, 15u);
  EXPECT_EQ(options.delay_ms_min, 8u);
  EXPECT_EQ(options.delay_ms_max, 9u);
}

}  // namespace
}  // namespace weightmesh
