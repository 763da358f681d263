// What only the UCX transport does: settings, endpoints that come and go, and errors with a cure.
#include "daemon/transport/ucx/ucx_transport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/transport/transport_node.h"

namespace weightmesh {
namespace {

using testing::HasSubstr;

bool Eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

// A node on the loopback interface, with its transport at hand.
struct UcxNode {
  explicit UcxNode(uint64_t number, size_t endpoints_max = 256) {
    UcxOptions options;
    options.control_ip = "127.0.0.1";
    options.endpoints_max = endpoints_max;
    auto made = NewUcxTransport(options);
    EXPECT_TRUE(made.ok()) << made.status();
    transport = made->get();
    node = std::make_unique<TransportNode>(number, *std::move(made));
  }

  UcxTransport* transport;
  std::unique_ptr<TransportNode> node;
};

// Pulls 1000 bytes; the source has answered `nth` requests before.
void PullOnce(TransportNode& reader, TransportNode& source, size_t nth) {
  const auto landing = reader.Allocate(1000);
  const RequestId pull = reader.Pull(source, landing);
  source.Send(source.WaitForRequest(nth), source.AllocatePattern(1000, nth));
  EXPECT_EQ(reader.WaitForEnd(pull), PullEnd::kLanded);
  EXPECT_TRUE(HoldsPattern(landing, nth));
}

// UCX 1.13 aborts when an endpoint is closed on which it has not sent its own reply yet.
TEST(UcxTransportTest, LinksAreCutWhileTheyAreBeingConnected) {
  UcxNode busy(1), hasty(2);
  busy.node->sink().PauseBatches(std::chrono::milliseconds(30));
  const auto landing = hasty.node->Allocate(1000);
  const auto landing_of_busy = busy.node->Allocate(1000);
  for (int k = 0; k < 60; ++k) {
    Link(*busy.node, *hasty.node);
    const RequestId asked = busy.node->Pull(*hasty.node, landing_of_busy);
    std::this_thread::sleep_for(std::chrono::milliseconds(2 * k));
    const RequestId pull = hasty.node->Pull(*busy.node, landing);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    hasty.node->transport().Disconnect(busy.node->id(), true);
    EXPECT_EQ(hasty.node->WaitForEnd(pull), PullEnd::kFailed);
    busy.node->transport().Disconnect(hasty.node->id(), true);
    EXPECT_EQ(busy.node->WaitForEnd(asked), PullEnd::kFailed);
  }
  busy.node->sink().PauseBatches(std::chrono::milliseconds(0));
  Link(*busy.node, *hasty.node);
  const RequestId pull = hasty.node->Pull(*busy.node, landing);
  PullRequest request;
  EXPECT_TRUE(busy.node->sink().WaitFor([&](const RecordingSink& sink) {
    if (!sink.requests.empty()) request = sink.requests.back();
    return request.request_id == pull;
  }));
  busy.node->Send(request, busy.node->AllocatePattern(1000, 7));
  EXPECT_EQ(hasty.node->WaitForEnd(pull), PullEnd::kLanded);
  EXPECT_TRUE(HoldsPattern(landing, 7));
}

TEST(UcxTransportTest, NamesTheCureForWrongDevices) {
  const auto device = NewUcxTransport({.network_devices = "nosuch0", .control_ip = ""});
  EXPECT_EQ(device.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(device.status().message()), HasSubstr("'nosuch0'"));
  const auto address = NewUcxTransport({.network_devices = "", .control_ip = "203.0.113.7"});
  EXPECT_EQ(address.status().code(), absl::StatusCode::kNotFound);
}

TEST(UcxTransportTest, ShowsItsSettingsAndLetsTheUserWin) {
  const UcxNode plain(1);
  EXPECT_EQ(plain.transport->settings().at("UCX_NET_DEVICES"), "lo (weightmesh)");
  EXPECT_EQ(plain.transport->settings().at("UCX_MEMTYPE_CACHE"), "n (weightmesh)");
  EXPECT_FALSE(plain.transport->settings().at("UCX version").empty());
  setenv("UCX_MEMTYPE_CACHE", "y", 1);
  const UcxNode changed(2);
  unsetenv("UCX_MEMTYPE_CACHE");
  EXPECT_EQ(changed.transport->settings().at("UCX_MEMTYPE_CACHE"), "y (environment)");
}

TEST(UcxTransportTest, ReportsThePathAndWhyItIsNotFaster) {
  UcxNode reader(1);
  UcxNode source(2);
  Link(*reader.node, *source.node);
  PullOnce(*reader.node, *source.node, 0);
  const std::vector<PathReport> paths = reader.transport->Paths();
  ASSERT_EQ(paths.size(), 1u);
  EXPECT_EQ(paths[0].device, "lo");
  EXPECT_EQ(paths[0].transport, "tcp");
  EXPECT_THAT(paths[0].reason, HasSubstr("this host"));
}

TEST(UcxTransportTest, ClosesTheLeastRecentlyUsedEndpoint) {
  UcxNode reader(1, 2);
  std::vector<std::unique_ptr<UcxNode>> sources;
  for (uint64_t i = 0; i < 4; ++i) {
    sources.push_back(std::make_unique<UcxNode>(10 + i));
    Link(*reader.node, *sources.back()->node);
  }
  for (size_t round = 0; round < 5; ++round) {
    for (const auto& source : sources) {
      PullOnce(*reader.node, *source->node, round);
      EXPECT_LE(reader.transport->endpoints_open(), 2u);
    }
  }
  // Closing an idle endpoint is no break, on neither side.
  const auto no_break = [](const RecordingSink& sink) { return sink.links_down.empty(); };
  EXPECT_TRUE(reader.node->sink().WaitFor(no_break));
  for (const auto& source : sources) EXPECT_TRUE(source->node->sink().WaitFor(no_break));
}

TEST(UcxTransportTest, HasNoRoomWhenNoEndpointIsIdle) {
  UcxNode reader(1, 1);
  UcxNode busy(2);
  UcxNode other(3);
  Link(*reader.node, *busy.node);
  Link(*reader.node, *other.node);
  const RequestId open = reader.node->Pull(*busy.node, reader.node->Allocate(100));
  const PullRequest request = busy.node->WaitForRequest();
  EXPECT_EQ(reader.node->WaitForEnd(reader.node->Pull(*other.node, reader.node->Allocate(100))),
            PullEnd::kNoRoom);
  EXPECT_TRUE(reader.node->sink().WaitFor(
      [](const RecordingSink& sink) { return sink.links_down.empty(); }));
  busy.node->Answer(request, wire::Verdict::kGone);
  EXPECT_EQ(reader.node->WaitForEnd(open), PullEnd::kNoData);
  PullOnce(*reader.node, *other.node, 0);
}

TEST(UcxTransportTest, HasNoRoomForAPullWithoutAFrameToAskBy) {
  auto without_frames =
      NewUcxTransport({.network_devices = "", .control_ip = "127.0.0.1", .frames_max = 0});
  ASSERT_TRUE(without_frames.ok()) << without_frames.status();
  TransportNode reader(1, *std::move(without_frames));
  UcxNode source(2);
  Link(reader, *source.node);
  EXPECT_EQ(reader.WaitForEnd(reader.Pull(*source.node, reader.Allocate(100))), PullEnd::kNoRoom);
  reader.Stop();
  EXPECT_TRUE(reader.sink().links_down.empty());
}

TEST(UcxTransportTest, AnAddressThatIsNoneBreaksTheLink) {
  UcxNode reader(1);
  const NodeId peer{5, 5};
  std::string damaged = reader.transport->address();
  damaged.back() ^= 1;
  std::string cut = reader.transport->address();
  cut.resize(cut.size() - 1);
  size_t breaks = 0;
  for (const std::string& address : {std::string(), std::string("loopback:1"), damaged, cut}) {
    reader.transport->Connect({peer, address, 1, 2});
    EXPECT_EQ(reader.node->WaitForEnd(reader.node->PullFrom(peer, reader.node->Allocate(100))),
              PullEnd::kFailed);
    ++breaks;
    EXPECT_TRUE(reader.node->sink().WaitFor(
        [&](const RecordingSink& sink) { return sink.links_down.size() == breaks; }));
  }
}

// UCX believes an address whatever is in it, and may crash: ours says itself whether it is whole.
TEST(UcxTransportTest, EveryByteOfAnAddressIsChecked) {
  UcxNode node(1);
  const std::string address = node.transport->address();
  EXPECT_TRUE(node.transport->CheckAddress(address).ok());
  for (size_t at = 0; at < address.size(); ++at) {
    for (const int flip : {0x01, 0x80, 0xff}) {
      std::string damaged = address;
      damaged[at] = static_cast<char>(damaged[at] ^ flip);
      EXPECT_EQ(node.transport->CheckAddress(damaged).code(), absl::StatusCode::kInvalidArgument);
    }
    EXPECT_FALSE(node.transport->CheckAddress(address.substr(0, at)).ok());
    EXPECT_FALSE(node.transport->CheckAddress(address.substr(at + 1)).ok());
  }
  EXPECT_FALSE(node.transport->CheckAddress(address + "x").ok());
}

TEST(UcxTransportTest, CountsDataThatCameTooLate) {
  UcxNode reader(1);
  UcxNode source(2);
  Link(*reader.node, *source.node);
  const RequestId pull = reader.node->Pull(*source.node, reader.node->Allocate(1000));
  const PullRequest request = source.node->WaitForRequest();
  reader.transport->Cancel(pull);
  EXPECT_EQ(reader.node->WaitForEnd(pull), PullEnd::kCancelled);
  EXPECT_FALSE(source.node->WaitForSent(source.node->Send(request, source.node->Allocate(1000))));
  EXPECT_EQ(reader.transport->answers_unasked(), 1u);
  EXPECT_EQ(reader.transport->frames_refused(), 0u);
}

TEST(UcxTransportTest, AnswersBeyondTheLimitAreLostAndNothingElse) {
  UcxNode reader(1);
  UcxNode source(2);
  Link(*reader.node, *source.node);
  const RequestId pull = reader.node->Pull(*source.node, reader.node->Allocate(1000));
  const PullRequest request = source.node->WaitForRequest();
  for (int i = 0; i < 200000; ++i) source.node->Answer(request, wire::Verdict::kWaiting);
  source.node->Send(request, source.node->AllocatePattern(1000, 1));
  EXPECT_EQ(reader.node->WaitForEnd(pull), PullEnd::kLanded);
}

TEST(UcxTransportTest, ManyTransportsComeAndGo) {
  UcxNode reader(1);
  for (uint64_t i = 0; i < 10; ++i) {
    UcxNode source(2);
    Link(*reader.node, *source.node);
    PullOnce(*reader.node, *source.node, 0);
  }
  EXPECT_TRUE(Eventually([&] { return reader.transport->endpoints_open() <= 1; }));
}

}  // namespace
}  // namespace weightmesh
