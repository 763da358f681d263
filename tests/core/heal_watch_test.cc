// The consensus distance around the return of those who were held for dead.
#include "daemon/core/heal_watch.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "daemon/core/run.h"
#include "tests/testing/core_harness.h"

namespace weightmesh {
namespace {

using testing_support::CoreHarness;

constexpr absl::Duration kWait = absl::Seconds(2);

class HealWatchTest : public testing::Test {
 protected:
  std::optional<Heal> Mixed(bool with_returned, double distance) {
    return watch_.Mixed(now_, with_returned, distance);
  }

  HealWatch watch_;
  absl::Time now_ = absl::UnixEpoch();
};

TEST_F(HealWatchTest, TheHighestOfTheFirstRoundsIsTold) {
  EXPECT_FALSE(Mixed(false, 0.5).has_value());
  watch_.Returned(now_, 3);
  EXPECT_TRUE(watch_.Awaits(3));
  EXPECT_FALSE(watch_.Awaits(4));
  EXPECT_FALSE(Mixed(false, 0.6).has_value());
  now_ += absl::Seconds(1);
  EXPECT_FALSE(Mixed(true, 40).has_value());
  watch_.Returned(now_, 5);
  EXPECT_FALSE(Mixed(true, 60).has_value());
  now_ += kWait;
  const auto heal = Mixed(true, 30);
  ASSERT_TRUE(heal.has_value());
  EXPECT_EQ(heal->back, (std::set<uint32_t>{3, 5}));
  EXPECT_EQ(heal->before, 0.5);
  EXPECT_EQ(heal->highest, 60);
  EXPECT_EQ(heal->rounds, 3u);
  EXPECT_FALSE(watch_.Awaits(3)) << "once";
  now_ += kWait;
  EXPECT_FALSE(Mixed(true, 70).has_value());
}

TEST_F(HealWatchTest, ItWaitsUntilSomethingOfThemWasMixed) {
  Mixed(false, 0.5);
  watch_.Returned(now_, 3);
  for (int round = 0; round < 100; ++round) {
    now_ += kWait;
    EXPECT_FALSE(Mixed(false, 0.7).has_value());
  }
  watch_.Returned(now_, 4);
  now_ += kWait;
  const auto heal = Mixed(true, 8);
  ASSERT_TRUE(heal.has_value());
  EXPECT_NEAR(heal->before, 0.7, 0.001) << "of the newest rounds without them";
  EXPECT_EQ(heal->rounds, 1u);
}

TEST_F(HealWatchTest, OneRoundDoesNotMakeTheDistanceBefore) {
  for (int round = 0; round < 100; ++round) Mixed(false, 1);
  Mixed(false, 1.8);
  watch_.Returned(now_, 3);
  now_ += kWait;
  const auto heal = Mixed(true, 8);
  ASSERT_TRUE(heal.has_value());
  EXPECT_NEAR(heal->before, 1.1, 0.001);
}

TEST_F(HealWatchTest, WhoIsGoneAgainIsNotWaitedFor) {
  watch_.Returned(now_, 3);
  watch_.Gone(3);
  EXPECT_FALSE(watch_.Awaits(3));
  now_ += kWait;
  EXPECT_FALSE(Mixed(false, 8).has_value());
}

TEST(DescribeHeal, NamesAFewOfThoseWhoStillTakePart) {
  FoundingRecord founding;
  founding.segments = 1;
  weightmesh::Run run("letter", founding);
  std::vector<ReplicaId> founders;
  for (uint32_t k = 0; k < 7; ++k) {
    Member member;
    member.info.replica_id = CoreHarness::ReplicaOf(k);
    member.info.name = CoreHarness::NameOf(k);
    run.Put(member);
    founders.push_back(member.info.replica_id);
  }
  run.Start(founders);
  const auto number = [&run](uint32_t k) { return *run.NumberOf(CoreHarness::ReplicaOf(k)); };
  Heal heal{{number(2)}, 0.012, 34, 1};
  EXPECT_EQ(DescribeHeal(run, heal),
            "run letter: 1 replica is back in the view (host2/0); consensus distance 1.2e-02 "
            "before, 3.4e+01 in the first round with them");
  for (uint32_t k = 0; k < 7; ++k) heal.back.insert(number(k));
  heal.rounds = 9;
  const std::string all = DescribeHeal(run, heal);
  EXPECT_NE(all.find("7 replicas are back"), std::string::npos) << all;
  EXPECT_NE(all.find(" and 3 more)"), std::string::npos) << all;
  EXPECT_NE(all.find(" at most in the first 9 rounds with them"), std::string::npos) << all;
  for (uint32_t k = 0; k < 7; ++k) run.MemberAt(k).info.state = ReplicaState::kDead;
  EXPECT_EQ(DescribeHeal(run, heal), "");
}

// Of a whole node: replica 0 mixes rounds, while node 2 is held for dead and comes back.
class HealTest : public testing::Test {
 protected:
  static constexpr uint32_t kSegments = 6;

  HealTest() : harness_(RunConfig{}, kSegments) { harness_.StartRun(3); }

  // Node 1 tells of node 2.
  void TellOfTwo(swim::MemberState state) {
    swim::Message message;
    message.from = harness_.InfoOf(1);
    message.uptime = absl::Hours(1);
    message.incarnation = 1;
    swim::MemberUpdate update;
    update.node = harness_.InfoOf(2);
    update.incarnation = 1;
    update.state = state;
    update.record_version = 1;
    message.updates = {update};
    harness_.Step(GossipReceived{swim::CallId{++calls_}, message});
  }
  // One round, with this squared difference in each segment; what was said of a return meanwhile.
  std::string MixRound(double difference_squared) {
    ++round_;
    harness_.Publish(round_, static_cast<uint32_t>(round_ % 3));
    for (const StartPull& pull : harness_.All<StartPull>()) harness_.Land(pull);
    harness_.Collect(round_);
    const std::vector<MixedSegmentResult> results(
        kSegments, MixedSegmentResult{Outcome::kArrived, difference_squared});
    harness_.Step(Mixed{CoreHarness::kAttach, Round{round_}, results});
    std::string said;
    for (const Log& log : harness_.All<Log>()) {
      if (log.text.find("back in the view") != std::string::npos) said += log.text;
    }
    return said;
  }

  CoreHarness harness_;
  uint64_t calls_ = 0;
  uint64_t round_ = 0;
};

TEST_F(HealTest, WhatAReturnDoesIsLogged) {
  TellOfTwo(swim::MemberState::kAlive);
  harness_.now += absl::Minutes(1);
  TellOfTwo(swim::MemberState::kDead);
  EXPECT_EQ(MixRound(0.5), "");
  harness_.Hear(2);
  harness_.Hear(3);
  EXPECT_EQ(MixRound(100), "");
  EXPECT_EQ(MixRound(10), "");
  harness_.now += kWait;
  // (n - 1) / 2n of the sum over all segments: n is 3 before and 4 with it.
  EXPECT_EQ(MixRound(1),
            "run run: 1 replica is back in the view (host2/0); consensus distance 1.0e+00 before, "
            "2.2e+02 at most in the first 3 rounds with them");
  harness_.now += kWait;
  EXPECT_EQ(MixRound(1), "") << "once";
}

TEST_F(HealTest, APauseIsNone) {
  EXPECT_EQ(MixRound(0.5), "");
  harness_.Step(LinkDown{CoreHarness::NodeOf(2), "broken"});
  harness_.Hear(2);
  for (int k = 0; k < 3; ++k) {
    harness_.now += kWait;
    EXPECT_EQ(MixRound(100), "");
  }
}

}  // namespace
}  // namespace weightmesh
