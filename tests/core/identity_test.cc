// Whose process speaks: restarts, and two live processes with one node_id.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "daemon/core/membership.h"
#include "tests/testing/core_harness.h"

namespace weightmesh {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing_support::CoreHarness;

constexpr SessionId kOtherSession = 7;

class IdentityTest : public testing::Test {
 protected:
  // A waiting replica on nodes 0, 1 and 2; node 1's process has been up for an hour.
  IdentityTest() {
    harness_.founding.config.replicas_min = 9;
    harness_.Step(harness_.AttachEvent());
    harness_.Step(SyncReceived{From(101, absl::Hours(1))});
    harness_.Step(SyncReceived{harness_.MessageOf(2, ReplicaState::kWaiting, {0, 1, 2}, false)});
  }

  // What a process of node 1 says.
  SyncMessage From(SessionId session, absl::Duration uptime, const std::string& address = "") {
    SyncMessage message = harness_.MessageOf(1, ReplicaState::kWaiting, {0, 1, 2}, false);
    message.self.session = session;
    message.uptime = uptime;
    if (!address.empty()) message.self.control_address = address;
    return message;
  }
  // The same with nothing in it, as after a restart.
  SyncMessage Restarted(absl::Duration uptime = absl::Seconds(1)) {
    SyncMessage message = From(kOtherSession, uptime, "node1b:7070");
    message.runs.clear();
    return message;
  }
  bool ReplicaOneWaits() {
    return harness_.core().MakeSync().runs[0].waiting_digest ==
           ViewDigest(
               {CoreHarness::ReplicaOf(0), CoreHarness::ReplicaOf(1), CoreHarness::ReplicaOf(2)});
  }
  SessionId KnownSession() {
    for (const NodeSnapshot& node : harness_.core().Topology(harness_.now, "").nodes) {
      if (node.info.node_id == kNode) return node.info.session;
    }
    return 0;
  }
  absl::Status Check(const SyncMessage& message) {
    return harness_.core().CheckCaller(message.self);
  }

  const NodeId kNode = CoreHarness::NodeOf(1);
  CoreHarness harness_;
};

TEST_F(IdentityTest, ARestartedDaemonIsBelievedOnceItsFormerProcessDoesNotAnswer) {
  harness_.Step(SyncReceived{Restarted()});
  const Probe probe = harness_.Only<Probe>();
  EXPECT_EQ(probe.node, kNode);
  EXPECT_EQ(probe.address, CoreHarness::AddressOf(1)) << "the former process is asked";
  EXPECT_TRUE(ReplicaOneWaits()) << "nothing is taken from it before";
  EXPECT_TRUE(Check(Restarted()).ok());

  harness_.Step(ProbeFailed{kNode, "connection refused"});
  EXPECT_EQ(KnownSession(), kOtherSession);
  EXPECT_FALSE(ReplicaOneWaits());
  harness_.Advance(absl::Milliseconds(1));
  bool asked = false;
  for (const Sync& sync : harness_.All<Sync>()) asked |= sync.address == "node1b:7070";
  EXPECT_TRUE(asked) << "what it said was not taken in, and is asked for at once";
}

TEST_F(IdentityTest, OrOnceAnotherProcessAnswersThere) {
  harness_.Step(SyncReceived{Restarted()});
  harness_.Step(ProbeAnswered{kNode, kOtherSession});
  EXPECT_EQ(KnownSession(), kOtherSession);
  EXPECT_FALSE(ReplicaOneWaits());
}

TEST_F(IdentityTest, OrAtOnceWhereItAnswersAtTheFormerAddress) {
  SyncMessage restarted = Restarted();
  restarted.self.control_address = CoreHarness::AddressOf(1);
  harness_.Step(SyncAnswered{CoreHarness::AddressOf(1), restarted});
  EXPECT_TRUE(harness_.All<Probe>().empty());
  EXPECT_EQ(KnownSession(), kOtherSession);
}

TEST_F(IdentityTest, OrAtOnceWhereTheFormerProcessIsSilent) {
  harness_.Step(LinkDown{kNode, "reset"});
  harness_.Step(SyncReceived{Restarted()});
  EXPECT_EQ(KnownSession(), kOtherSession);
  EXPECT_FALSE(ReplicaOneWaits());
}

// What a process that is gone has said before may be long on its way.
TEST_F(IdentityTest, AnAnswerToAnEarlierProbeShowsNotThatTheFormerProcessLives) {
  harness_.Step(SyncReceived{Restarted()});
  harness_.now += absl::Milliseconds(10);
  SyncMessage again = Restarted();
  again.self.session = kOtherSession + 1;
  harness_.Step(SyncReceived{again});
  EXPECT_TRUE(harness_.All<Probe>().empty()) << "one is open";
  harness_.Step(ProbeAnswered{kNode, 101});
  EXPECT_EQ(harness_.Only<Probe>().node, kNode) << "it began before";
  EXPECT_TRUE(harness_.All<Log>().empty());
  harness_.Step(ProbeFailed{kNode, "connection refused"});
  EXPECT_EQ(KnownSession(), kOtherSession + 1);
}

TEST_F(IdentityTest, NorDoesAWordWithoutAnAnswer) {
  harness_.Step(SyncReceived{Restarted()});
  harness_.now += absl::Milliseconds(10);
  harness_.Step(SyncReceived{From(101, absl::Hours(1))});
  harness_.Step(ProbeFailed{kNode, "connection refused"});
  EXPECT_EQ(harness_.Only<Probe>().node, kNode);
  EXPECT_EQ(KnownSession(), 101u);
  harness_.now += absl::Milliseconds(10);
  harness_.Step(ProbeFailed{kNode, "connection refused"});
  EXPECT_EQ(KnownSession(), kOtherSession);
}

// It started earlier, and would take the place of its successor, which would end.
TEST_F(IdentityTest, ALateWordOfAFormerProcessIsNoClaim) {
  SyncMessage restarted = Restarted();
  restarted.self.control_address = CoreHarness::AddressOf(1);
  harness_.Step(SyncAnswered{CoreHarness::AddressOf(1), restarted});
  ASSERT_EQ(KnownSession(), kOtherSession);
  harness_.Step(SyncReceived{From(101, absl::Hours(1))});
  EXPECT_TRUE(harness_.All<Probe>().empty());
  harness_.Step(SyncReceived{From(3, absl::Milliseconds(1500))});
  EXPECT_EQ(harness_.Only<Probe>().node, kNode) << "it cannot be told which of the two came first";
  harness_.Step(ProbeAnswered{kNode, kOtherSession});
  EXPECT_EQ(KnownSession(), kOtherSession);
  EXPECT_TRUE(harness_.All<Log>().empty());
  harness_.Step(LinkDown{kNode, "reset"});
  harness_.Step(SyncReceived{From(101, absl::Hours(1))});
  EXPECT_EQ(KnownSession(), kOtherSession) << "nor is it believed while the other is silent";
  EXPECT_TRUE(Check(restarted).ok());
}

// The successor's first sync crosses the one that is open with its address.
TEST_F(IdentityTest, ASuccessorAtTheSameAddressIsNotSyncedWithTwiceAtOnce) {
  harness_.peers_answer_syncs = false;
  harness_.Advance(absl::Milliseconds(1));
  SyncMessage restarted = Restarted();
  restarted.self.control_address = CoreHarness::AddressOf(1);
  harness_.Step(SyncReceived{restarted});
  harness_.Step(ProbeAnswered{kNode, kOtherSession});
  ASSERT_EQ(KnownSession(), kOtherSession);
  const auto syncs = [this] {
    const std::vector<Sync> all = harness_.All<Sync>();
    return std::count_if(all.begin(), all.end(), [](const Sync& sync) {
      return sync.address == CoreHarness::AddressOf(1);
    });
  };
  harness_.Advance(absl::Milliseconds(100));
  EXPECT_EQ(syncs(), 0) << "one is open";
  harness_.Step(SyncAnswered{CoreHarness::AddressOf(1), restarted});
  harness_.Advance(absl::Milliseconds(100));
  EXPECT_EQ(syncs(), 1) << "what it said before was not believed";
}

TEST_F(IdentityTest, ACloneIsRefusedAndTheEarlierProcessUndisturbed) {
  harness_.Step(SyncReceived{Restarted()});
  harness_.Step(ProbeAnswered{kNode, 101});
  EXPECT_THAT(harness_.Only<Log>().text, AllOf(HasSubstr("node1b:7070"), HasSubstr("refused")));
  EXPECT_EQ(KnownSession(), 101u);
  EXPECT_TRUE(ReplicaOneWaits());
  const absl::Status refused = Check(Restarted());
  EXPECT_EQ(refused.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(refused.message()),
              AllOf(HasSubstr(kNode.ToString()), HasSubstr("daemon at node1:7070"),
                    HasSubstr("node1b:7070"), HasSubstr("delete node_id")));

  // Whatever it goes on to say, and without another probe.
  harness_.Step(SyncReceived{Restarted(absl::Seconds(2))});
  EXPECT_TRUE(harness_.All<Probe>().empty());
  EXPECT_TRUE(ReplicaOneWaits());
  const SyncMessage earlier = From(101, absl::Hours(1));
  EXPECT_TRUE(Check(earlier).ok());
  harness_.Step(SyncReceived{earlier});
  EXPECT_EQ(KnownSession(), 101u);
}

TEST_F(IdentityTest, ARefusedCloneIsBelievedOnceTheEarlierProcessIsSilent) {
  harness_.Step(SyncReceived{Restarted()});
  harness_.Step(ProbeAnswered{kNode, 101});
  harness_.Step(LinkDown{kNode, "reset"});
  harness_.Step(SyncReceived{Restarted()});
  EXPECT_EQ(KnownSession(), kOtherSession);
  EXPECT_TRUE(Check(Restarted()).ok());
}

// The clone was heard of first here, the original elsewhere: both places must say the same.
TEST_F(IdentityTest, TheEarlierProcessTakesThePlaceOfALaterOne) {
  const SyncMessage earlier = From(kOtherSession, absl::Hours(2), "node1b:7070");
  harness_.Step(SyncReceived{earlier});
  harness_.Step(ProbeAnswered{kNode, 101});
  EXPECT_EQ(KnownSession(), kOtherSession);
  EXPECT_TRUE(Check(earlier).ok());
  EXPECT_EQ(Check(From(101, absl::Hours(1))).code(), absl::StatusCode::kAlreadyExists);
}

TEST(StartedLater, IsOneOrderForEverybody) {
  const absl::Time start = absl::UnixEpoch() + absl::Hours(1);
  const NodeInfo low{NodeId{1, 1}, 5, "a:1", "test"};
  const NodeInfo high{NodeId{1, 1}, 6, "b:1", "test"};
  EXPECT_TRUE(StartedLater(low, start + absl::Seconds(2), high, start));
  EXPECT_FALSE(StartedLater(low, start, high, start + absl::Seconds(2)));
  for (const absl::Duration apart : {absl::ZeroDuration(), absl::Milliseconds(900)}) {
    EXPECT_TRUE(StartedLater(high, start, low, start + apart));
    EXPECT_FALSE(StartedLater(low, start + apart, high, start));
  }
}

// --- this node itself ---

TEST_F(IdentityTest, ALaterProcessOfOnesOwnIdIsRefused) {
  harness_.Advance(absl::Minutes(1));
  SyncMessage clone = Restarted();
  clone.self.node_id = CoreHarness::NodeOf(0);
  harness_.Step(SyncReceived{clone});
  EXPECT_TRUE(harness_.All<EndDaemon>().empty());
  EXPECT_EQ(Check(clone).code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(harness_.Only<Log>().text, HasSubstr("refused"));
  harness_.Step(SyncReceived{clone});
  EXPECT_TRUE(harness_.All<Log>().empty()) << "told once";
}

TEST_F(IdentityTest, ALaterProcessEndsOnceItMeetsTheEarlierOne) {
  SyncMessage original = From(kOtherSession, absl::Hours(1), "node0b:7070");
  original.self.node_id = CoreHarness::NodeOf(0);
  harness_.Step(SyncReceived{original});
  EXPECT_THAT(harness_.Only<EndDaemon>().reason,
              AllOf(HasSubstr("daemon at node0b:7070"), HasSubstr("delete node_id")));
  EXPECT_TRUE(Check(original).ok());
  harness_.Step(SyncReceived{original});
  EXPECT_TRUE(harness_.All<EndDaemon>().empty()) << "once";
}

TEST_F(IdentityTest, ALateWordOfOnesOwnFormerProcessIsNoTwin) {
  SyncMessage former = From(kOtherSession, absl::Hours(1), CoreHarness::AddressOf(0));
  former.self.node_id = CoreHarness::NodeOf(0);
  harness_.Step(SyncReceived{former});
  EXPECT_TRUE(harness_.All<EndDaemon>().empty());
}

TEST_F(IdentityTest, OnesOwnAnswerIsNoTwin) {
  SyncMessage own = harness_.core().MakeSync();
  harness_.Step(SyncAnswered{CoreHarness::AddressOf(0), own});
  EXPECT_TRUE(harness_.actions.empty());
}

TEST_F(IdentityTest, WhoIsRefusedEnds) {
  harness_.Step(SyncRefused{CoreHarness::AddressOf(2), "node_id is another's"});
  EXPECT_EQ(harness_.Only<EndDaemon>().reason, "node_id is another's");
}

// One peer's word does not end a training that goes on.
TEST(IdentityOfActiveTest, WhoIsRefusedGoesOnWhileItsTrainersTrain) {
  CoreHarness harness;
  harness.StartRun(1);
  harness.Step(SyncRefused{CoreHarness::AddressOf(1), "node_id is another's"});
  EXPECT_TRUE(harness.All<EndDaemon>().empty());
  EXPECT_THAT(harness.Only<Log>().text, HasSubstr("goes on"));
  harness.Step(SyncRefused{CoreHarness::AddressOf(1), "node_id is another's"});
  EXPECT_TRUE(harness.actions.empty()) << "told once";
  harness.Step(TrainerGone{CoreHarness::kAttach});
  harness.Step(SyncRefused{CoreHarness::AddressOf(1), "node_id is another's"});
  EXPECT_EQ(harness.All<EndDaemon>().size(), 1u);
}

}  // namespace
}  // namespace weightmesh
