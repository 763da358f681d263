// PeerClient against real servers, a dead port, and its own end.
#include "daemon/control/peer_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <future>
#include <memory>
#include <string>

#include "daemon/control/server.h"
#include "tests/control/await.h"
#include "tests/control/fake_mesh.h"
#include "tests/control/samples.h"

namespace weightmesh {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr absl::Duration kTimeout = absl::Seconds(15);

std::unique_ptr<ControlServer> StartServer(PeerHandler* handler,
                                           const std::string& address = "127.0.0.1:0") {
  static testing::FakeMeshSource source;
  auto server = ControlServer::Start(address, &source, handler);
  EXPECT_TRUE(server.ok()) << server.status();
  return server.ok() ? *std::move(server) : nullptr;
}

absl::StatusOr<NodeInfo> Probe(PeerClient* client, const std::string& address,
                               absl::Duration timeout = kTimeout) {
  return testing::Await<NodeInfo>(
      [&](auto done) { client->Probe(address, testing::SampleNode(0), timeout, std::move(done)); });
}

TEST(PeerClient, AsksAndReadsEveryKindOfCall) {
  testing::FakePeerHandler handler;
  const auto server = StartServer(&handler);
  PeerClient client({});
  const auto sync = testing::Await<SyncMessage>([&](auto done) {
    client.Sync(server->address(), testing::SampleSync(), kTimeout, std::move(done));
  });
  ASSERT_TRUE(sync.ok()) << sync.status();
  EXPECT_EQ(sync->self.node_id, testing::SampleNode(3).node_id);
  EXPECT_EQ(sync->runs.size(), 2u);
  const auto alive = Probe(&client, server->address());
  ASSERT_TRUE(alive.ok()) << alive.status();
  EXPECT_EQ(alive->session, testing::SampleNode(3).session);
  const auto gossip = testing::Await<swim::Message>([&](auto done) {
    client.Gossip(server->address(), testing::SampleGossip(), kTimeout, std::move(done));
  });
  ASSERT_TRUE(gossip.ok()) << gossip.status();
  EXPECT_EQ(gossip->from, testing::SampleNode(3));
  EXPECT_EQ(gossip->updates, testing::SampleGossip().updates);
  for (const uint64_t target : {1, 2}) {
    const auto told = testing::Await<IndirectProbeResult>([&](auto done) {
      client.IndirectProbe(
          server->address(),
          IndirectProbeQuery{testing::SampleGossip(), testing::SampleNode(target), kTimeout},
          std::move(done));
    });
    ASSERT_TRUE(told.ok()) << told.status();
    EXPECT_EQ(told->ack, target == 1);
  }
  const auto offer = testing::Await<LinkOffer>([&](auto done) {
    client.Connect(server->address(), testing::SampleOffer(), kTimeout, std::move(done));
  });
  ASSERT_TRUE(offer.ok()) << offer.status();
  EXPECT_EQ(offer->token, 1234u);
  EXPECT_EQ(offer->transport_address, testing::SampleOffer().transport_address);
}

TEST(PeerClient, AsksForASchemaInParts) {
  testing::FakePeerHandler handler;
  const auto server = StartServer(&handler);
  PeerClient client({});
  SchemaQuery query;
  query.self = testing::SampleNode(0);
  query.run_id = "letters";
  query.digest = Digest{1, 2};
  const auto ask = [&] {
    return testing::Await<SchemaPart>(
        [&](auto done) { client.GetSchema(server->address(), query, kTimeout, std::move(done)); });
  };
  const auto first = ask();
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_EQ(first->tensors.size(), 1u);
  EXPECT_EQ(first->tensors[0].name, "scalar\xff");
  EXPECT_TRUE(first->tensors[0].shape.empty());
  EXPECT_EQ(first->tensors_count, 2u);
  query.first_tensor = 1;
  query.first_bound = 5;
  const auto second = ask();
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->tensors[0].name, "letters");
  EXPECT_EQ(second->tensors[0].shape, (std::vector<uint64_t>{3, uint64_t{1} << 40}));
  EXPECT_EQ(second->bounds, (std::vector<uint64_t>{0, 14}));
  query.digest = Digest{3, 4};
  EXPECT_EQ(ask().status().code(), absl::StatusCode::kNotFound);
  query.run_id.clear();
  EXPECT_EQ(ask().status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(PeerClient, AsksForWhatWhoJoinsIsToBeGiven) {
  testing::FakePeerHandler handler;
  const auto server = StartServer(&handler);
  PeerClient client({});
  const auto ask = [&](const std::string& run_id) {
    return testing::Await<std::string>([&](auto done) {
      client.GetBlob(server->address(), testing::SampleNode(0), run_id, kTimeout, std::move(done));
    });
  };
  const auto blob = ask("run");
  ASSERT_TRUE(blob.ok()) << blob.status();
  EXPECT_EQ(*blob, std::string("\0step 7\xff", 8)) << "any bytes";
  EXPECT_EQ(ask("letters").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ask("").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(PeerClient, ADeadPortFailsFastAndByName) {
  testing::FakePeerHandler handler;
  auto server = StartServer(&handler);
  const std::string address = server->address();
  server.reset();
  PeerClient client({});
  // Far below the timeout of the call, or Await would give up with another code.
  const auto dead = Probe(&client, address, absl::Hours(1));
  EXPECT_EQ(dead.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(dead.status().message()), HasSubstr("Probe with " + address));
}

TEST(PeerClient, FindsADaemonThatComesBack) {
  testing::FakePeerHandler handler;
  auto server = StartServer(&handler);
  const std::string address = server->address();
  PeerClient client({});
  ASSERT_TRUE(Probe(&client, address).ok());
  server.reset();
  EXPECT_FALSE(Probe(&client, address).ok());
  server = StartServer(&handler, address);
  absl::StatusOr<NodeInfo> alive = absl::UnknownError("not asked yet");
  const absl::Time give_up = absl::Now() + absl::Seconds(20);
  while (!alive.ok() && absl::Now() < give_up) alive = Probe(&client, address);
  EXPECT_TRUE(alive.ok()) << alive.status();
}

TEST(PeerClient, AnswersToWrongAddressesAtOnce) {
  PeerClient client({});
  const auto wrong = Probe(&client, "unix:/tmp/x");
  EXPECT_EQ(wrong.status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(PeerClient, ThePeersRefusalComesThrough) {
  testing::FakePeerHandler handler;
  const auto server = StartServer(&handler);
  PeerClient client({});
  LinkOffer offer = testing::SampleOffer();
  offer.transport_kind = "loopback";
  const auto refused = testing::Await<LinkOffer>(
      [&](auto done) { client.Connect(server->address(), offer, kTimeout, std::move(done)); });
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.status().message()),
              AllOf(HasSubstr(server->address()), HasSubstr("this daemon's transport is ucx")));
}

// Answers without an address: what a peer of a wrong build might do.
class MalformedHandler : public testing::FakePeerHandler {
 public:
  void OnProbe(NodeInfo, Done<NodeInfo> done) override {
    NodeInfo node = testing::SampleNode(3);
    node.control_address.clear();
    done(node);
  }
};

TEST(PeerClient, MalformedAnswersAreFailures) {
  MalformedHandler handler;
  const auto server = StartServer(&handler);
  PeerClient client({});
  const auto wrong = Probe(&client, server->address());
  EXPECT_EQ(wrong.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(wrong.status().message()), HasSubstr("control_address is empty"));
}

// Keeps the one probe that it is asked, and does not answer by itself.
class SilentHandler : public testing::FakePeerHandler {
 public:
  void OnProbe(NodeInfo, Done<NodeInfo> done) override { asked_.set_value(std::move(done)); }

  // The `done` of that probe; null after 20 s.
  Done<NodeInfo> WaitUntilAsked() {
    auto future = asked_.get_future();
    if (future.wait_for(std::chrono::seconds(20)) != std::future_status::ready) return nullptr;
    return future.get();
  }

 private:
  std::promise<Done<NodeInfo>> asked_;
};

TEST(PeerClient, SilenceEndsAtTheTimeout) {
  SilentHandler handler;
  const auto server = StartServer(&handler);
  PeerClient client({});
  const auto silent = Probe(&client, server->address(), absl::Milliseconds(50));
  EXPECT_EQ(silent.status().code(), absl::StatusCode::kDeadlineExceeded);
}

// Sockets of this process; the client's to the server, and the server's end of it, among them.
size_t Descriptors() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    ++count;
  }
  return count;
}

TEST(PeerClient, ForgettingAnAddressClosesItsConnection) {
  testing::FakePeerHandler handler;
  const auto server = StartServer(&handler);
  PeerClient client({});
  ASSERT_TRUE(Probe(&client, server->address()).ok());
  const size_t connected = Descriptors();
  client.Forget(server->address());
  for (int k = 0; k < 4000 && Descriptors() >= connected; ++k)
    absl::SleepFor(absl::Milliseconds(5));
  EXPECT_LT(Descriptors(), connected);
}

TEST(PeerClient, ItsEndCancelsAndWaitsForEveryCall) {
  SilentHandler handler;
  const auto server = StartServer(&handler);
  std::atomic<bool> ended = false;
  auto client = std::make_unique<PeerClient>(PeerClientOptions{});
  client->Probe(server->address(), testing::SampleNode(0), absl::Hours(1),
                [&ended](absl::StatusOr<NodeInfo> result) {
                  EXPECT_EQ(result.status().code(), absl::StatusCode::kCancelled);
                  ended = true;
                });
  const auto never_called = handler.WaitUntilAsked();
  ASSERT_NE(never_called, nullptr);
  client.reset();
  EXPECT_TRUE(ended);
}

TEST(PeerClient, RefusesMoreCallsThanItsLimit) {
  SilentHandler handler;
  const auto server = StartServer(&handler);
  PeerClient client({.channels_max = 1, .calls_max = 1});
  client.Probe(server->address(), testing::SampleNode(0), absl::Hours(1), [](auto) {});
  const auto second = Probe(&client, server->address());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(PeerClient, AChannelThatTheCacheDropsServesItsCallsToTheEnd) {
  SilentHandler silent;
  testing::FakePeerHandler handler;
  const auto first = StartServer(&silent);
  const auto second = StartServer(&handler);
  PeerClient client({.channels_max = 1, .calls_max = 8});
  const auto alive = testing::Await<NodeInfo>([&](auto done) {
    client.Probe(first->address(), testing::SampleNode(0), kTimeout, std::move(done));
    const auto answer = silent.WaitUntilAsked();
    ASSERT_NE(answer, nullptr);
    EXPECT_TRUE(Probe(&client, second->address()).ok());  // drops the channel to `first`
    answer(testing::SampleNode(2));
  });
  EXPECT_TRUE(alive.ok()) << alive.status();
}

TEST(PeerClient, ReachesIpv6) {
  testing::FakePeerHandler handler;
  testing::FakeMeshSource source;
  const auto server = ControlServer::Start("[::1]:0", &source, &handler);
  if (!server.ok()) GTEST_SKIP() << "no IPv6 here: " << server.status();
  PeerClient client({});
  const auto alive = Probe(&client, (*server)->address());
  EXPECT_TRUE(alive.ok()) << alive.status();
}

}  // namespace
}  // namespace weightmesh
