// Who is there, who is silent, and when they are asked.
#include "daemon/core/membership.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "tests/core/sample_nodes.h"

namespace weightmesh {
namespace {

using testing_support::From;
using testing_support::Info;
using testing_support::kInterval;

class MembershipTest : public testing::Test {
 protected:
  explicit MembershipTest(std::vector<std::string> seeds = {"node9:7070"})
      : membership_(MembershipOptions{Info(0), std::move(seeds), kInterval, 5}, now_) {}

  // Addresses that the tick syncs with, sorted.
  std::vector<std::string> Tick() {
    Actions actions;
    membership_.Tick(now_, &actions);
    std::vector<std::string> addresses;
    for (const Action& action : actions) addresses.push_back(std::get<Sync>(action).address);
    std::sort(addresses.begin(), addresses.end());
    return addresses;
  }

  void SyncSoon() {
    membership_.SyncSoon(now_, [] { return std::set<NodeId>{}; });
  }

  absl::Time now_ = absl::UnixEpoch();
  Membership membership_;
};

using Addresses = std::vector<std::string>;

TEST_F(MembershipTest, SeedsAreAskedForEver) {
  for (int k = 0; k < 20; ++k) {
    EXPECT_EQ(Tick(), Addresses{"node9:7070"}) << k;
    EXPECT_EQ(Tick(), Addresses{}) << "one at a time";
    EXPECT_TRUE(membership_.SyncFailed(now_, "node9:7070").empty());
    EXPECT_EQ(membership_.next_deadline(), now_ + kInterval);
    now_ += kInterval;
  }
}

// Or a timer would fire at once, again and again, until the sync has ended.
TEST_F(MembershipTest, NewsDuringASyncWaitForItsEnd) {
  membership_.Learn(now_, From(1));
  now_ += kInterval;
  const Addresses asked = Tick();
  ASSERT_TRUE(std::count(asked.begin(), asked.end(), "node1:7070") == 1);
  now_ += absl::Milliseconds(100);
  SyncSoon();
  EXPECT_GT(membership_.next_deadline(), now_);
  membership_.SyncAnswered(now_, "node1:7070", Info(1));
  SyncSoon();
  EXPECT_LE(membership_.next_deadline(), now_);
}

TEST_F(MembershipTest, ASeedThatIsOneselfIsSeldomAskedAgain) {
  Tick();
  membership_.SyncAnswered(now_, "node9:7070", Info(0));
  for (int second = 1; second < 60; ++second) {
    now_ += kInterval;
    EXPECT_EQ(Tick(), Addresses{}) << second;
  }
  now_ += kInterval;
  EXPECT_EQ(Tick(), Addresses{"node9:7070"}) << "another one may be there by now";
}

TEST(Seeds, OnesOwnAddressIsNeverAsked) {
  absl::Time now = absl::UnixEpoch();
  Membership membership(MembershipOptions{Info(0), {Info(0).control_address}, kInterval, 5}, now);
  membership.FindSeeds(now, {Info(0).control_address});
  Actions actions;
  membership.Tick(now, &actions);
  EXPECT_TRUE(actions.empty());
  EXPECT_EQ(membership.next_deadline(), absl::InfiniteFuture());
}

TEST_F(MembershipTest, ASeedThatAnswersIsSeldomAskedAgain) {
  Tick();
  NodeInfo balanced = Info(1);  // known by an address of its own
  SyncMessage hello = From(1);
  membership_.SyncAnswered(now_, "node9:7070", balanced);
  membership_.Learn(now_, hello);
  membership_.Heard(now_, balanced.node_id);
  const auto asks_seed = [this] {
    const Addresses asked = Tick();
    for (const std::string& address : asked) {
      if (address == "node1:7070") membership_.SyncAnswered(now_, address, Info(1));
    }
    return std::count(asked.begin(), asked.end(), "node9:7070") > 0;
  };
  for (int second = 1; second < 60; ++second) {
    now_ += kInterval;
    EXPECT_FALSE(asks_seed()) << second;
  }
  now_ += kInterval;
  EXPECT_TRUE(asks_seed());
  membership_.SyncAnswered(now_, "node9:7070", balanced);
  now_ += kInterval;
  EXPECT_FALSE(asks_seed());
  membership_.MarkSilent(now_, balanced.node_id, "killed");
  now_ += kInterval;
  EXPECT_TRUE(asks_seed()) << "at once where it answers no more";
}

TEST_F(MembershipTest, SeedsFoundByNameAreAskedWhileTheyAreFound) {
  membership_.FindSeeds(now_, {"10.0.0.1:7070", "10.0.0.2:7070", "node9:7070"});
  EXPECT_EQ(Tick(), (Addresses{"10.0.0.1:7070", "10.0.0.2:7070", "node9:7070"}));
  for (const char* address : {"10.0.0.1:7070", "10.0.0.2:7070", "node9:7070"}) {
    membership_.SyncFailed(now_, address);
  }
  membership_.FindSeeds(now_, {"10.0.0.2:7070", "10.0.0.3:7070"});
  EXPECT_EQ(Tick(), Addresses{"10.0.0.3:7070"}) << "the others have been asked just now";
  membership_.SyncFailed(now_, "10.0.0.3:7070");
  now_ += kInterval;
  EXPECT_EQ(Tick(), (Addresses{"10.0.0.2:7070", "10.0.0.3:7070", "node9:7070"}))
      << "those of the configuration stay";
}

TEST(Seeds, ManyAreTriedAFewAtATimeAndInTurn) {
  absl::Time now = absl::UnixEpoch();
  Membership membership(MembershipOptions{Info(0), {}, kInterval, 4096}, now);
  std::vector<std::string> found;
  for (uint32_t k = 1; k <= 200; ++k) found.push_back(Info(k).control_address);
  membership.FindSeeds(now, found);
  std::set<std::string> tried;
  for (int second = 0; second < 4; ++second) {
    Actions actions;
    membership.Tick(now, &actions);
    EXPECT_LE(actions.size(), 64u);
    EXPECT_GT(membership.next_deadline(), now) << "no spinning";
    for (const Action& action : actions) {
      tried.insert(std::get<Sync>(action).address);
      membership.SyncFailed(now, std::get<Sync>(action).address);
    }
    now += kInterval;
  }
  EXPECT_EQ(tried.size(), 200u);
}

TEST_F(MembershipTest, NodesThatOthersTellOfAreAskedAtOnce) {
  Tick();
  membership_.Learn(now_, From(9));
  for (uint32_t k : {0, 1, 2}) membership_.Meet(now_, Info(k));
  membership_.SyncAnswered(now_, "node9:7070", Info(9));
  EXPECT_EQ(membership_.peers().size(), 3u) << "oneself is no peer";
  EXPECT_EQ(Tick(), (Addresses{"node1:7070", "node2:7070", "node9:7070"}));
  EXPECT_FALSE(membership_.Find(NodeId{1, 1})->silent());
}

TEST_F(MembershipTest, TheNumberOfNodesIsLimited) {
  for (uint32_t k : {9, 1, 2, 3, 4, 5, 6}) membership_.Meet(now_, Info(k));
  EXPECT_EQ(membership_.peers().size(), 4u);  // and oneself: nodes_max is 5
}

TEST_F(MembershipTest, OneThatSpeaksForItselfTakesThePlaceOfOneThatDoesNot) {
  membership_.Learn(now_, From(1));
  membership_.Heard(now_, Info(1).node_id);
  membership_.Learn(now_, From(2));
  for (uint32_t k = 10; k < 1000; ++k) membership_.Meet(now_, Info(k));
  membership_.Heard(now_, Info(2).node_id);
  EXPECT_EQ(membership_.peers().size(), 4u);
  now_ += absl::Seconds(1);
  for (uint32_t honest : {3u, 4u}) {
    membership_.Learn(now_, From(honest));
    membership_.Heard(now_, Info(honest).node_id);
    EXPECT_NE(membership_.Find(Info(honest).node_id), nullptr);
  }
  EXPECT_NE(membership_.Find(Info(1).node_id), nullptr) << "it answers";
  EXPECT_EQ(membership_.peers().size(), 4u);
  membership_.Learn(now_, From(5));
  EXPECT_EQ(membership_.Find(Info(5).node_id), nullptr) << "all answer: the limit holds";
  const auto forgotten = membership_.ForgetSilent(now_, [](NodeId) { return false; });
  EXPECT_EQ(forgotten.size(), 2u) << "who gave way is forgotten for good";
}

TEST_F(MembershipTest, OnlyANodeItselfTellsOfItsSession) {
  membership_.Learn(now_, From(1));
  NodeInfo hearsay = Info(1);
  hearsay.session = 7;
  membership_.Meet(now_, hearsay);
  EXPECT_EQ(membership_.Find(NodeId{1, 1})->info.session, 101u);
  SyncMessage first_hand = From(1);
  first_hand.self.session = 8;
  membership_.Learn(now_, first_hand);
  EXPECT_EQ(membership_.Find(NodeId{1, 1})->info.session, 8u);
}

TEST_F(MembershipTest, AFailedSyncSilencesWhomNothingWasHeardOfMeanwhile) {
  membership_.Learn(now_, From(1));
  Tick();
  now_ += absl::Milliseconds(500);
  membership_.Heard(now_, NodeId{1, 1});
  EXPECT_TRUE(membership_.SyncFailed(now_, "node1:7070").empty()) << "its pulls came through";
  now_ += kInterval;
  Tick();
  now_ += kInterval;
  EXPECT_EQ(membership_.SyncFailed(now_, "node1:7070"), std::vector<NodeId>{(NodeId{1, 1})});
}

TEST_F(MembershipTest, AFailedProbeToo) {
  membership_.Learn(now_, From(1));
  Actions actions;
  membership_.ProbeNow(now_, NodeId{1, 1}, absl::Seconds(1), &actions);
  membership_.ProbeNow(now_, NodeId{1, 1}, absl::Seconds(1), &actions);
  EXPECT_EQ(actions.size(), 1u) << "one at a time";
  now_ += absl::Milliseconds(500);
  membership_.Heard(now_, NodeId{1, 1});
  EXPECT_FALSE(membership_.ProbeFailed(NodeId{1, 1}));
  now_ += absl::Milliseconds(500);
  membership_.ProbeNow(now_, NodeId{1, 1}, absl::Seconds(1), &actions);
  EXPECT_EQ(actions.size(), 2u);
  EXPECT_TRUE(membership_.ProbeFailed(NodeId{1, 1}));
}

TEST_F(MembershipTest, SilenceIsToldOnceAndEndsWithAnySign) {
  membership_.Learn(now_, From(1));
  EXPECT_TRUE(membership_.MarkSilent(now_, NodeId{1, 1}, "no answer"));
  EXPECT_FALSE(membership_.MarkSilent(now_, NodeId{1, 1}, "no answer"));
  EXPECT_EQ(membership_.Find(NodeId{1, 1})->silence->reason, "no answer");
  EXPECT_TRUE(membership_.Heard(now_, NodeId{1, 1}));
  EXPECT_FALSE(membership_.Heard(now_, NodeId{1, 1}));
  EXPECT_FALSE(membership_.Heard(now_, NodeId{5, 5})) << "unknown";
}

TEST_F(MembershipTest, NewsComeSoonButNotInAFlood) {
  membership_.Learn(now_, From(1));
  Tick();
  SyncSoon();
  EXPECT_EQ(Tick(), Addresses{}) << "a sync is open";
  now_ += absl::Milliseconds(3);
  membership_.SyncAnswered(now_, "node1:7070", Info(1));
  EXPECT_EQ(membership_.next_deadline(), now_ + absl::Milliseconds(7));
  now_ = membership_.next_deadline();
  EXPECT_EQ(Tick(), Addresses{"node1:7070"});
}

TEST_F(MembershipTest, ANodeWithANewAddressIsAskedThere) {
  membership_.Learn(now_, From(1));
  Tick();  // the sync with the former address is never matched to the node
  SyncMessage moved = From(1);
  moved.self.control_address = "elsewhere:7070";
  membership_.Learn(now_, moved);
  membership_.SyncFailed(now_, "node1:7070");
  now_ += kInterval;
  const Addresses asked = Tick();
  EXPECT_EQ(std::count(asked.begin(), asked.end(), "elsewhere:7070"), 1);
}

TEST_F(MembershipTest, AProcessThatOthersSayHasMovedIsAskedThere) {
  membership_.Learn(now_, From(1));
  NodeInfo moved = Info(1);
  moved.control_address = "elsewhere:7070";
  moved.session = 5;
  membership_.Moves(now_, moved);
  EXPECT_EQ(membership_.Find(NodeId{1, 1})->info, Info(1))
      << "of another process only itself tells";
  moved.session = 101;
  membership_.Moves(now_, moved);
  EXPECT_EQ(membership_.Find(NodeId{1, 1})->info, moved);
}

TEST_F(MembershipTest, ANewProcessCountsItsMessagesAnew) {
  SyncMessage message = From(1);
  EXPECT_TRUE(membership_.Learn(now_, message));
  EXPECT_FALSE(membership_.Learn(now_, message)) << "overtaken";
  message.self.session = 5;
  membership_.Speaks(now_, message.self, absl::Seconds(1));
  EXPECT_TRUE(membership_.Learn(now_, message)) << "by gossip its successor was heard of before";
}

TEST_F(MembershipTest, TheDetectorDoesNotHearOfEverySign) {
  membership_.Learn(now_, From(1));
  EXPECT_TRUE(membership_.IsNewsToDetector(now_, NodeId{1, 1}));
  EXPECT_FALSE(membership_.IsNewsToDetector(now_ + absl::Milliseconds(99), NodeId{1, 1}));
  EXPECT_TRUE(membership_.IsNewsToDetector(now_ + absl::Milliseconds(100), NodeId{1, 1}));
  EXPECT_FALSE(membership_.IsNewsToDetector(now_, NodeId{5, 5})) << "unknown";
}

TEST_F(MembershipTest, InASmallMeshNewsComeByThemselves) {
  membership_.Learn(now_, From(1));
  Tick();
  membership_.SyncAnswered(now_, "node1:7070", Info(1));
  Actions actions;
  now_ += absl::Milliseconds(20);
  membership_.Follow(now_, Info(1), /*in_turn=*/false, &actions);
  EXPECT_EQ(Tick(), Addresses{});
  EXPECT_TRUE(actions.empty());
}

TEST_F(MembershipTest, WhoeverGaveItsAddressToAnotherIsNamed) {
  membership_.Learn(now_, From(1));
  Tick();
  NodeInfo replacement = Info(1);
  replacement.node_id = NodeId{1, 77};
  EXPECT_EQ(membership_.SyncAnswered(now_, "node1:7070", replacement),
            std::vector<NodeId>{(NodeId{1, 1})});
  EXPECT_TRUE(membership_.SyncAnswered(now_, "node1:7070", Info(1)).empty());
}

TEST_F(MembershipTest, ALinkBelongsToASession) {
  membership_.Learn(now_, From(1));
  Actions actions;
  membership_.ConnectNow(now_, NodeId{1, 1}, &actions);
  membership_.ConnectNow(now_, NodeId{1, 1}, &actions);
  ASSERT_EQ(actions.size(), 1u);
  membership_.LinkFailed(now_, NodeId{1, 1});
  membership_.ConnectNow(now_, NodeId{1, 1}, &actions);
  EXPECT_EQ(actions.size(), 1u) << "not again at once";
  now_ += absl::Milliseconds(500);
  membership_.ConnectNow(now_, NodeId{1, 1}, &actions);
  EXPECT_EQ(actions.size(), 2u);
  membership_.LinkReady(NodeId{1, 1}, 101);
  EXPECT_TRUE(membership_.IsLinked(NodeId{1, 1}));
  SyncMessage restarted = From(1);
  restarted.self.session = 5;
  membership_.Learn(now_, restarted);
  EXPECT_FALSE(membership_.IsLinked(NodeId{1, 1}));
  membership_.LinkReady(NodeId{1, 1}, 5);
  membership_.LinkCut(now_, NodeId{1, 1});
  EXPECT_FALSE(membership_.IsLinked(NodeId{1, 1}));
}

TEST_F(MembershipTest, ALostPathIsTriedAgainAfterTwiceAsLongEachTime) {
  const NodeId node{1, 1};
  membership_.Learn(now_, From(1));
  EXPECT_TRUE(membership_.HasPath(now_, node));
  EXPECT_FALSE(membership_.HasPath(now_, NodeId{5, 5})) << "unknown";
  const absl::Time begun = now_;
  now_ += absl::Seconds(1);
  EXPECT_FALSE(membership_.TakeUntoldPathLoss(node));
  membership_.PathFailed(now_, node, begun);
  EXPECT_TRUE(membership_.TakeUntoldPathLoss(node));
  EXPECT_FALSE(membership_.TakeUntoldPathLoss(node)) << "once";
  membership_.PathFailed(now_ + absl::Milliseconds(1), node, begun);  // another pull of before
  EXPECT_FALSE(membership_.HasPath(begun + absl::Milliseconds(1999), node));
  now_ = begun + absl::Hours(1);
  EXPECT_TRUE(membership_.HasPath(now_, node)) << "but nobody tried";
  membership_.PathFailed(now_, node, now_);
  EXPECT_FALSE(membership_.HasPath(now_ + absl::Milliseconds(1999), node));
  EXPECT_TRUE(membership_.HasPath(now_ + absl::Seconds(2), node));
  now_ += absl::Hours(1);
  membership_.PathFailed(now_, node, now_ - absl::Seconds(9));
  EXPECT_TRUE(membership_.HasPath(now_ + absl::Seconds(9), node)) << "or as long as it took";
  EXPECT_FALSE(membership_.HasPath(now_ + absl::Milliseconds(8999), node));
  for (int k = 0; k < 20; ++k) {
    now_ += absl::Hours(1);
    membership_.PathFailed(now_, node, now_);
  }
  EXPECT_FALSE(membership_.HasPath(now_ + kPathPauseMax - absl::Milliseconds(1), node));
  EXPECT_TRUE(membership_.HasPath(now_ + kPathPauseMax, node)) << "never later than that";
  EXPECT_EQ(membership_.PathRestored(now_, node), absl::Hours(22));
  EXPECT_TRUE(membership_.HasPath(now_, node));
  EXPECT_EQ(membership_.PathRestored(now_, node), absl::ZeroDuration());
  membership_.PathFailed(now_, node, now_ - absl::Hours(1));
  EXPECT_TRUE(membership_.HasPath(now_ + kPathPauseMax, node)) << "nor the first time";
}

TEST_F(MembershipTest, ALinkIsStaleOnceForEachPatience) {
  const NodeId node{1, 1};
  const absl::Duration patience = absl::Seconds(2);
  membership_.Learn(now_, From(1));
  EXPECT_FALSE(membership_.TakeStaleLink(now_, node, patience));
  membership_.PathFailed(now_, node, now_);
  now_ += absl::Milliseconds(1999);
  EXPECT_FALSE(membership_.TakeStaleLink(now_, node, patience));
  now_ += absl::Milliseconds(1);
  EXPECT_TRUE(membership_.TakeStaleLink(now_, node, patience));
  EXPECT_FALSE(membership_.TakeStaleLink(now_, node, patience)) << "the new one has as long";
  now_ += absl::Seconds(1);
  membership_.LinkCut(now_, node);
  now_ += absl::Seconds(1);
  EXPECT_FALSE(membership_.TakeStaleLink(now_, node, patience))
      << "so has one that broke by itself";
  now_ += patience;
  EXPECT_TRUE(membership_.TakeStaleLink(now_, node, patience));
}

}  // namespace
}  // namespace weightmesh
