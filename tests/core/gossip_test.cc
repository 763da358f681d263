// What a node makes of its failure detector: who is met, who is left out, and whose word counts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "daemon/core/node_core.h"
#include "tests/testing/core_harness.h"

namespace weightmesh {
namespace {

using swim::MemberState;
using testing::HasSubstr;
using testing_support::CoreHarness;

constexpr SessionId kOtherSession = 7;

class GossipTest : public testing::Test {
 protected:
  // What node k says, and of whom it tells.
  swim::Message From(uint32_t k, std::vector<swim::MemberUpdate> updates = {}) {
    swim::Message message;
    message.from = harness_.InfoOf(k);
    message.uptime = absl::Hours(1);
    message.incarnation = 1;
    message.updates = std::move(updates);
    return message;
  }
  swim::MemberUpdate Update(uint32_t k, MemberState state = MemberState::kAlive,
                            uint64_t incarnation = 1) {
    swim::MemberUpdate update;
    update.node = harness_.InfoOf(k);
    update.incarnation = incarnation;
    update.state = state;
    update.record_version = 1;
    return update;
  }
  // The answer to a call of node k.
  absl::StatusOr<swim::Message> Call(const swim::Message& message) {
    harness_.Step(GossipReceived{swim::CallId{++calls_}, message});
    const AnswerGossip answer = harness_.Only<AnswerGossip>();
    EXPECT_EQ(answer.call, swim::CallId{calls_});
    return answer.answer;
  }
  std::vector<Gossip> GossipTo(uint32_t k) {
    std::vector<Gossip> found;
    for (const Gossip& gossip : harness_.All<Gossip>()) {
      if (gossip.address == CoreHarness::AddressOf(k)) found.push_back(gossip);
    }
    return found;
  }
  bool LogSays(const std::string& text) {
    const std::vector<Log> logs = harness_.All<Log>();
    return std::any_of(logs.begin(), logs.end(),
                       [&](const Log& log) { return log.text.find(text) != std::string::npos; });
  }
  // Nodes 1, 2 and 3 are in the mesh, with a replica of the run each.
  void StartRunOfFour() {
    harness_.StartRun(3);
    for (uint32_t k = 1; k <= 3; ++k) ASSERT_TRUE(Call(From(k)).ok());
  }
  // The others have told that node k does not answer, and it was not heard of for long.
  void Bury(uint32_t k, uint32_t by) {
    harness_.now += absl::Minutes(1);
    ASSERT_TRUE(Call(From(by, {Update(k, MemberState::kDead)})).ok());
  }
  std::vector<ReplicaId> ViewOf(uint64_t round) {
    std::vector<ReplicaId> readers;
    const auto schedule = harness_.core().ScheduleOf("run", Round{round}, SegmentId{0});
    for (const AssignmentSnapshot& one : schedule->assignments) readers.push_back(one.reader);
    return readers;
  }
  // Another process of node 2 speaks for itself, without a replica yet.
  void SuccessorOfTwoSyncs() {
    SyncMessage message = harness_.MessageOf(2, ReplicaState::kActive, {0, 1, 2, 3}, true);
    message.self.session = kOtherSession;
    message.runs.clear();
    harness_.Step(SyncReceived{message});
  }
  NodeSnapshot NodeRow(uint32_t k) {
    const TopologySnapshot topology = harness_.core().Topology(harness_.now, "");
    for (const NodeSnapshot& node : topology.nodes) {
      if (node.info.node_id == CoreHarness::NodeOf(k)) return node;
    }
    return {};
  }
  bool IsReachable(uint32_t k) {
    const NodeSnapshot row = NodeRow(k);
    return row.info.node_id == CoreHarness::NodeOf(k) && row.reachable;
  }

  CoreHarness harness_;
  uint64_t calls_ = 0;
};

// --- who is met ---

TEST_F(GossipTest, WhoAnswersASyncIsBroughtAllThatThisNodeKnows) {
  SyncMessage seed;
  seed.sequence = 1;
  seed.self = harness_.InfoOf(1);
  harness_.now += absl::Seconds(5);
  harness_.Step(SyncAnswered{CoreHarness::AddressOf(1), seed});
  const Gossip gossip = harness_.Only<Gossip>();
  EXPECT_EQ(gossip.address, CoreHarness::AddressOf(1));
  EXPECT_EQ(gossip.probe, swim::ProbeId{});
  EXPECT_TRUE(gossip.message.whole);
  EXPECT_TRUE(gossip.message.wants_whole);
  EXPECT_EQ(gossip.message.from, harness_.InfoOf(0));

  ++seed.sequence;
  harness_.Step(GossipAnswered{gossip.address, gossip.probe, From(1)});
  harness_.Step(SyncAnswered{CoreHarness::AddressOf(1), seed});
  EXPECT_THAT(harness_.All<Gossip>(), testing::IsEmpty()) << "now it knows";
}

TEST_F(GossipTest, WhoWasHeldForDeadAndAnswersASyncIsBroughtItToo) {
  StartRunOfFour();
  Bury(2, 1);
  harness_.Step(SyncAnswered{CoreHarness::AddressOf(2),
                             harness_.MessageOf(2, ReplicaState::kActive, {0, 1, 2, 3}, true)});
  const std::vector<Gossip> told = GossipTo(2);
  EXPECT_TRUE(std::any_of(told.begin(), told.end(),
                          [](const Gossip& gossip) { return gossip.message.whole; }));
}

TEST_F(GossipTest, WhomOthersTellOfIsKnownAndSyncedWithAtOnce) {
  ASSERT_TRUE(Call(From(1, {Update(2)})).ok());
  EXPECT_TRUE(harness_.core().Knows(CoreHarness::NodeOf(1)));
  EXPECT_TRUE(harness_.core().Knows(CoreHarness::NodeOf(2)));
  harness_.Advance(absl::Milliseconds(1));
  std::vector<std::string> synced;
  for (const Sync& sync : harness_.All<Sync>()) synced.push_back(sync.address);
  EXPECT_THAT(synced,
              testing::IsSupersetOf({CoreHarness::AddressOf(1), CoreHarness::AddressOf(2)}));
}

TEST_F(GossipTest, MessagesTellHowLongThisProcessHasBeenUp) {
  harness_.core();
  harness_.now += absl::Seconds(5);
  const auto answer = Call(From(1));
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->uptime, absl::Seconds(5));
}

// --- who is gone ---

TEST_F(GossipTest, TheDeadAreLeftOutOfLaterViewsUntilASignOfLife) {
  StartRunOfFour();
  EXPECT_EQ(ViewOf(5).size(), 4u);
  Bury(2, 1);
  EXPECT_TRUE(LogSays("is dead: it did not answer"));
  EXPECT_FALSE(IsReachable(2));
  EXPECT_THAT(ViewOf(5), testing::Not(testing::Contains(CoreHarness::ReplicaOf(2))));
  EXPECT_EQ(ViewOf(5).size(), 3u);
  harness_.Hear(2);
  EXPECT_TRUE(IsReachable(2));
  EXPECT_EQ(ViewOf(5).size(), 4u);
}

// Where a cable was pulled, a link hangs long after it is plugged in again.
TEST_F(GossipTest, TheLinkToTheDeadIsCutAndMadeAnewWhenTheyAreBack) {
  StartRunOfFour();
  harness_.peers_answer_syncs = false;
  Bury(2, 1);
  EXPECT_EQ(harness_.Only<CutLink>().node, CoreHarness::NodeOf(2));
  ASSERT_TRUE(Call(From(3, {Update(2, MemberState::kDead)})).ok());
  EXPECT_THAT(harness_.All<CutLink>(), testing::IsEmpty()) << "once";
  harness_.Advance(absl::Seconds(1));
  EXPECT_THAT(harness_.All<Connect>(), testing::IsEmpty());
  harness_.Hear(2);
  harness_.Advance(absl::Seconds(1));
  EXPECT_EQ(harness_.Only<Connect>().node, CoreHarness::NodeOf(2));
}

TEST_F(GossipTest, WhereTheScheduleCannotLeaveThemOutTheyStayInTheView) {
  harness_.founding.config.schedule = ScheduleKind::kDerangement;
  StartRunOfFour();
  Bury(2, 1);
  EXPECT_FALSE(IsReachable(2));
  EXPECT_EQ(ViewOf(5).size(), 4u);
}

TEST_F(GossipTest, WhoRefutesIsBack) {
  StartRunOfFour();
  Bury(2, 1);
  ASSERT_TRUE(Call(From(1, {Update(2, MemberState::kAlive, 2)})).ok());
  EXPECT_TRUE(LogSays("is back in the mesh"));
  EXPECT_TRUE(IsReachable(2));
  EXPECT_EQ(ViewOf(5).size(), 4u);
}

TEST_F(GossipTest, WhoLeavesTheMeshIsGoneAtOnce) {
  StartRunOfFour();
  ASSERT_TRUE(Call(From(1, {Update(2, MemberState::kLeft)})).ok());
  EXPECT_TRUE(LogSays("has left the mesh"));
  EXPECT_EQ(ViewOf(5).size(), 3u);
  harness_.Hear(2);
  EXPECT_EQ(ViewOf(5).size(), 3u) << "its last words bring it not back";
  EXPECT_FALSE(IsReachable(2));
  swim::Message successor = From(2);
  successor.from.session = kOtherSession;
  successor.uptime = absl::ZeroDuration();
  successor.incarnation = 2;
  ASSERT_TRUE(Call(successor).ok());
  EXPECT_TRUE(IsReachable(2)) << "another process of it does";
}

TEST_F(GossipTest, WhoIsSaidToHaveLeftAndRefutesIsBack) {
  StartRunOfFour();
  ASSERT_TRUE(Call(From(1, {Update(2, MemberState::kLeft)})).ok());
  ASSERT_TRUE(Call(From(1, {Update(2, MemberState::kAlive, 2)})).ok());
  EXPECT_TRUE(IsReachable(2));
  harness_.Step(LinkDown{CoreHarness::NodeOf(2), "reset"});
  harness_.Hear(2);
  EXPECT_TRUE(IsReachable(2)) << "and its words count again";
}

TEST_F(GossipTest, TheLeaveOfAFormerProcessIsNoneOfItsSuccessor) {
  StartRunOfFour();
  harness_.Step(LinkDown{CoreHarness::NodeOf(2), "reset"});
  SuccessorOfTwoSyncs();
  ASSERT_TRUE(Call(From(1, {Update(2, MemberState::kLeft)})).ok());
  EXPECT_TRUE(IsReachable(2));
  harness_.Step(LinkDown{CoreHarness::NodeOf(2), "reset"});
  SuccessorOfTwoSyncs();
  EXPECT_TRUE(IsReachable(2));
}

TEST_F(GossipTest, HearsayOfASuccessorDoesNotReviveTheDead) {
  StartRunOfFour();
  Bury(2, 1);
  swim::MemberUpdate successor = Update(2, MemberState::kAlive, 2);
  successor.node.session = kOtherSession;
  successor.node.control_address = "node2b:7070";
  ASSERT_TRUE(Call(From(1, {successor})).ok());
  EXPECT_FALSE(IsReachable(2)) << "it has not spoken for itself";
  EXPECT_EQ(ViewOf(5).size(), 3u);
}

TEST_F(GossipTest, NorDoesItMakeTheLastWordsOfWhoLeftASignOfLife) {
  StartRunOfFour();
  ASSERT_TRUE(Call(From(1, {Update(2, MemberState::kLeft)})).ok());
  swim::MemberUpdate successor = Update(2, MemberState::kAlive, 2);
  successor.node.session = kOtherSession;
  ASSERT_TRUE(Call(From(1, {successor})).ok());
  harness_.Hear(2);  // the former process
  EXPECT_FALSE(IsReachable(2));
}

TEST_F(GossipTest, WhoWasJustHeardIsNotDeadBecauseOthersSayIt) {
  StartRunOfFour();
  ASSERT_TRUE(Call(From(1, {Update(2, MemberState::kDead)})).ok());
  EXPECT_TRUE(IsReachable(2));
  EXPECT_EQ(ViewOf(5).size(), 4u) << "a suspect stays in the view";
}

TEST_F(GossipTest, ThisNodeRefutes) {
  StartRunOfFour();
  swim::MemberUpdate own = Update(0, MemberState::kDead, 100);
  const auto answer = Call(From(1, {own}));
  ASSERT_TRUE(answer.ok());
  EXPECT_GT(answer->incarnation, 100u);
  EXPECT_TRUE(LogSays("was held for dead or suspect by node"));
}

TEST_F(GossipTest, WhatTheMeshSaysIsTheReasonThatIsShown) {
  StartRunOfFour();
  harness_.Step(LinkDown{CoreHarness::NodeOf(2), "reset"});
  EXPECT_THAT(NodeRow(2).unreachable_reason, HasSubstr("the link broke"));
  Bury(2, 1);
  EXPECT_THAT(NodeRow(2).unreachable_reason, HasSubstr("is dead"));
}

TEST_F(GossipTest, TheDeathOfAFormerProcessIsNoneOfItsSuccessor) {
  StartRunOfFour();
  harness_.Step(LinkDown{CoreHarness::NodeOf(2), "reset"});
  SuccessorOfTwoSyncs();
  ASSERT_TRUE(IsReachable(2));
  Bury(2, 1);
  EXPECT_TRUE(IsReachable(2));
}

// --- the data plane's evidence ---

TEST_F(GossipTest, ABrokenLinkIsAReasonToProbe) {
  StartRunOfFour();
  harness_.Step(LinkDown{CoreHarness::NodeOf(2), "reset"});
  const std::vector<Gossip> probes = GossipTo(2);
  ASSERT_EQ(probes.size(), 1u);
  EXPECT_NE(probes[0].probe, swim::ProbeId{});
}

TEST_F(GossipTest, APullAnswersAProbe) {
  StartRunOfFour();
  harness_.Step(LinkDown{CoreHarness::NodeOf(2), "reset"});
  const swim::ProbeId probe = GossipTo(2)[0].probe;
  harness_.Advance(absl::Milliseconds(110));
  harness_.Step(PullRequested{harness_.RequestFrom(2, 1, 1)});
  harness_.Step(GossipFailed{CoreHarness::AddressOf(2), probe, "deadline exceeded"});
  EXPECT_TRUE(harness_.All<swim::IndirectProbe>().empty()) << "it lives: nobody need ask it";
}

TEST_F(GossipTest, OthersAreAskedAboutWhoIsSilent) {
  StartRunOfFour();
  harness_.Step(LinkDown{CoreHarness::NodeOf(2), "reset"});
  const swim::ProbeId probe = GossipTo(2)[0].probe;
  harness_.Step(GossipFailed{CoreHarness::AddressOf(2), probe, "deadline exceeded"});
  const std::vector<swim::IndirectProbe> asked = harness_.All<swim::IndirectProbe>();
  ASSERT_EQ(asked.size(), 2u);  // nodes 1 and 3
  for (const swim::IndirectProbe& one : asked) {
    EXPECT_EQ(one.target.node_id, CoreHarness::NodeOf(2));
    EXPECT_EQ(one.message.uptime, absl::ZeroDuration());
  }
  harness_.Step(IndirectProbeFailed{asked[0].id});
  harness_.Step(IndirectProbeAnswered{asked[1].id, /*ack=*/false, From(3)});
  EXPECT_TRUE(LogSays("is suspected: it did not answer this daemon"));
}

TEST_F(GossipTest, AnAnswerThatIsNotToBeBelievedIsNone) {
  StartRunOfFour();
  harness_.Step(LinkDown{CoreHarness::NodeOf(2), "reset"});
  const swim::ProbeId probe = GossipTo(2)[0].probe;
  swim::Message other = From(3);  // says that it is node 3, whose process is another one
  other.from.session = kOtherSession;
  harness_.Step(GossipAnswered{CoreHarness::AddressOf(2), probe, other});
  EXPECT_EQ(harness_.All<swim::IndirectProbe>().size(), 2u);
}

TEST_F(GossipTest, ANodeIsProbedForAnother) {
  StartRunOfFour();
  for (const bool lives : {true, false}) {
    harness_.Step(IndirectProbeReceived{swim::CallId{50}, harness_.InfoOf(2),
                                        absl::Milliseconds(500), From(1)});
    const std::vector<Gossip> probes = GossipTo(2);
    ASSERT_EQ(probes.size(), 1u);
    if (lives) {
      harness_.Step(GossipAnswered{probes[0].address, probes[0].probe, From(2)});
    } else {
      harness_.Step(GossipFailed{probes[0].address, probes[0].probe, "connection refused"});
    }
    EXPECT_EQ(harness_.Only<swim::AnswerIndirectProbe>().call, swim::CallId{50});
    EXPECT_EQ(harness_.Only<swim::AnswerIndirectProbe>().ack, lives);
  }
}

// --- whose word counts ---

TEST_F(GossipTest, AnotherProcessOfAKnownNodeIsBelievedOnceTheFormerIsGone) {
  StartRunOfFour();
  swim::Message restarted = From(2);
  restarted.from.session = kOtherSession;
  restarted.from.control_address = "node2b:7070";
  restarted.uptime = absl::Seconds(1);
  EXPECT_EQ(Call(restarted).status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(harness_.Only<Probe>().address, CoreHarness::AddressOf(2)) << "the former is asked";
  harness_.Step(
      IndirectProbeReceived{swim::CallId{60}, harness_.InfoOf(1), absl::Seconds(1), restarted});
  EXPECT_EQ(harness_.Only<AnswerGossip>().answer.status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(ViewOf(5).size(), 4u) << "nothing is taken from it";

  harness_.Step(ProbeFailed{CoreHarness::NodeOf(2), "connection refused"});
  EXPECT_EQ(ViewOf(5).size(), 3u) << "its trainer went with the former process";
  EXPECT_TRUE(Call(restarted).ok());
}

TEST_F(GossipTest, OrAtOnceWhereTheFormerIsSilent) {
  StartRunOfFour();
  harness_.Step(LinkDown{CoreHarness::NodeOf(2), "reset"});
  swim::Message restarted = From(2);
  restarted.from.session = kOtherSession;
  EXPECT_TRUE(Call(restarted).ok());
  EXPECT_TRUE(IsReachable(2));
  EXPECT_EQ(ViewOf(5).size(), 3u) << "its trainer went with the former process";
}

TEST_F(GossipTest, ACloneOfALivingDaemonIsRefused) {
  StartRunOfFour();
  swim::Message clone = From(2);
  clone.from.session = kOtherSession;
  clone.uptime = absl::Seconds(1);
  SyncMessage original = harness_.MessageOf(2, ReplicaState::kActive, {0, 1, 2, 3}, true);
  original.uptime = absl::Hours(1);
  harness_.Step(SyncReceived{original});
  ASSERT_FALSE(Call(clone).ok());
  harness_.Step(ProbeAnswered{CoreHarness::NodeOf(2), harness_.InfoOf(2).session});
  const absl::Status refused = Call(clone).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("delete node_id"));
  EXPECT_EQ(ViewOf(5).size(), 4u);
}

TEST_F(GossipTest, ALaterProcessOfOnesOwnIdIsRefusedAndAnEarlierOneEndsThisOne) {
  harness_.core();
  harness_.now += absl::Minutes(1);
  swim::Message twin = From(0);
  twin.from.session = kOtherSession;
  twin.uptime = absl::Seconds(1);
  EXPECT_EQ(Call(twin).status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_TRUE(harness_.All<EndDaemon>().empty());
  twin.from.session = 8;
  twin.from.control_address = "twin:7070";
  twin.uptime = absl::Hours(1);
  harness_.Step(GossipReceived{swim::CallId{1}, twin});
  EXPECT_EQ(harness_.All<EndDaemon>().size(), 1u);
}

TEST_F(GossipTest, WhoIsRefusedEnds) {
  harness_.Step(GossipFailed{"node1:7070", {}, "node_id belongs to another", /*refused=*/true});
  EXPECT_EQ(harness_.Only<EndDaemon>().reason, "node_id belongs to another");
}

TEST_F(GossipTest, OnesOwnAnswerMeansNothing) {
  const auto own = Call(From(1));
  ASSERT_TRUE(own.ok());
  harness_.Step(GossipAnswered{CoreHarness::AddressOf(0), {}, *own});
  EXPECT_TRUE(harness_.actions.empty());
}

// A mesh of one more detector, as fast as it is asked to be.
TEST_F(GossipTest, TheDetectionTargetSetsTheExpectedTime) {
  EXPECT_NEAR(absl::ToDoubleSeconds(harness_.core().detection_time()), 2.5, 1.0);
  CoreHarness slow;
  slow.options.detection_target = absl::Seconds(30);
  EXPECT_NEAR(absl::FDivDuration(slow.core().detection_time(), harness_.core().detection_time()),
              10, 0.1);
}

}  // namespace
}  // namespace weightmesh
