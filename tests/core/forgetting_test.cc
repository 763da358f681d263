// What a daemon forgets: silent nodes beyond the limit, and runs whose name is used again.
#include <gtest/gtest.h>

#include <algorithm>

#include "daemon/core/membership.h"
#include "daemon/core/node_core.h"
#include "tests/testing/core_harness.h"

namespace weightmesh {
namespace {

using attach::ReplyCode;
using testing_support::CoreHarness;

class ForgettingTest : public testing::Test {
 protected:
  ForgettingTest() { harness_.peers_answer_syncs = false; }

  // Node k comes, links, and breaks its link.
  void ComeAndGo(uint32_t k) {
    SyncMessage hello;
    hello.sequence = 1;
    hello.self = harness_.InfoOf(k);
    harness_.Step(SyncReceived{hello});
    harness_.Step(LinkReady{CoreHarness::NodeOf(k), hello.self.session});
    harness_.Step(LinkDown{CoreHarness::NodeOf(k), "killed"});
  }
  bool Knows(uint32_t k) { return harness_.core().Knows(CoreHarness::NodeOf(k)); }

  CoreHarness harness_;
};

TEST_F(ForgettingTest, SilentNodesBeyondTheLimitAreForgottenTheOldestFirst) {
  for (uint32_t k = 1; k <= kSilentPeersMax + 3; ++k) {
    ComeAndGo(k);
    harness_.now += absl::Milliseconds(1);
  }
  harness_.Advance(absl::Milliseconds(300));
  std::vector<NodeId> forgotten;
  for (const ForgetNode& action : harness_.All<ForgetNode>()) forgotten.push_back(action.node);
  ASSERT_EQ(forgotten, (std::vector<NodeId>{CoreHarness::NodeOf(1), CoreHarness::NodeOf(2),
                                            CoreHarness::NodeOf(3)}));
  EXPECT_EQ(harness_.All<ForgetNode>()[0].address, CoreHarness::AddressOf(1));
  EXPECT_FALSE(Knows(3));
  EXPECT_TRUE(Knows(4));
  EXPECT_EQ(harness_.core().Links().size(), kSilentPeersMax);
  harness_.Advance(kSilentPeerKept);
  EXPECT_TRUE(harness_.core().Links().empty());
  EXPECT_FALSE(Knows(kSilentPeersMax + 3));
}

TEST_F(ForgettingTest, WhoAnswersOrHasAPartInARunIsRemembered) {
  harness_.peers_answer_syncs = true;
  harness_.StartRun(1);  // with node 1
  harness_.peers_answer_syncs = false;
  harness_.Step(LinkDown{CoreHarness::NodeOf(1), "killed"});
  harness_.now += absl::Milliseconds(1);
  for (uint32_t k = 2; k <= kSilentPeersMax + 20; ++k) ComeAndGo(k);
  SyncMessage again;
  again.sequence = 2;
  again.self = harness_.InfoOf(2);
  harness_.Step(SyncReceived{again});
  harness_.Advance(absl::Milliseconds(300));
  EXPECT_FALSE(harness_.All<ForgetNode>().empty());
  EXPECT_TRUE(Knows(1));
  EXPECT_TRUE(Knows(2));
}

TEST_F(ForgettingTest, ALinkToWhoWasForgottenMeanwhileIsDropped) {
  harness_.Step(LinkReady{CoreHarness::NodeOf(5), 105});
  EXPECT_EQ(harness_.Only<ForgetNode>().node, CoreHarness::NodeOf(5));
}

TEST_F(ForgettingTest, WhoOffersALinkIsKnownUpToTheLimitOfNodes) {
  harness_.options.nodes_max = 3;
  for (uint32_t k = 1; k <= 5; ++k) harness_.Step(LinkOffered{harness_.InfoOf(k)});
  EXPECT_TRUE(Knows(1));
  EXPECT_TRUE(Knows(2));
  EXPECT_FALSE(Knows(3));
  EXPECT_FALSE(Knows(0)) << "oneself is nobody else";
}

// --- runs ---

TEST_F(ForgettingTest, TheNameOfARunIsFreeOnceNobodyOfItIsLeft) {
  harness_.peers_answer_syncs = true;
  harness_.StartRun(2);
  harness_.Step(TrainerGone{CoreHarness::kAttach});
  harness_.Hear(1, ReplicaState::kLeft);
  harness_.Step(harness_.AttachEvent(AttachId{2}));
  EXPECT_EQ(harness_.Only<RefuseAttach>().code, ReplyCode::kTooLate) << "replica 2 lives";
  harness_.Hear(2, ReplicaState::kLeft);
  harness_.Step(harness_.AttachEvent(AttachId{2}));
  EXPECT_EQ(harness_.Only<RefuseAttach>().code, ReplyCode::kTooLate)
      << "nodes 1 and 2 do not know that it is over";
  for (uint32_t k = 1; k <= 2; ++k) {
    SyncMessage message = harness_.MessageOf(k, ReplicaState::kLeft, {0, 1, 2}, true);
    message.runs[0].ended = true;
    harness_.Step(SyncReceived{message});
  }
  harness_.founding.config.seed = 99;  // another founding record, even
  harness_.Step(harness_.AttachEvent(AttachId{3}));
  EXPECT_EQ(harness_.All<AdmitReplica>().size(), 1u);
  EXPECT_FALSE(harness_.core().Runs()[0].started);
}

// Node 1 is where the name is used again, and here nobody is left: what it founds is taken over.
TEST_F(ForgettingTest, ARunThatIsOverGivesWayToWhoUsesItsNameAgain) {
  harness_.peers_answer_syncs = true;
  harness_.StartRun(1);
  harness_.Step(TrainerGone{CoreHarness::kAttach});
  EXPECT_FALSE(harness_.core().MakeSync().runs[0].ended) << "replica 1 lives";
  harness_.Hear(1, ReplicaState::kDead);
  EXPECT_TRUE(harness_.core().MakeSync().runs[0].ended);
  harness_.Step(SyncReceived{harness_.MessageOf(1, ReplicaState::kWaiting, {1}, false)});
  EXPECT_FALSE(harness_.core().Runs()[0].started);
  EXPECT_EQ(harness_.core().Runs()[0].replicas, 1u);
}

// Here the name is used again, and node 1 still tells of the run before.
TEST_F(ForgettingTest, ARunThatIsOverElsewhereStartsNobody) {
  harness_.founding.config.replicas_min = 2;
  harness_.Step(harness_.AttachEvent());
  SyncMessage before = harness_.MessageOf(1, ReplicaState::kDead, {0, 1}, true);
  before.runs[0].ended = true;
  harness_.Step(SyncReceived{before});
  EXPECT_FALSE(harness_.core().Runs()[0].started);
  EXPECT_EQ(harness_.core().Runs()[0].replicas, 1u);
}

}  // namespace
}  // namespace weightmesh
