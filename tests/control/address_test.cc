// Addresses, the plaintext guard, protocol versions and the cache of channels.
#include "daemon/control/address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "daemon/control/lru_cache.h"
#include "daemon/control/plaintext.h"
#include "daemon/control/protocol_version.h"

namespace weightmesh {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string Said(const absl::Status& status) { return std::string(status.message()); }

TEST(Address, RoundTrips) {
  for (const char* text :
       {"127.0.0.1:7473", "node-1.example:0", "[::1]:65535", "[fe80::1%eth0]:1"}) {
    const absl::StatusOr<HostPort> parsed = ParseHostPort(text);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(FormatHostPort(*parsed), text);
  }
}

TEST(Address, RefusesOthersAndSaysWhy) {
  const struct {
    const char* text;
    const char* why;
  } cases[] = {{"", "the port is missing"},        {"host", "the port is missing"},
               {":1", "the host is missing"},      {"host:", "must be a number"},
               {"host:65536", "must be a number"}, {"host:+1", "must be a number"},
               {"host:1x", "must be a number"},    {"::1:7473", "needs brackets"},
               {"[]:1", "wrong character"},        {"[host]:1", "no IPv6 address"},
               {"a b:1", "wrong character"},       {"unix:///tmp/x:1", "needs brackets"},
               {"a/b:1", "wrong character"}};
  for (const auto& c : cases) {
    const absl::StatusOr<HostPort> parsed = ParseHostPort(c.text);
    ASSERT_FALSE(parsed.ok()) << c.text;
    EXPECT_THAT(Said(parsed.status()), AllOf(HasSubstr(c.why), HasSubstr("10.0.0.1:7473")));
  }
}

TEST(Address, Loopback) {
  for (const char* host :
       {"localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"}) {
    EXPECT_TRUE(IsLoopbackHost(host)) << host;
  }
  for (const char* host : {"0.0.0.0", "::", "10.0.0.1", "128.0.0.1", "localhost.evil.example",
                           "127.0.0.1.evil.example", "::ffff:10.0.0.1", ""}) {
    EXPECT_FALSE(IsLoopbackHost(host)) << host;
  }
}

TEST(Plaintext, LoopbackOrSaidInWords) {
  v1::DaemonConfig config;
  config.set_listen_address("127.0.0.1:0");
  EXPECT_TRUE(CheckPlaintext(config).ok());
  config.set_listen_address("[::1]:7473");
  EXPECT_TRUE(CheckPlaintext(config).ok());
  config.set_listen_address("0.0.0.0:7473");
  const absl::Status refused = CheckPlaintext(config);
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Said(refused),
              AllOf(HasSubstr("DaemonConfig.listen_address"), HasSubstr("0.0.0.0:7473"),
                    HasSubstr("insecure_plaintext: true")));
  config.set_insecure_plaintext(true);
  EXPECT_TRUE(CheckPlaintext(config).ok());
  config.set_listen_address("nowhere");
  EXPECT_THAT(Said(CheckPlaintext(config)), HasSubstr("DaemonConfig.listen_address"));
}

TEST(ProtocolVersion, NamesBothAndTheCure) {
  EXPECT_TRUE(CheckPeerProtocolVersion(kPeerProtocolVersion, "weightmeshd 0.1.0").ok());
  const absl::Status refused =
      CheckPeerProtocolVersion(kPeerProtocolVersion + 1, "weightmeshd 9 at h:1");
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Said(refused),
            absl::StrCat("weightmeshd 9 at h:1 speaks peer protocol version ",
                         kPeerProtocolVersion + 1, ", this daemon version ", kPeerProtocolVersion,
                         "; run the same weightmeshd release on all nodes"));
}

TEST(LruCache, ForgetsWhatWasUsedLongestAgo) {
  LruCache<int> cache(2);
  int made = 0;
  const auto make = [&made] { return ++made; };
  EXPECT_EQ(cache.FindOrMake("a", make), 1);
  EXPECT_EQ(cache.FindOrMake("b", make), 2);
  EXPECT_EQ(cache.FindOrMake("a", make), 1);
  EXPECT_EQ(cache.FindOrMake("c", make), 3);  // "b" goes
  EXPECT_EQ(cache.size(), 2u);
  EXPECT_EQ(cache.FindOrMake("a", make), 1);
  EXPECT_EQ(cache.FindOrMake("b", make), 4);
}

TEST(LruCache, WhatIsTakenIsMadeAnew) {
  LruCache<int> cache(2);
  cache.FindOrMake("a", [] { return 1; });
  cache.FindOrMake("b", [] { return 2; });
  EXPECT_EQ(cache.Take("a"), 1);
  EXPECT_EQ(cache.Take("a"), 0);
  EXPECT_EQ(cache.size(), 1u);
  EXPECT_EQ(cache.FindOrMake("a", [] { return 3; }), 3);
  EXPECT_EQ(cache.FindOrMake("b", [] { return 4; }), 2) << "nothing else went";
}

}  // namespace
}  // namespace weightmesh
