// Many nodes: who is asked, and how often.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "daemon/core/membership.h"
#include "tests/core/sample_nodes.h"

namespace weightmesh {
namespace {

using testing_support::From;
using testing_support::Info;
using testing_support::kInterval;

TEST(LargeMembership, MadeUpNodesAreTriedAFewAtATimeAndInTurn) {
  absl::Time now = absl::UnixEpoch();
  Membership membership(MembershipOptions{Info(0), {}, kInterval, 4096}, now);
  membership.Learn(now, From(1));
  for (uint32_t k = 2; k < 1000; ++k) membership.Meet(now, Info(k));
  membership.Heard(now, Info(1).node_id);
  std::set<std::string> tried;
  for (absl::Time end = now + SyncSpacing(kInterval, 1000); now <= end; now += kInterval) {
    Actions actions;
    membership.Tick(now, &actions);
    std::set<std::string> addresses;
    for (const Action& action : actions) addresses.insert(std::get<Sync>(action).address);
    EXPECT_EQ(addresses.count(Info(1).control_address), 1u) << "who answers is never kept waiting";
    EXPECT_LE(addresses.size(), 1u + 128);
    EXPECT_GT(membership.next_deadline(), now) << "no spinning";
    membership.SyncAnswered(now, Info(1).control_address, Info(1));
    for (const std::string& address : addresses) membership.SyncFailed(now, address);
    tried.insert(addresses.begin(), addresses.end());
  }
  EXPECT_EQ(tried.size(), 999u);
}

// With all it would be as many calls for each change as there are nodes, squared.
class LargeMeshTest : public testing::Test {
 protected:
  static constexpr uint32_t kNodes = 200;

  LargeMeshTest() : membership_(MembershipOptions{Info(0), {}, kInterval, 4096}, now_) {
    for (uint32_t k = 1; k <= kNodes; ++k) membership_.Meet(now_, Info(k));
  }

  // Ticks whenever there is something to do, until then; all answer. Whom it synced with, and when.
  std::multimap<std::string, absl::Time> RunFor(absl::Duration time) {
    const absl::Time end = now_ + time;
    std::multimap<std::string, absl::Time> asked;
    for (; membership_.next_deadline() <= end;) {
      now_ = std::max(now_, membership_.next_deadline());
      Actions actions;
      membership_.Tick(now_, &actions);
      for (const Action& action : actions) {
        const std::string& address = std::get<Sync>(action).address;
        asked.emplace(address, now_);
        const auto node =
            std::find_if(membership_.peers().begin(), membership_.peers().end(),
                         [&](const auto& p) { return p.second.info.control_address == address; });
        if (node == membership_.peers().end()) continue;
        membership_.Heard(now_, node->first);
        membership_.SyncAnswered(now_, address, node->second.info);
      }
    }
    now_ = end;
    return asked;
  }

  absl::Time now_ = absl::UnixEpoch();
  Membership membership_;
};

TEST_F(LargeMeshTest, WhoIsHeardOfIsSyncedWithInTurn) {
  const absl::Time began = now_;
  EXPECT_EQ(RunFor(absl::ZeroDuration()).size(), kAllSyncMax) << "with the first ones at once";
  const auto asked = RunFor(SyncSpacing(kInterval, kNodes));
  std::set<std::string> ever;
  for (const auto& [address, time] : asked) ever.insert(address);
  EXPECT_GE(ever.size(), kNodes - kAllSyncMax) << "with everybody else within a turn";
  const auto soon = std::count_if(asked.begin(), asked.end(), [&](const auto& entry) {
    return entry.second < began + kInterval;
  });
  EXPECT_LT(soon, 60) << "but not all together";
}

TEST_F(LargeMeshTest, NewsGoToThoseWhomTheyConcern) {
  RunFor(SyncSpacing(kInterval, kNodes));
  membership_.SyncSoon(now_, [] { return std::set<NodeId>{NodeId{1, 7}, NodeId{0, 3}}; });
  EXPECT_EQ(membership_.next_deadline(), now_);
  const auto asked = RunFor(absl::ZeroDuration());
  EXPECT_EQ(asked.size(), 1u);
  EXPECT_TRUE(asked.contains("node7:7070"));
}

TEST_F(LargeMeshTest, NewsAreFollowedAtOnceOrInTurn) {
  RunFor(SyncSpacing(kInterval, kNodes));
  Actions actions;
  membership_.Follow(now_, Info(7), /*in_turn=*/false, &actions);
  EXPECT_TRUE(RunFor(absl::ZeroDuration()).contains("node7:7070"));
  now_ += absl::Milliseconds(20);
  membership_.Follow(now_, Info(9), /*in_turn=*/true, &actions);
  EXPECT_TRUE(RunFor(kInterval).contains("node9:7070"));
  EXPECT_TRUE(actions.empty());
  NodeInfo successor = Info(11);
  successor.session = 5;
  membership_.Follow(now_, successor, /*in_turn=*/true, &actions);
  EXPECT_TRUE(RunFor(kInterval).contains("node11:7070")) << "where its former process was";
  EXPECT_TRUE(actions.empty());
  successor.control_address = "elsewhere:7070";
  membership_.Follow(now_, successor, /*in_turn=*/true, &actions);
  ASSERT_EQ(actions.size(), 1u) << "a process that is not known is asked where others say it is";
  EXPECT_EQ(std::get<Sync>(actions[0]).address, "elsewhere:7070");
  EXPECT_EQ(membership_.Find(NodeId{1, 11})->info, Info(11)) << "and believed when it answers";
}

TEST_F(LargeMeshTest, WhoHasNotToldAllIsAskedAgainOnceAnInterval) {
  RunFor(SyncSpacing(kInterval, kNodes));
  const absl::Time synced_at = now_;
  membership_.SyncSoon(now_, [] { return std::set<NodeId>{NodeId{1, 7}}; });
  ASSERT_TRUE(RunFor(absl::Milliseconds(20)).contains("node7:7070"));
  membership_.SyncAgain(now_, NodeId{1, 7});
  membership_.SyncAgain(now_, NodeId{5, 5});  // unknown
  const auto asked = RunFor(kInterval);
  ASSERT_EQ(asked.count("node7:7070"), 1u);
  EXPECT_GE(asked.find("node7:7070")->second, synced_at + kInterval);
}

TEST(FollowSpread, SoManyComeInEachInterval) {
  EXPECT_EQ(FollowSpread(kInterval, 33), kInterval);
  EXPECT_EQ(FollowSpread(kInterval, 4096), 8 * kInterval);
}

TEST(SyncSpacing, EachIntervalTheSameNumberOfSyncs) {
  EXPECT_EQ(SyncSpacing(kInterval, 0), kInterval);
  EXPECT_EQ(SyncSpacing(kInterval, 8), kInterval);
  EXPECT_EQ(SyncSpacing(kInterval, 64), 8 * kInterval);
}

TEST(LargeMembership, SyncsAreSpreadOverTheirSpacing) {
  absl::Time now = absl::UnixEpoch();
  Membership membership(MembershipOptions{Info(0), {}, kInterval, 4096}, now);
  constexpr uint32_t kPeers = 64;
  for (uint32_t k = 1; k <= kPeers; ++k) {
    membership.Learn(now, From(k));
    membership.Heard(now, Info(k).node_id);
  }
  std::map<std::string, int> syncs;
  size_t most = 0;
  for (int tick = 0; tick < 480; ++tick) {
    now += absl::Milliseconds(100);
    Actions actions;
    membership.Tick(now, &actions);
    if (tick > 0) most = std::max(most, actions.size());
    for (const Action& action : actions) {
      const std::string& address = std::get<Sync>(action).address;
      ++syncs[address];
      for (uint32_t k = 1; k <= kPeers; ++k) {
        if (address == Info(k).control_address) membership.SyncAnswered(now, address, Info(k));
      }
    }
  }
  EXPECT_LE(most, 16u) << "not all at once";
  ASSERT_EQ(syncs.size(), kPeers);
  for (const auto& [address, count] : syncs) {  // 48 s, each 4 to 12 s
    EXPECT_GE(count, 4) << address;
    EXPECT_LE(count, 13) << address;
  }
}

}  // namespace
}  // namespace weightmesh
