// What a daemon says over the control plane that it cannot know, or that is not so.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "daemon/core/node_core.h"
#include "tests/testing/core_harness.h"

namespace weightmesh {
namespace {

using testing::HasSubstr;
using testing_support::CoreHarness;

constexpr uint32_t kLiar = 1;

ReplicaInfo ReplicaNamed(const std::string& name, ReplicaState state) {
  ReplicaInfo info;
  info.replica_id = MakeReplicaId("run", name);
  info.name = name;
  info.state = state;
  return info;
}

class HostileSync : public testing::Test {
 protected:
  NodeId HostOf(uint32_t replica) {
    for (const ReplicaSnapshot& row : harness_.core().Topology(harness_.now, "run").replicas) {
      if (row.info.replica_id == CoreHarness::ReplicaOf(replica)) return row.node;
    }
    return {};
  }
  // The liar says that `replica` lives on it, in a run that has started.
  void Claim(uint32_t replica) {
    SyncMessage message = harness_.MessageOf(kLiar, ReplicaState::kActive, {0, 1, 2, 3}, true);
    message.runs[0].replicas.push_back(
        ReplicaNamed(CoreHarness::NameOf(replica), ReplicaState::kActive));
    harness_.Step(SyncReceived{message});
  }

  CoreHarness harness_;
};

TEST_F(HostileSync, AFounderThatHasSpokenForItselfCannotBeClaimedByAnother) {
  harness_.StartRun(3);
  Claim(2);
  EXPECT_EQ(HostOf(2), CoreHarness::NodeOf(2)) << "it answers";
  harness_.Step(LinkDown{CoreHarness::NodeOf(2), "reset"});
  Claim(2);
  EXPECT_EQ(HostOf(2), CoreHarness::NodeOf(2)) << "silent, and still its own";
  harness_.Hear(2);
  EXPECT_EQ(HostOf(2), CoreHarness::NodeOf(2));
}

TEST_F(HostileSync, ADeadReplicaOfOnesOwnCannotBeClaimed) {
  harness_.StartRun(3);
  harness_.Step(TrainerGone{CoreHarness::kAttach});
  Claim(0);
  EXPECT_EQ(HostOf(0), CoreHarness::NodeOf(0));
}

TEST_F(HostileSync, ARunHoldsSoManyReplicasAndNoMore) {
  SyncMessage message = harness_.MessageOf(kLiar, ReplicaState::kWaiting, {1}, false);
  for (uint32_t k = 1; k < kReplicasPerRunMax; ++k) {
    message.runs[0].replicas.push_back(
        ReplicaNamed(absl::StrCat("made-up/", k), ReplicaState::kWaiting));
  }
  harness_.Step(SyncReceived{message});
  EXPECT_EQ(harness_.core().Runs()[0].replicas, kReplicasPerRunMax);
  harness_.Step(SyncReceived{harness_.MessageOf(2, ReplicaState::kWaiting, {2}, false)});
  EXPECT_EQ(harness_.core().Runs()[0].replicas, kReplicasPerRunMax);
}

TEST_F(HostileSync, ALinkIsOfferedByTheNewestSessionOfAnotherNode) {
  harness_.StartRun(2);
  NodeInfo peer = harness_.InfoOf(1);
  EXPECT_TRUE(harness_.core().CheckLinkOffer(peer).ok());
  ++peer.session;
  EXPECT_EQ(harness_.core().CheckLinkOffer(peer).code(), absl::StatusCode::kFailedPrecondition);
  const absl::Status own = harness_.core().CheckLinkOffer(harness_.InfoOf(0));
  EXPECT_EQ(own.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(own.message()), HasSubstr("a state directory of its own"));
  EXPECT_TRUE(harness_.core().CheckLinkOffer(harness_.InfoOf(7)).ok()) << "it may be new";
}

// A link may have been made to an address that somebody else told: the node itself is asked.
TEST_F(HostileSync, ABrokenLinkIsMadeAnewByTheNodesOwnWord) {
  harness_.StartRun(2);
  const auto asks = [this] {
    harness_.Advance(absl::Seconds(2));
    const std::vector<Connect> asked = harness_.All<Connect>();
    return std::count_if(asked.begin(), asked.end(), [](const Connect& connect) {
      return connect.node == CoreHarness::NodeOf(1);
    });
  };
  EXPECT_EQ(asks(), 0);
  harness_.Step(LinkDown{CoreHarness::NodeOf(1), "the peer's transport address is rubbish"});
  EXPECT_EQ(asks(), 1);
  harness_.Step(LinkReady{CoreHarness::NodeOf(1), harness_.InfoOf(1).session});
  harness_.Step(LinkDoubted{CoreHarness::NodeOf(1)});
  EXPECT_EQ(asks(), 1) << "nor is an offer believed that contradicts it";
}

}  // namespace
}  // namespace weightmesh
