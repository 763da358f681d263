// Probes: direct, by way of others, for others; what their ends make of a node and of oneself.
#include <algorithm>
#include <optional>

#include "tests/core/swim_fixture.h"

namespace weightmesh::swim {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

TEST_F(SwimTest, EverybodyIsProbedOnceInAPass) {
  Meet(4);
  std::vector<uint64_t> probed;
  for (int k = 0; k < 8; ++k) {
    actions_.clear();
    now_ = std::max(now_, Start() + k * absl::Seconds(1));
    swim_.Tick(now_, &actions_);
    for (const Probe& probe : Take<Probe>()) {
      probed.push_back(probe.node.low);
      EXPECT_EQ(probe.timeout, absl::Milliseconds(500));
      swim_.ProbeAnswered(now_, probe.id, From(probe.node.low), &actions_);
    }
  }
  ASSERT_THAT(probed, SizeIs(8));
  for (uint64_t k = 1; k <= 4; ++k) {
    EXPECT_EQ(std::count(probed.begin(), probed.begin() + 4, k), 1);
    EXPECT_EQ(std::count(probed.begin() + 4, probed.end(), k), 1);
  }
}

TEST_F(SwimTest, OthersAreAskedBeforeANodeIsSuspected) {
  Meet(5);
  const Probe probe = ProbeOf(1);
  ASSERT_EQ(probe.node, Node(1));
  now_ += absl::Milliseconds(500);
  swim_.ProbeFailed(now_, probe.id, &actions_);
  const std::vector<IndirectProbe> indirect = Take<IndirectProbe>();
  ASSERT_THAT(indirect, SizeIs(3));
  for (const IndirectProbe& one : indirect) {
    EXPECT_NE(one.via, Node(1));
    EXPECT_EQ(one.target.node_id, Node(1));
    EXPECT_EQ(one.timeout, absl::Milliseconds(500)) << "the rest of the interval";
  }
  EXPECT_EQ(StateOf(1), MemberState::kAlive);
  swim_.IndirectProbeAnswered(now_, probe.id, false, From(indirect[0].via.low), &actions_);
  swim_.IndirectProbeAnswered(now_, probe.id, false, From(indirect[1].via.low), &actions_);
  EXPECT_EQ(StateOf(1), MemberState::kAlive);
  swim_.IndirectProbeAnswered(now_, probe.id, false, From(indirect[2].via.low), &actions_);
  EXPECT_EQ(StateOf(1), MemberState::kSuspect);
  EXPECT_THAT(TakeNotices(), ElementsAre("suspected 1"));
  EXPECT_EQ(swim_.health_score(), 1u) << "a probe failed, and no nack was missed";
}

TEST_F(SwimTest, SuspectsAreNotAskedToHelp) {
  Meet(4);
  FailProbeOf(2);
  FailProbeOf(3);
  const Probe probe = ProbeOf(1);
  swim_.ProbeFailed(now_, probe.id, &actions_);
  const std::vector<IndirectProbe> indirect = Take<IndirectProbe>();
  ASSERT_THAT(indirect, SizeIs(1));
  EXPECT_EQ(indirect[0].via, Node(4));
}

TEST_F(SwimTest, AnAckOfOneHelperIsEnough) {
  Meet(5);
  const Probe probe = ProbeOf(1);
  swim_.ProbeFailed(now_, probe.id, &actions_);
  const std::vector<IndirectProbe> indirect = Take<IndirectProbe>();
  swim_.IndirectProbeAnswered(now_, probe.id, false, From(indirect[0].via.low), &actions_);
  swim_.IndirectProbeAnswered(now_, probe.id, true, From(indirect[1].via.low), &actions_);
  swim_.IndirectProbeAnswered(now_, probe.id, false, From(indirect[2].via.low), &actions_);
  Run(absl::Milliseconds(999));
  EXPECT_EQ(StateOf(1), MemberState::kAlive);
  EXPECT_EQ(swim_.health_score(), 0u);
}

TEST_F(SwimTest, MissedNacksRaiseTheScoreAndTheScoreSlowsProbes) {
  Meet(5);
  const Probe probe = ProbeOf(1);
  swim_.ProbeFailed(now_, probe.id, &actions_);
  const std::vector<IndirectProbe> indirect = Take<IndirectProbe>();
  swim_.IndirectProbeAnswered(now_, probe.id, false, From(indirect[0].via.low), &actions_);
  swim_.IndirectProbeFailed(now_, probe.id, &actions_);
  swim_.IndirectProbeFailed(now_, probe.id, &actions_);
  EXPECT_EQ(StateOf(1), MemberState::kSuspect);
  EXPECT_EQ(swim_.health_score(), 3u) << "the probe, and two helpers that said nothing";

  const Probe slow = ProbeOf(2);
  EXPECT_EQ(slow.timeout, 4 * absl::Milliseconds(500));
  swim_.ProbeAnswered(now_, slow.id, From(2), &actions_);
  EXPECT_EQ(swim_.health_score(), 2u);
  const absl::Time before = now_;
  RunTo(before);  // the probe that is due
  actions_.clear();
  RunTo(before + absl::Milliseconds(2999));
  EXPECT_THAT(Take<Probe>(), IsEmpty()) << "the interval is three times as long";
  RunTo(before + absl::Seconds(3));
  EXPECT_THAT(Take<Probe>(), SizeIs(1));
}

TEST_F(SwimTest, HelpersThatSayNothingAreWaitedForUntilTheEndOfTheInterval) {
  Meet(5);
  Quiet();
  const Probe probe = ProbeOf(1);
  swim_.ProbeFailed(now_, probe.id, &actions_);
  RunTo(now_ + absl::Milliseconds(999));
  EXPECT_EQ(StateOf(1), MemberState::kAlive);
  RunTo(now_ + absl::Milliseconds(1));
  EXPECT_EQ(StateOf(1), MemberState::kSuspect);
  EXPECT_EQ(swim_.health_score(), 5u) << "1 + 3 missed, and 1 for the probe in turn";
}

TEST_F(SwimTest, OfTwoNodesNobodyCanBeAsked) {
  Meet(1);
  const Probe probe = ProbeOf(1);
  swim_.ProbeFailed(now_, probe.id, &actions_);
  EXPECT_EQ(StateOf(1), MemberState::kSuspect);
  RunTo(Start() + absl::Milliseconds(4999));
  EXPECT_EQ(StateOf(1), MemberState::kSuspect);
  RunTo(Start() + absl::Seconds(5));
  EXPECT_EQ(StateOf(1), MemberState::kDead) << "the least time: nobody could confirm";
}

TEST_F(SwimTest, ConfirmationsShortenTheSuspicion) {
  Meet(9);
  FailProbeOf(1);
  Quiet();
  const absl::Time suspected_at = now_;
  Tell(2, Update(1, 1, MemberState::kSuspect, {Node(2)}));
  Tell(2, Update(1, 1, MemberState::kSuspect, {Node(2)}));
  Tell(3, Update(1, 1, MemberState::kSuspect, {Node(2), Node(3)}));
  // 15 s − 10 s · log 3 / log 4
  const absl::Time two_confirm = suspected_at + absl::Milliseconds(7075);
  Tell(4, Update(1, 1, MemberState::kSuspect, {Node(4)}));
  RunTo(suspected_at + absl::Milliseconds(4999));
  EXPECT_EQ(StateOf(1), MemberState::kSuspect);
  RunTo(suspected_at + absl::Seconds(5));
  EXPECT_EQ(StateOf(1), MemberState::kDead);
  EXPECT_LT(now_, two_confirm);
}

TEST_F(SwimTest, OneConfirmationIsWorthHalfTheWay) {
  Meet(9);
  FailProbeOf(1);
  const absl::Time suspected_at = now_;
  Tell(2, Update(1, 1, MemberState::kSuspect, {Node(2)}));
  RunTo(suspected_at + absl::Milliseconds(9999));  // 15 − 10 · log 2 / log 4
  EXPECT_EQ(StateOf(1), MemberState::kSuspect);
  RunTo(suspected_at + absl::Seconds(10));
  EXPECT_EQ(StateOf(1), MemberState::kDead);
}

TEST_F(SwimTest, ASuspectIsProbedOnAndTheOwnProbeConfirms) {
  Meet(9);
  Tell(2, Update(1, 1, MemberState::kSuspect, {Node(2)}));
  EXPECT_EQ(StateOf(1), MemberState::kSuspect);
  Quiet();
  FailProbeOf(1);
  const Message news = swim_.Answer(now_, From(3), &actions_);
  ASSERT_THAT(news.updates, SizeIs(1));
  EXPECT_THAT(news.updates[0].accusers, ElementsAre(Node(2), Node(0)));
}

TEST_F(SwimTest, AnotherNodeAtTheAddressIsNoAnswer) {
  Meet(1);
  const Probe probe = ProbeOf(1);
  Message answer = From(7);
  swim_.ProbeAnswered(now_, probe.id, answer, &actions_);
  ASSERT_EQ(StateOf(7), MemberState::kAlive) << "who answers is learnt";
  swim_.IndirectProbeAnswered(now_, probe.id, false, From(7), &actions_);
  EXPECT_EQ(StateOf(1), MemberState::kSuspect);
}

TEST_F(SwimTest, ProbesForOthers) {
  Meet(3);
  swim_.IndirectProbeAsked(now_, CallId{5}, Info(2), absl::Seconds(1), From(1), &actions_);
  std::vector<Probe> probes = Take<Probe>();
  ASSERT_THAT(probes, SizeIs(1));
  EXPECT_EQ(probes[0].node, Node(2));
  EXPECT_EQ(probes[0].timeout, absl::Milliseconds(800)) << "so that a nack is in time";
  swim_.ProbeFailed(now_, probes[0].id, &actions_);
  std::vector<AnswerIndirectProbe> answers = Take<AnswerIndirectProbe>();
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_EQ(answers[0].call, CallId{5});
  EXPECT_FALSE(answers[0].ack);
  EXPECT_EQ(StateOf(2), MemberState::kAlive) << "it is the other's suspect, not this node's";
  EXPECT_EQ(swim_.health_score(), 0u);

  swim_.IndirectProbeAsked(now_, CallId{6}, Info(2), absl::Seconds(1), From(1), &actions_);
  probes = Take<Probe>();
  swim_.ProbeAnswered(now_, probes.at(0).id, From(2), &actions_);
  EXPECT_TRUE(Take<AnswerIndirectProbe>().at(0).ack);

  swim_.IndirectProbeAsked(now_, CallId{8}, Info(2), absl::Seconds(1), From(1), &actions_);
  probes = Take<Probe>();
  swim_.ProbeAnswered(now_, probes.at(0).id, From(3), &actions_);
  EXPECT_FALSE(Take<AnswerIndirectProbe>().at(0).ack) << "another node answers at its address";

  swim_.IndirectProbeAsked(now_, CallId{7}, Info(44), absl::Seconds(1), From(1), &actions_);
  EXPECT_FALSE(Take<AnswerIndirectProbe>().at(0).ack) << "nobody is made to call strangers";
}

TEST_F(SwimTest, SoManyProbesForOthersAndNoMore) {
  Meet(3);
  for (uint64_t k = 0; k <= kRelaysMax; ++k) {
    swim_.IndirectProbeAsked(now_, CallId{k}, Info(2), absl::Seconds(1), From(1), &actions_);
  }
  size_t probes = 0;
  size_t nacks = 0;
  for (const SwimAction& action : actions_) {
    if (std::holds_alternative<Probe>(action)) ++probes;
    if (std::holds_alternative<AnswerIndirectProbe>(action)) ++nacks;
  }
  EXPECT_EQ(probes, kRelaysMax);
  EXPECT_EQ(nacks, 1u);
}

TEST_F(SwimTest, SoManyOwnProbesAndNoMore) {
  Meet(kOpenProbesMax + 5);
  actions_.clear();
  for (uint64_t k = 1; k <= kOpenProbesMax + 5; ++k) swim_.Doubt(now_, Node(k), &actions_);
  EXPECT_THAT(Take<Probe>(), SizeIs(kOpenProbesMax));
}

TEST_F(SwimTest, ADoubtProbesAtOnceAndOnlyOnce) {
  Meet(3);
  EXPECT_EQ(ProbeOf(2).node, Node(2));
  EXPECT_EQ(ProbeOf(2).id, ProbeId{}) << "one is open";
}

TEST_F(SwimTest, ASignOfLifeAnswersTheOpenProbe) {
  Meet(3);
  const Probe probe = ProbeOf(2);
  swim_.Heard(now_, Node(2), Info(2).session + 1, &actions_);
  swim_.Heard(now_, Node(2), Info(2).session, &actions_);
  swim_.ProbeFailed(now_, probe.id, &actions_);
  EXPECT_THAT(Take<IndirectProbe>(), IsEmpty());
  EXPECT_EQ(StateOf(2), MemberState::kAlive);
  const Probe again = ProbeOf(2);
  swim_.Heard(now_, Node(2), Info(2).session + 1, &actions_);
  swim_.ProbeFailed(now_, again.id, &actions_);
  EXPECT_THAT(Take<IndirectProbe>(), SizeIs(2)) << "another process of it is no answer";
}

TEST_F(SwimTest, ASignOfLifeOfASuspectBeginsItsTimeAnewAndTellsIt) {
  Meet(1);
  FailProbeOf(1);
  now_ += absl::Seconds(4);
  actions_.clear();
  swim_.Heard(now_, Node(1), Info(1).session, &actions_);
  swim_.Heard(now_, Node(1), Info(1).session, &actions_);
  const std::vector<Gossip> told = Take<Gossip>();
  ASSERT_THAT(told, SizeIs(1)) << "once in an interval";
  EXPECT_EQ(told[0].node, Node(1));
  EXPECT_EQ(told[0].message.updates.at(0).state, MemberState::kSuspect);
  EXPECT_EQ(StateOf(1), MemberState::kSuspect) << "it must refute itself";
  RunTo(now_ + absl::Milliseconds(4999));
  EXPECT_EQ(StateOf(1), MemberState::kSuspect);
  RunTo(now_ + absl::Milliseconds(1));
  EXPECT_EQ(StateOf(1), MemberState::kDead);
}

TEST_F(SwimTest, NobodyWhoWasHeardAMomentAgoIsDeadByHearsay) {
  Meet(5);
  now_ += absl::Milliseconds(900);
  Tell(2, Update(1, 1, MemberState::kDead));
  EXPECT_EQ(StateOf(1), MemberState::kSuspect);
  Tell(2, Update(3, 1, MemberState::kDead));
  now_ += absl::Milliseconds(100);
  Tell(2, Update(3, 1, MemberState::kDead));
  EXPECT_EQ(StateOf(3), MemberState::kDead);
}

TEST_F(SwimTest, WhoHasLeftProbesNobody) {
  Meet(5);
  actions_.clear();
  swim_.Leave(now_, &actions_);
  const std::vector<Gossip> told = Take<Gossip>();
  ASSERT_THAT(told, SizeIs(5));
  EXPECT_EQ(told[0].message.updates.at(0).state, MemberState::kLeft);
  for (int k = 1; k <= 5; ++k) swim_.Tick(now_ + k * absl::Seconds(1), &actions_);
  now_ += absl::Seconds(5);
  swim_.Doubt(now_, Node(1), &actions_);
  EXPECT_THAT(Take<Probe>(), IsEmpty());
  Tell(1, Update(0, 1, MemberState::kDead));
  EXPECT_EQ(swim_.self().state, MemberState::kLeft) << "it does not refute";
  EXPECT_EQ(swim_.self().incarnation, 1u);
}

class SwimStallTest : public SwimTest {
 protected:
  SwimStallTest() {
    SwimOptions options = Options();
    options.stall_awareness = true;
    aware_.emplace(options, Info(0), now_);
    for (uint64_t k = 1; k <= 5; ++k) aware_->Answer(now_, From(k), &actions_);
  }
  void RunAware(absl::Time until) {
    while (aware_->next_deadline() <= until) {
      now_ = std::max(now_, aware_->next_deadline());
      aware_->Tick(now_, &actions_);
    }
    now_ = until;
  }

  std::optional<Swim> aware_;
};

TEST_F(SwimStallTest, WhoStoodStillBlamesNobody) {
  aware_->Answer(now_, From(2, {Update(1, 1, MemberState::kSuspect, {Node(2)})}), &actions_);
  RunAware(Start() + absl::Milliseconds(100));
  actions_.clear();
  aware_->Doubt(now_, Node(3), &actions_);
  const std::vector<Probe> probes = Take<Probe>();
  ASSERT_THAT(probes, SizeIs(1));
  const uint32_t score = aware_->health_score();

  now_ = aware_->next_deadline() + absl::Seconds(20);  // in which node 1 would have died
  aware_->ProbeFailed(now_, probes[0].id, &actions_);
  EXPECT_EQ(aware_->health_score(), std::min(score + 1, 7u)) << "for standing still";
  EXPECT_THAT(Take<IndirectProbe>(), IsEmpty());
  aware_->Tick(now_, &actions_);
  EXPECT_EQ(aware_->Find(Node(1))->state, MemberState::kSuspect);
  EXPECT_EQ(aware_->Find(Node(3))->state, MemberState::kAlive);
  RunAware(Start() + absl::Seconds(29));
  EXPECT_EQ(aware_->Find(Node(1))->state, MemberState::kSuspect);
  RunAware(Start() + absl::Seconds(37));
  EXPECT_EQ(aware_->Find(Node(1))->state, MemberState::kDead)
      << "10 to 15 s, not counting the 20 s";
}

TEST_F(SwimStallTest, WhoSleptLongerThanTombstonesAreKeptTellsNoOldNews) {
  EXPECT_THAT(aware_->Answer(now_, From(1), &actions_).updates, testing::Not(IsEmpty()));
  now_ = aware_->next_deadline() + absl::Minutes(10) + absl::Seconds(1);
  EXPECT_THAT(aware_->Answer(now_, From(1), &actions_).updates, IsEmpty());
}

}  // namespace
}  // namespace weightmesh::swim
