// Links of a daemon as its core makes and drops them.
#include "daemon/runtime/data_plane.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "daemon/transport/loopback.h"

namespace weightmesh {
namespace {

NodeInfo InfoOf(uint64_t k) {
  return NodeInfo{NodeId{k, k}, 100 + k, "node" + std::to_string(k) + ":7070", "test"};
}

// One daemon's executor and links, over an in-process transport.
struct Side {
  Side(const LoopbackHub& hub, uint64_t k)
      : data_plane(InfoOf(k), {"loopback", std::make_unique<LoopbackTransport>(hub), {}, nullptr},
                   executor.get(), [](const Event&) {}) {
    EXPECT_TRUE(data_plane.Start().ok());
  }

  std::unique_ptr<Executor> executor = *Executor::Create();
  DataPlane data_plane;
};

// Paths are told by the transport's thread.
bool AwaitPathTo(const DataPlane& data_plane, NodeId peer, bool wanted) {
  for (int k = 0; k < 4000; ++k) {
    bool there = false;
    for (const PathReport& path : data_plane.Paths()) there |= path.peer == peer;
    if (there == wanted) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

TEST(DataPlane, AForgottenPeersLinkIsClosedAndItsTokensAreNew) {
  LoopbackHub hub;
  Side ours(hub, 1), theirs(hub, 2);
  const NodeId peer = InfoOf(2).node_id;
  ASSERT_TRUE(ours.data_plane.Link(theirs.data_plane.OfferTo(InfoOf(1).node_id)).ok());
  ASSERT_TRUE(AwaitPathTo(ours.data_plane, peer, true));
  const uint64_t token = ours.data_plane.OfferTo(peer).token;
  EXPECT_EQ(ours.data_plane.OfferTo(peer).token, token);

  ours.data_plane.Forget(peer);
  EXPECT_TRUE(AwaitPathTo(ours.data_plane, peer, false)) << "its link is still open";
  EXPECT_NE(ours.data_plane.OfferTo(peer).token, token);
}

}  // namespace
}  // namespace weightmesh
