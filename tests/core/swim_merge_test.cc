// What others say of nodes: which of two beliefs holds, refutation, restarts, records, tombstones.
#include "tests/core/swim_fixture.h"

namespace weightmesh::swim {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr MemberState kStates[] = {MemberState::kAlive, MemberState::kSuspect, MemberState::kDead,
                                   MemberState::kLeft};

// SWIM section 4.2, and that only a higher incarnation brings back who is gone. Every pair of
// states with a lower, the same and a higher incarnation.
TEST(SwimPrecedence, Exhaustive) {
  struct Row {
    MemberState news;
    MemberState known;
    bool lower, same, higher;  // the news' incarnation
  };
  constexpr auto kAlive = MemberState::kAlive;
  constexpr auto kSuspect = MemberState::kSuspect;
  constexpr auto kDead = MemberState::kDead;
  constexpr auto kLeft = MemberState::kLeft;
  const Row table[] = {
      {kAlive, kAlive, false, false, true},  {kAlive, kSuspect, false, false, true},
      {kAlive, kDead, false, false, true},   {kAlive, kLeft, false, false, true},
      {kSuspect, kAlive, false, true, true}, {kSuspect, kSuspect, false, false, true},
      {kSuspect, kDead, false, false, true}, {kSuspect, kLeft, false, false, true},
      {kDead, kAlive, false, true, true},    {kDead, kSuspect, false, true, true},
      {kDead, kDead, false, false, true},    {kDead, kLeft, false, false, true},
      {kLeft, kAlive, false, true, true},    {kLeft, kSuspect, false, true, true},
      {kLeft, kDead, false, true, true},     {kLeft, kLeft, false, false, true},
  };
  for (const Row& row : table) {
    const std::string what =
        absl::StrCat(MemberStateName(row.news), " over ", MemberStateName(row.known));
    EXPECT_EQ(Overrides(4, row.news, 5, row.known), row.lower) << what;
    EXPECT_EQ(Overrides(5, row.news, 5, row.known), row.same) << what;
    EXPECT_EQ(Overrides(6, row.news, 5, row.known), row.higher) << what;
  }
}

// The machine believes what the table says, whatever the order in which two things are told.
TEST_F(SwimTest, BeliefsDoNotDependOnTheOrderOfNews) {
  for (MemberState first : kStates) {
    for (MemberState second : kStates) {
      for (uint64_t first_incarnation : {1, 2, 3}) {
        for (uint64_t second_incarnation : {1, 2, 3}) {
          MemberState states[2];
          uint64_t incarnations[2];
          for (int order = 0; order < 2; ++order) {
            Swim swim(Options(), Info(0), now_);
            SwimActions actions;
            Message message = From(9, {Update(1, 1, MemberState::kAlive)});
            message.updates.push_back(order == 0 ? Update(1, first_incarnation, first)
                                                 : Update(1, second_incarnation, second));
            message.updates.push_back(order == 0 ? Update(1, second_incarnation, second)
                                                 : Update(1, first_incarnation, first));
            swim.Answer(now_, message, &actions);
            states[order] = swim.Find(Node(1))->state;
            incarnations[order] = swim.Find(Node(1))->incarnation;
          }
          EXPECT_EQ(states[0], states[1]);
          EXPECT_EQ(incarnations[0], incarnations[1]);
        }
      }
    }
  }
}

TEST_F(SwimTest, ASuspicionIsRefutedAtOnce) {
  Meet(3);
  Quiet();
  const Message answer = Tell(2, Update(0, 1, MemberState::kSuspect, {Node(3)}));
  EXPECT_EQ(answer.incarnation, 2u);
  ASSERT_THAT(answer.updates, SizeIs(1));
  EXPECT_EQ(answer.updates[0].node.node_id, Node(0));
  EXPECT_EQ(answer.updates[0].state, MemberState::kAlive);
  EXPECT_EQ(answer.updates[0].incarnation, 2u);
  EXPECT_EQ(swim_.health_score(), 1u);
  EXPECT_THAT(TakeNotices(), ElementsAre("defended 0"));
  Tell(2, Update(0, 1, MemberState::kSuspect, {Node(3)}));
  EXPECT_EQ(swim_.self().incarnation, 2u) << "it is refuted already";
  Tell(2, Update(0, 7, MemberState::kDead));
  EXPECT_EQ(swim_.self().incarnation, 8u);
  EXPECT_EQ(swim_.self().state, MemberState::kAlive);
}

TEST_F(SwimTest, ARefutationEndsASuspicion) {
  Meet(3);
  FailProbeOf(1);
  actions_.clear();
  Tell(2, Update(1, 1, MemberState::kAlive));
  EXPECT_EQ(StateOf(1), MemberState::kSuspect) << "the same incarnation is no refutation";
  Tell(2, Update(1, 2, MemberState::kAlive));
  EXPECT_EQ(StateOf(1), MemberState::kAlive);
  EXPECT_THAT(TakeNotices(), ElementsAre("refuted 1"));
  Run(absl::Milliseconds(900));
  EXPECT_EQ(StateOf(1), MemberState::kAlive);
}

TEST_F(SwimTest, TheRefutationIsInTheAnswersHeaderToo) {
  Meet(3);
  FailProbeOf(1);
  Quiet();
  // Its sign of life, and that nobody tells the news any more, change nothing.
  const Probe probe = ProbeOf(1);
  ASSERT_THAT(probe.message.updates, testing::Not(IsEmpty()));
  EXPECT_EQ(probe.message.updates[0].node.node_id, Node(1)) << "it hears of it first of all";
  EXPECT_EQ(probe.message.updates[0].state, MemberState::kSuspect);
  Message answer = From(1);
  answer.incarnation = 2;
  swim_.ProbeAnswered(now_, probe.id, answer, &actions_);
  EXPECT_EQ(StateOf(1), MemberState::kAlive);
}

TEST_F(SwimTest, ADeadNodeHearsOfItAndReturns) {
  Meet(3);
  now_ += absl::Seconds(1);
  Tell(2, Update(1, 1, MemberState::kDead));
  Quiet();
  Message message = From(1);
  Message answer = swim_.Answer(now_, message, &actions_);
  ASSERT_THAT(answer.updates, SizeIs(1));
  EXPECT_EQ(answer.updates[0].state, MemberState::kDead);
  EXPECT_EQ(StateOf(1), MemberState::kDead) << "its old incarnation does not bring it back";
  message.incarnation = 2;
  swim_.Answer(now_, message, &actions_);
  EXPECT_EQ(StateOf(1), MemberState::kAlive);
  EXPECT_THAT(TakeNotices(), ElementsAre("returned 1"));
  EXPECT_EQ(swim_.living(), 4u);
}

TEST_F(SwimTest, WholeStatesSuspectOnlyWhomTheyHoldForDead) {
  Meet(3);
  Message message = From(2, {Update(1, 1, MemberState::kDead), Update(3, 1, MemberState::kLeft),
                             Update(4, 1, MemberState::kDead)});
  message.whole = true;
  now_ += absl::Seconds(5);
  swim_.Answer(now_, message, &actions_);
  EXPECT_EQ(StateOf(1), MemberState::kSuspect);
  EXPECT_EQ(StateOf(3), MemberState::kLeft);
  EXPECT_EQ(swim_.Find(Node(4)), nullptr) << "the dead are learnt from nobody";
}

TEST_F(SwimTest, TheDeadAreForgottenAndOldNewsDoesNotBringThemBack) {
  Meet(3);
  now_ += absl::Seconds(1);
  Tell(2, Update(1, 4, MemberState::kDead));
  Tell(2, Update(1, 4, MemberState::kAlive));
  Tell(2, Update(1, 3, MemberState::kSuspect));
  EXPECT_EQ(StateOf(1), MemberState::kDead);
  now_ += absl::Minutes(10) - absl::Milliseconds(1);
  Tell(2, Update(1, 4, MemberState::kAlive));
  ASSERT_NE(swim_.Find(Node(1)), nullptr);
  EXPECT_EQ(StateOf(1), MemberState::kDead);
  now_ += absl::Milliseconds(1);
  swim_.Tick(now_, &actions_);
  EXPECT_EQ(swim_.Find(Node(1)), nullptr);
  EXPECT_THAT(TakeNotices(), testing::Contains("forgotten 1"));
  Tell(2, Update(1, 4, MemberState::kDead));
  EXPECT_EQ(swim_.Find(Node(1)), nullptr) << "tombstones do not spread";
}

TEST_F(SwimTest, SoManyOfTheDeadAndNoMore) {
  SwimOptions options = Options();
  options.dead_max = 3;
  Swim swim(options, Info(0), now_);
  for (uint64_t k = 1; k <= 8; ++k) {
    swim.Answer(now_, From(9, {Update(k, 1, MemberState::kAlive)}), &actions_);
    swim.Answer(now_, From(9, {Update(k, 1, MemberState::kDead)}), &actions_);
    now_ += absl::Milliseconds(10);
    swim.Tick(now_, &actions_);
  }
  EXPECT_EQ(swim.members().size(), 2u + 3u);
  EXPECT_NE(swim.Find(Node(8)), nullptr);
  EXPECT_EQ(swim.Find(Node(1)), nullptr) << "those who died first go first";
}

TEST_F(SwimTest, SoManyNodesAndNoMoreButTheDeadGivePlace) {
  SwimOptions options = Options();
  options.nodes_max = 4;
  Swim swim(options, Info(0), now_);
  for (uint64_t k = 1; k <= 5; ++k) swim.Answer(now_, From(k), &actions_);
  EXPECT_EQ(swim.members().size(), 4u);
  EXPECT_EQ(swim.updates_refused(), 2u);
  now_ += absl::Seconds(1);
  swim.Answer(now_, From(1, {Update(2, 1, MemberState::kDead)}), &actions_);
  swim.Answer(now_, From(5), &actions_);
  EXPECT_EQ(swim.members().size(), 4u);
  EXPECT_NE(swim.Find(Node(5)), nullptr);
  EXPECT_EQ(swim.Find(Node(2)), nullptr);
  for (int k = 0; k < 20; ++k) swim.Answer(now_, From(1), &actions_);  // all that was queued
}

TEST_F(SwimTest, ARestartedNodeTakesAHigherIncarnationBeforeItServes) {
  EXPECT_FALSE(swim_.told_of_self());
  MemberUpdate former = Update(0, 6, MemberState::kDead);
  former.node.session = 4242;
  former.record_version = 9;
  Message answer = From(1, {former});
  answer.whole = true;
  answer.digest = 1;
  swim_.Answered(now_, answer, &actions_);
  EXPECT_TRUE(swim_.told_of_self());
  EXPECT_EQ(swim_.self().incarnation, 7u);
  EXPECT_EQ(swim_.self().record_version, 10u);
  EXPECT_EQ(swim_.health_score(), 0u) << "nobody has suspected this process";
}

TEST_F(SwimTest, AFormerProcessOfTheSameIncarnationIsFollowedToo) {
  MemberUpdate former = Update(0, 1, MemberState::kAlive);
  former.node.session = 4242;
  swim_.Answered(now_, From(1, {former}), &actions_);
  EXPECT_EQ(swim_.self().incarnation, 2u);
  EXPECT_EQ(swim_.self().record_version, 2u);
}

TEST_F(SwimTest, ANewcomerDoesNotSpreadWhatItIsTold) {
  Message answer = From(1, {Update(2, 1, MemberState::kAlive), Update(3, 1, MemberState::kAlive)});
  answer.whole = true;
  swim_.Answered(now_, answer, &actions_);
  EXPECT_EQ(swim_.living(), 4u);
  const Message told = swim_.Answer(now_, From(2), &actions_);
  ASSERT_THAT(told.updates, SizeIs(1)) << "of itself alone";
  EXPECT_EQ(told.updates[0].node.node_id, Node(0));
}

TEST_F(SwimTest, AnotherProcessOfANodeNeedsAHigherIncarnation) {
  Meet(3);
  Message message = From(1);
  message.from.session = 777;
  message.incarnation = 1;
  Message answer = swim_.Answer(now_, message, &actions_);
  EXPECT_EQ(swim_.Find(Node(1))->info.session, Info(1).session);
  ASSERT_THAT(answer.updates, testing::Not(IsEmpty()));
  EXPECT_EQ(answer.updates[0].node, Info(1)) << "it is told whom it follows";
  actions_.clear();
  message.incarnation = 2;
  answer = swim_.Answer(now_, message, &actions_);
  EXPECT_EQ(swim_.Find(Node(1))->info.session, 777u);
  EXPECT_THAT(TakeNotices(), ElementsAre("restarted 1"));
  EXPECT_EQ(swim_.Find(Node(1))->record_version, 0u) << "what its former process said is void";
  Tell(2, Update(1, 1, MemberState::kSuspect, {Node(2)}));
  MemberUpdate old_record = Update(1, 1, MemberState::kAlive);
  old_record.record_version = 50;
  Tell(2, old_record);
  EXPECT_EQ(StateOf(1), MemberState::kAlive);
  EXPECT_EQ(swim_.Find(Node(1))->info.session, 777u);
}

TEST_F(SwimTest, ATwinIsReportedAndNotListenedTo) {
  Message message = From(0, {Update(5, 1, MemberState::kAlive)});
  message.from.session = 31;
  swim_.Answer(now_, message, &actions_);
  EXPECT_THAT(TakeNotices(), ElementsAre("contested 0"));
  EXPECT_EQ(swim_.Find(Node(5)), nullptr);
}

TEST_F(SwimTest, RecordsSpreadByVersion) {
  Meet(2);
  MemberUpdate update = Update(1, 1, MemberState::kAlive);
  update.record_version = 3;
  update.record = "three";
  Tell(2, update);
  EXPECT_EQ(swim_.Find(Node(1))->record, "three");
  Quiet();
  update.record_version = 2;
  update.record = "two";
  EXPECT_THAT(Tell(2, update).updates, IsEmpty());
  EXPECT_EQ(swim_.Find(Node(1))->record, "three");
  update.record_version = 4;
  update.record = "four";
  update.node.control_address = "elsewhere:1";
  EXPECT_THAT(Tell(2, update).updates, IsEmpty()) << "no news for whom it came from";
  const Message passed_on = swim_.Answer(now_, From(1), &actions_);
  EXPECT_EQ(swim_.Find(Node(1))->record, "four");
  EXPECT_EQ(swim_.Find(Node(1))->info.control_address, "elsewhere:1");
  ASSERT_THAT(passed_on.updates, SizeIs(1));
  EXPECT_EQ(passed_on.updates[0], update);
  EXPECT_THAT(TakeNotices(), ElementsAre("changed 1"));
}

TEST_F(SwimTest, TheOwnRecordAndAddressAreTold) {
  Meet(2);
  Quiet();
  const uint64_t before = swim_.digest();
  swim_.SetRecord(now_, "mine");
  swim_.SetRecord(now_, "mine");
  EXPECT_NE(swim_.digest(), before);
  Message told = swim_.Answer(now_, From(1), &actions_);
  ASSERT_THAT(told.updates, SizeIs(1));
  EXPECT_EQ(told.updates[0].record, "mine");
  EXPECT_EQ(told.updates[0].record_version, 2u);
  swim_.SetAddress(now_, "elsewhere:1");
  told = swim_.Answer(now_, From(1), &actions_);
  EXPECT_EQ(told.updates.at(0).node.control_address, "elsewhere:1");
  EXPECT_EQ(told.updates.at(0).incarnation, 2u);
  EXPECT_EQ(told.updates.at(0).record_version, 3u);
}

TEST_F(SwimTest, DigestsAreEqualWhereTheLivingAre) {
  Swim other(Options(), Info(1), now_);
  SwimActions actions;
  EXPECT_NE(swim_.digest(), other.digest());
  other.Answer(now_, swim_.Whole(), &actions);
  swim_.Answer(now_, other.Whole(), &actions_);
  EXPECT_EQ(swim_.digest(), other.digest());
  Tell(1, Update(5, 1, MemberState::kAlive));
  EXPECT_NE(swim_.digest(), other.digest());
  now_ += absl::Seconds(5);
  Tell(1, Update(5, 1, MemberState::kDead));
  EXPECT_EQ(swim_.digest(), other.digest()) << "tombstones are forgotten at different times";
}

TEST_F(SwimTest, PushPullIsSkippedWhenTheDigestsAreEqual) {
  Meet(2);
  Quiet();
  Message request = From(1);
  request.wants_whole = true;
  EXPECT_FALSE(swim_.Answer(now_, request, &actions_).whole);
  request.digest += 1;
  const Message whole = swim_.Answer(now_, request, &actions_);
  EXPECT_TRUE(whole.whole);
  EXPECT_THAT(whole.updates, SizeIs(3));
  EXPECT_FALSE(whole.wants_whole);

  // Whoever gets a whole answer that says less than is known here pushes all of its own.
  actions_.clear();
  Message answer = From(1);
  answer.whole = true;
  answer.digest = 1;
  swim_.Answered(now_, answer, &actions_);
  const std::vector<PushPull> pushes = Take<PushPull>();
  ASSERT_THAT(pushes, SizeIs(1));
  EXPECT_TRUE(pushes[0].message.whole);
  EXPECT_FALSE(pushes[0].message.wants_whole) << "once, not for ever";
}

TEST_F(SwimTest, TwoThatHaveNoNewsAndDifferAskForAll) {
  Meet(2);
  Quiet();
  Message message = From(1);
  const auto asked = [&] {
    swim_.Answer(now_, message, &actions_);
    return Take<PushPull>().size();
  };
  message.digest = 1;
  EXPECT_EQ(asked(), 0u) << "the news may be on its way";
  now_ += absl::Seconds(4);
  message.digest = swim_.digest();
  EXPECT_EQ(asked(), 0u) << "they agree";
  message.digest = 1;
  EXPECT_EQ(asked(), 0u) << "this is another difference";
  now_ += absl::Seconds(4);
  message.updates.push_back(Update(2, 1, MemberState::kAlive));
  message.updates[0].record_version = 0;  // known here already
  EXPECT_EQ(asked(), 0u) << "news is under way";
  message.updates.clear();
  EXPECT_EQ(asked(), 1u);
  EXPECT_EQ(asked(), 0u) << "once in four intervals";
}

TEST_F(SwimTest, DeadNodesAreTriedNowAndThenSoThatHalvesMeetAgain) {
  Meet(2);
  now_ += absl::Seconds(2);
  Tell(2, Update(1, 1, MemberState::kDead));
  actions_.clear();
  Run(absl::Seconds(11));
  const std::vector<PushPull> tries = Take<PushPull>();
  ASSERT_THAT(tries, testing::Not(IsEmpty()));
  EXPECT_EQ(tries[0].node, Node(1));
  EXPECT_EQ(tries[0].message.updates.at(0).state, MemberState::kDead) << "it hears of it";
}

// What no honest node says.
TEST_F(SwimTest, WhatIsOutOfBoundsIsRefused) {
  Meet(2);
  actions_.clear();
  const auto refused = [&](const MemberUpdate& update) {
    const uint64_t before = swim_.updates_refused();
    const uint64_t digest = swim_.digest();
    Tell(2, update);
    EXPECT_EQ(swim_.digest(), digest);
    return swim_.updates_refused() == before + 1;
  };
  EXPECT_TRUE(refused(Update(1, 2 + kLeapMax, MemberState::kAlive)));
  EXPECT_TRUE(refused(Update(0, 2 + kLeapMax, MemberState::kSuspect)));
  EXPECT_TRUE(refused(Update(7, 1 + kLeapMax, MemberState::kAlive)));
  EXPECT_TRUE(refused(Update(7, 0, MemberState::kAlive)));
  EXPECT_TRUE(refused(Update(7, 1, MemberState{0})));
  EXPECT_TRUE(refused(Update(7, 1, MemberState{5})));
  MemberUpdate update = Update(7, 1, MemberState::kAlive);
  update.node.control_address.assign(kAddressBytesMax + 1, 'a');
  EXPECT_TRUE(refused(update));
  update = Update(7, 1, MemberState::kAlive);
  update.node.version.assign(kVersionBytesMax + 1, 'a');
  EXPECT_TRUE(refused(update));
  update = Update(7, 1, MemberState::kAlive);
  update.record.assign(Options().record_bytes_max + 1, 'a');
  EXPECT_TRUE(refused(update));
  update = Update(1, 1, MemberState::kAlive);
  update.record_version = 2 + kLeapMax;
  EXPECT_TRUE(refused(update));
  EXPECT_TRUE(
      refused(Update(1, 1, MemberState::kSuspect, std::vector<NodeId>(kAccusersMax + 1, Node(2)))));
  update = Update(7, 1, MemberState::kAlive);
  update.node.node_id = NodeId{};
  EXPECT_TRUE(refused(update));
  EXPECT_THAT(TakeNotices(), IsEmpty());

  const uint64_t before = swim_.updates_refused();
  swim_.Answer(now_, From(2, std::vector<MemberUpdate>(2000, Update(1, 1, MemberState::kAlive))),
               &actions_);
  EXPECT_EQ(swim_.updates_refused(), before + 2000 - 1024);
}

TEST_F(SwimTest, NoMessageIsLongerThanItsLimit) {
  for (uint64_t k = 1; k <= 300; ++k) {
    MemberUpdate update = Update(k, 1, MemberState::kAlive);
    update.record.assign(k % 7 == 0 ? Options().record_bytes_max : 40, 'r');
    Tell(301, update);
  }
  for (int k = 0; k < 200; ++k) {
    const Message answer = swim_.Answer(now_, From(301), &actions_);
    EXPECT_LE(EncodedBytes(answer), Options().message_bytes_max + 128);
  }
  Run(absl::Seconds(1));
  for (const Gossip& gossip : Take<Gossip>()) {
    EXPECT_LE(EncodedBytes(gossip.message), Options().message_bytes_max + 128);
  }
}

}  // namespace
}  // namespace weightmesh::swim
