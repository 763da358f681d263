// Who comes when a run has started: admission, catch-up, the announced round, the end.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <vector>

#include "daemon/core/node_core.h"
#include "tests/testing/core_harness.h"

namespace weightmesh {
namespace {

using testing_support::CoreHarness;
using wire::Verdict;

constexpr AttachId kJoiner{2};
constexpr uint32_t kName = 9;  // of the replica that joins

class JoiningTest : public testing::Test {
 protected:
  JoiningTest() {
    harness_.founding.segments = 3;
    harness_.founding.parameters = 300;
    harness_.StartRun(3);
  }

  AttachRequested JoinEvent(AttachId attach = kJoiner, uint32_t replica = kName) const {
    AttachRequested event = harness_.AttachEvent(attach, replica);
    event.joins = true;
    event.founding.weights_digest = {1, 2};  // of its own making
    return event;
  }
  void Join(AttachId attach = kJoiner) { harness_.Step(JoinEvent(attach)); }
  // One pass of the joiner, in which all three segments land with `round`.
  void CatchUp(uint64_t pass, uint64_t round, AttachId attach = kJoiner) {
    harness_.Step(CollectRequested{attach, Round{pass}});
    for (const StartPull& pull : harness_.All<StartPull>()) {
      harness_.Step(PullAnswered{CoreHarness::AnswerTo(pull, Verdict::kData, round)});
      harness_.Step(PullEnded{pull.request.request_id, PullEnd::kLanded});
    }
  }
  ReplicaInfo InfoOf(uint32_t replica) {
    const SyncMessage message = harness_.core().MakeSync();
    for (const ReplicaInfo& info : message.runs[0].replicas) {
      if (info.replica_id == CoreHarness::ReplicaOf(replica)) return info;
    }
    return {};
  }
  std::vector<AssignmentSnapshot> Assignments(uint64_t round) {
    return harness_.core().ScheduleOf("run", Round{round}, SegmentId{0})->assignments;
  }
  size_t TakingPart(uint64_t round) { return Assignments(round).size(); }
  bool TakesPart(uint32_t replica, uint64_t round) {
    const std::vector<AssignmentSnapshot> all = Assignments(round);
    return std::any_of(all.begin(), all.end(), [&](const AssignmentSnapshot& one) {
      return one.reader == CoreHarness::ReplicaOf(replica);
    });
  }

  CoreHarness harness_;
};

TEST_F(JoiningTest, ARunThatIsNotKnownCannotBeJoined) {
  AttachRequested event = JoinEvent();
  event.run_id = "another";
  harness_.Step(event);
  EXPECT_EQ(harness_.Only<RefuseAttach>().code, attach::ReplyCode::kNoRun);
}

TEST_F(JoiningTest, WhereOnlyOthersJoinThereIsNothingToJoin) {
  Join();
  for (uint32_t k = 1; k <= 3; ++k) harness_.Hear(k, ReplicaState::kDead);
  harness_.Step(TrainerGone{CoreHarness::kAttach});
  harness_.Step(JoinEvent(AttachId{3}, kName + 1));
  EXPECT_EQ(harness_.Only<RefuseAttach>().code, attach::ReplyCode::kNoRun);
}

TEST_F(JoiningTest, ItsModelMustBeTheRunsButNotItsWeights) {
  AttachRequested event = JoinEvent();
  event.founding.config.seed += 1;
  harness_.Step(event);
  EXPECT_EQ(harness_.Only<RefuseAttach>().code, attach::ReplyCode::kMismatch);
  event.founding.config.seed -= 1;
  event.founding.start_round = Round{77};
  harness_.Step(event);
  EXPECT_EQ(harness_.All<AdmitReplica>().size(), 1u);
}

TEST_F(JoiningTest, ALiveReplicasNameIsInUse) {
  harness_.Step(JoinEvent(kJoiner, 0));
  EXPECT_EQ(harness_.Only<RefuseAttach>().code, attach::ReplyCode::kNameInUse) << "here";
  harness_.Step(JoinEvent(kJoiner, 1));
  EXPECT_EQ(harness_.Only<RefuseAttach>().code, attach::ReplyCode::kNameInUse) << "elsewhere";
}

TEST_F(JoiningTest, ItGetsItsArenaAndHasNoPartYet) {
  Join();
  EXPECT_EQ(harness_.All<StartReplica>().size(), 1u) << "the links are there";
  EXPECT_EQ(InfoOf(kName).state, ReplicaState::kJoining);
  EXPECT_EQ(TakingPart(1), 4u);
  harness_.Step(Published{kJoiner, Round{1}, SlotId{0}});
  EXPECT_TRUE(harness_.All<StartPull>().empty()) << "it has no round of its own";
}

TEST_F(JoiningTest, EachPassAsksForTheNewestOfEverySegment) {
  harness_.Hear(1, ReplicaState::kActive, 40);
  Join();
  harness_.Step(CollectRequested{kJoiner, Round{40}});
  const std::vector<StartPull> pulls = harness_.All<StartPull>();
  ASSERT_EQ(pulls.size(), 3u);
  for (const StartPull& pull : pulls) {
    EXPECT_EQ(pull.attach, kJoiner);
    EXPECT_NE(pull.request.oldest_round, kNoRound);
    EXPECT_NE(pull.request.source, CoreHarness::ReplicaOf(kName));
  }
  CatchUp(41, 39);
  const Deliver delivery = harness_.Only<Deliver>();
  EXPECT_EQ(delivery.attach, kJoiner);
  EXPECT_EQ(delivery.round, Round{41});
  for (const FrozenSegment& row : delivery.segments) {
    EXPECT_TRUE(row.delivered);
    EXPECT_EQ(row.source_round, Round{39});
  }
}

// Each pass is cut short by its deadline: all of them together must bring everything.
TEST_F(JoiningTest, APassGoesOnWhereTheLastOneEnded) {
  harness_.Hear(1, ReplicaState::kActive, 40);
  Join();
  const auto asked = [&](uint64_t pass) {
    harness_.Step(CollectRequested{kJoiner, Round{pass}});
    std::vector<uint32_t> segments;
    for (const StartPull& pull : harness_.All<StartPull>()) {
      segments.push_back(Value(pull.request.segment));
    }
    return segments;
  };
  const auto land = [&](const StartPull& pull, uint64_t round) {
    harness_.Step(PullAnswered{CoreHarness::AnswerTo(pull, Verdict::kData, round)});
    harness_.Step(PullEnded{pull.request.request_id, PullEnd::kLanded});
  };
  const auto mixed = [&](uint64_t pass, std::vector<Outcome> outcomes) {
    std::vector<MixedSegmentResult> results;
    for (Outcome outcome : outcomes) results.push_back({outcome, 0});
    harness_.Step(Mixed{kJoiner, Round{pass}, results});
  };
  EXPECT_EQ(asked(41), (std::vector<uint32_t>{0, 1, 2}));
  std::vector<StartPull> pulls = harness_.All<StartPull>();
  land(pulls[0], 40);
  land(pulls[2], 38);
  harness_.Refuse(pulls[1], Verdict::kBusy);
  mixed(41, {Outcome::kArrived, Outcome::kNone, Outcome::kArrived});
  EXPECT_EQ(asked(42), (std::vector<uint32_t>{1})) << "what is missing comes first";
  land(harness_.Only<StartPull>(), 40);
  mixed(42, {Outcome::kNone, Outcome::kCorrupt, Outcome::kNone});
  EXPECT_EQ(asked(43), (std::vector<uint32_t>{1})) << "it was bad";
  land(harness_.Only<StartPull>(), 40);
  mixed(43, {Outcome::kNone, Outcome::kArrived, Outcome::kNone});
  EXPECT_EQ(asked(44), (std::vector<uint32_t>{2})) << "then what is old";
  land(harness_.Only<StartPull>(), 39);
  mixed(44, {Outcome::kNone, Outcome::kNone, Outcome::kArrived});
  EXPECT_TRUE(asked(45).empty());
  EXPECT_EQ(harness_.Only<Deliver>().round, Round{45}) << "at once";
}

// While it waits for its turn the donor publishes, or not: it is not behind.
TEST_F(JoiningTest, ADonorThatLetsItWaitIsAskedAgain) {
  Join();
  for (uint64_t pass = 1; pass <= 2; ++pass) {
    harness_.Step(CollectRequested{kJoiner, Round{pass}});
    const std::vector<StartPull> pulls = harness_.All<StartPull>();
    ASSERT_EQ(pulls.size(), 3u) << "pass " << pass;
    for (const StartPull& pull : pulls) {
      harness_.Step(PullAnswered{CoreHarness::AnswerTo(pull, Verdict::kWaiting, 5)});
    }
    EXPECT_TRUE(harness_.All<Deliver>().empty()) << "it waits";
    harness_.Advance(harness_.founding.config.round_deadline);
    for (const StartPull& pull : pulls) {
      harness_.Step(PullEnded{pull.request.request_id, PullEnd::kNoData});
    }
  }
  // Nor is it behind for the rounds of who takes part then.
  harness_.Step(CaughtUp{kJoiner});
  const Round first = InfoOf(kName).active_from;
  harness_.Step(Published{kJoiner, first, SlotId{0}});
  const std::vector<StartPull> pulls = harness_.All<StartPull>();
  for (const StartPull& pull : pulls) {
    harness_.Step(PullAnswered{CoreHarness::AnswerTo(pull, Verdict::kWaiting, 5)});
    EXPECT_TRUE(harness_.All<CancelPull>().empty()) << "it is waited for";
  }
}

TEST_F(JoiningTest, ItsPassesGoToAllOthers) {
  Join();
  std::set<ReplicaId> donors;
  for (uint64_t pass = 1; pass <= 20; ++pass) {
    harness_.Step(CollectRequested{kJoiner, Round{pass}});
    for (const StartPull& pull : harness_.All<StartPull>()) {
      donors.insert(pull.request.source);
      harness_.Step(PullEnded{pull.request.request_id, PullEnd::kNoRoom});
    }
  }
  EXPECT_EQ(donors.size(), 4u);
}

TEST_F(JoiningTest, APassIsNamedOnce) {
  Join();
  CatchUp(5, 1);
  harness_.Step(CollectRequested{kJoiner, Round{5}});
  EXPECT_TRUE(harness_.All<StartPull>().empty());
  harness_.Step(CollectRequested{kJoiner, Round{4}});
  EXPECT_TRUE(harness_.All<StartPull>().empty());
}

TEST_F(JoiningTest, ADonorThatRefusesIsPassedOver) {
  Join();
  harness_.Step(CollectRequested{kJoiner, Round{1}});
  const StartPull first = harness_.All<StartPull>()[0];
  harness_.Refuse(first, Verdict::kDead);
  const StartPull second = harness_.Only<StartPull>();
  EXPECT_EQ(second.request.segment, first.request.segment);
  EXPECT_NE(second.request.source, first.request.source);
  EXPECT_NE(second.request.oldest_round, kNoRound);
}

TEST_F(JoiningTest, ItTakesPartFromARoundThatAllCanHearOf) {
  harness_.Hear(1, ReplicaState::kActive, 40);
  Join();
  CatchUp(41, 40);
  harness_.Step(CaughtUp{kJoiner});
  const ReplicaInfo info = InfoOf(kName);
  EXPECT_EQ(info.state, ReplicaState::kActive);
  EXPECT_GT(info.active_from, Round{41});
  EXPECT_FALSE(TakesPart(kName, Value(info.active_from) - 1));
  EXPECT_TRUE(TakesPart(kName, Value(info.active_from)));
  const UpdatePage page = harness_.Only<UpdatePage>();
  EXPECT_EQ(harness_.core().Stats("")[1].statistics.bytes_received, 0u)
      << "what it pulled before is no round's";
  EXPECT_EQ(page.active_from, info.active_from);
  EXPECT_EQ(page.next_round, info.active_from);
  harness_.Step(Published{kJoiner, Round{Value(info.active_from) - 1}, SlotId{0}});
  EXPECT_TRUE(harness_.All<StartPull>().empty());
  harness_.Step(Published{kJoiner, info.active_from, SlotId{0}});
  EXPECT_EQ(harness_.All<StartPull>().size(), 3u);
}

// Its trainer has stood still for longer than a pass takes, and goes by an earlier one.
TEST_F(JoiningTest, APassThatIsOpenWhenItTakesPartIsNoRounds) {
  Join();
  CatchUp(1, 40);
  harness_.Step(CollectRequested{kJoiner, Round{2}});
  harness_.Step(CaughtUp{kJoiner});
  harness_.Step(Published{kJoiner, InfoOf(kName).active_from, SlotId{0}});
  const ReplicaStatistics counted = harness_.core().Stats("")[1].statistics;
  EXPECT_EQ(std::accumulate(counted.pulls.begin(), counted.pulls.end(), uint64_t{0}), 0u);
}

TEST_F(JoiningTest, OneThatDiesBeforeItsFirstRoundNeverTakesPart) {
  Join();
  harness_.Step(TrainerGone{kJoiner});
  EXPECT_EQ(InfoOf(kName).state, ReplicaState::kDead);
  for (uint64_t round : {1, 10, 1000, 100000}) EXPECT_FALSE(TakesPart(kName, round)) << round;
  EXPECT_EQ(harness_.All<FreeArena>().size(), 1u);
}

TEST_F(JoiningTest, ADeadReplicasNameIsItsSuccessors) {
  Join();
  CatchUp(1, 1);
  harness_.Step(CaughtUp{kJoiner});
  const uint64_t first_life = InfoOf(kName).life;
  harness_.Step(TrainerGone{kJoiner});
  Join(AttachId{3});
  EXPECT_EQ(harness_.All<AdmitReplica>().size(), 1u);
  EXPECT_EQ(InfoOf(kName).state, ReplicaState::kJoining);
  EXPECT_GT(InfoOf(kName).life, first_life);
  const SyncMessage message = harness_.core().MakeSync();
  EXPECT_EQ(message.runs[0].replicas.size(), 2u) << "it is told of once";
  CatchUp(5, 1, AttachId{3});
  harness_.Step(CaughtUp{AttachId{3}});
  EXPECT_TRUE(TakesPart(kName, Value(InfoOf(kName).active_from)));
}

// Who asks it for its predecessor's rounds has not heard of that one's end: waiting for what never
// comes would cost a deadline.
TEST_F(JoiningTest, ASuccessorIsNotWaitedForBeforeItsFirstRound) {
  harness_.Step(TrainerGone{CoreHarness::kAttach});
  harness_.Step(JoinEvent(kJoiner, 0));
  auto verdict_of = [&, id = 0u](uint64_t round) mutable {
    harness_.Step(PullRequested{harness_.RequestFrom(1, ++id, round)});
    return harness_.Only<AnswerPull>().answer.verdict;
  };
  EXPECT_EQ(verdict_of(1), Verdict::kDead);
  CatchUp(10, 9);
  EXPECT_EQ(verdict_of(10), Verdict::kDead);
  harness_.Step(CaughtUp{kJoiner});
  const uint64_t first = Value(InfoOf(0).active_from);
  EXPECT_EQ(verdict_of(first - 1), Verdict::kDead);
  EXPECT_EQ(verdict_of(first), Verdict::kWaiting);
}

TEST_F(JoiningTest, WhoDiesIsLeftOutFromTheRoundThatItsDaemonSays) {
  Join();
  CatchUp(1, 1);
  harness_.Step(CaughtUp{kJoiner});
  const uint64_t first = Value(InfoOf(kName).active_from);
  harness_.Step(Published{kJoiner, Round{first}, SlotId{0}});
  harness_.Step(TrainerGone{kJoiner});
  const uint64_t left_at = Value(InfoOf(kName).left_at);
  EXPECT_GT(left_at, first);
  EXPECT_TRUE(TakesPart(kName, left_at - 1));
  EXPECT_FALSE(TakesPart(kName, left_at));
}

// What another daemon says of a replica that joined there.
class JoinedElsewhereTest : public JoiningTest {
 protected:
  void Hear(ReplicaState state, uint64_t active_from, uint64_t life = 1) {
    SyncMessage message = harness_.MessageOf(kName, state, {0, 1, 2, 3}, true);
    message.runs[0].replicas[0].active_from = Round{active_from};
    message.runs[0].replicas[0].life = life;
    harness_.Step(SyncReceived{message});
  }
};

TEST_F(JoinedElsewhereTest, ItTakesPartFromItsRound) {
  Hear(ReplicaState::kJoining, 0);
  EXPECT_EQ(TakingPart(10), 4u);
  Hear(ReplicaState::kActive, 10);
  EXPECT_EQ(TakingPart(9), 4u);
  EXPECT_EQ(TakingPart(10), 5u);
}

TEST_F(JoinedElsewhereTest, WhoIsNoFounderAndNeverJoinedHasNoPart) {
  Hear(ReplicaState::kActive, 0);
  EXPECT_EQ(TakingPart(10), 4u);
}

// More than replicas_min came, and some started without having heard of the others.
TEST_F(JoinedElsewhereTest, WhoWasFoundedApartHasItsPart) {
  harness_.Step(SyncReceived{harness_.MessageOf(kName, ReplicaState::kActive, {kName, 8}, true)});
  EXPECT_EQ(TakingPart(10), 5u);
  harness_.Step(SyncReceived{harness_.MessageOf(kName, ReplicaState::kLeft, {kName, 8}, true)});
  EXPECT_EQ(TakingPart(10), 4u) << "and its end is believed";
}

TEST_F(JoinedElsewhereTest, NobodyComesBackWithinOneLife) {
  Hear(ReplicaState::kActive, 10);
  Hear(ReplicaState::kDead, 10);
  Hear(ReplicaState::kActive, 10);
  EXPECT_FALSE(TakesPart(kName, 10));
  Hear(ReplicaState::kActive, 20, 2);
  EXPECT_TRUE(TakesPart(kName, 20));
  Hear(ReplicaState::kDead, 10, 1);
  EXPECT_TRUE(TakesPart(kName, 20)) << "an old life's end is not the new one's";
}

// The donor's side.
class DonorTest : public JoiningTest {
 protected:
  DonorTest() {
    SyncMessage message = harness_.MessageOf(kName, ReplicaState::kJoining, {0, 1, 2, 3}, true);
    harness_.Step(SyncReceived{message});
  }
  PullRequest Newest(uint64_t id, uint32_t segment) {
    PullRequest request = harness_.RequestFrom(kName, id, 1, segment);
    request.oldest_round = Round{1};
    return request;
  }
};

TEST_F(DonorTest, GivesTheNewestItHas) {
  harness_.Publish(1, 0);
  harness_.Publish(2, 1);
  harness_.Step(PullRequested{Newest(1, 0)});
  EXPECT_EQ(harness_.Only<StartSend>().answer.round, Round{2});
  EXPECT_EQ(harness_.Only<StartSend>().slot, SlotId{1});
}

// However many catch up, the trainer has all its slots but one, and others that pull most of the
// link.
TEST_F(DonorTest, AllThatCatchUpShareOneSlotAndWhatOnePeerMayHave) {
  harness_.Hear(1);
  SyncMessage message = harness_.MessageOf(kName + 1, ReplicaState::kJoining, {0, 1, 2, 3}, true);
  harness_.Step(SyncReceived{message});
  const auto other = [this](uint64_t id, uint32_t segment) {
    PullRequest request = harness_.RequestFrom(kName + 1, id, 1, segment);
    request.oldest_round = Round{1};
    return request;
  };
  harness_.Publish(1, 0);
  harness_.Step(PullRequested{Newest(1, 0)});
  const SendId first = harness_.Only<StartSend>().send_id;
  harness_.Step(PullRequested{other(2, 0)});
  const SendId second = harness_.Only<StartSend>().send_id;
  harness_.Step(PullRequested{other(3, 1)});
  EXPECT_EQ(harness_.Only<AnswerPull>().answer.verdict, Verdict::kWaiting) << "two at once";
  harness_.Step(SendEnded{second, true});
  const SendId third = harness_.Only<StartSend>().send_id;
  EXPECT_EQ(harness_.Only<StartSend>().answer.request_id, RequestId{3});

  harness_.Publish(2, 1);
  harness_.Step(PullRequested{Newest(4, 1)});
  harness_.Step(SendEnded{first, true});
  EXPECT_TRUE(harness_.All<StartSend>().empty())
      << "round 1 is read still: it would hold a slot more";
  harness_.Step(PullRequested{harness_.RequestFrom(harness_.SinkOf(0, 2, 2), 9, 2, 2)});
  EXPECT_EQ(harness_.All<StartSend>().size(), 1u) << "a round's reads do not wait for that";
  harness_.Step(SendEnded{third, true});
  EXPECT_EQ(harness_.Only<StartSend>().answer.request_id, RequestId{4});
  EXPECT_EQ(harness_.Only<StartSend>().answer.round, Round{2});
}

TEST_F(DonorTest, WhatEndsMakesRoomForTheNextOfTheSameReader) {
  harness_.Publish(1, 0);
  SendId first{};
  for (uint32_t segment = 0; segment < 3; ++segment) {
    harness_.Step(PullRequested{Newest(1 + segment, segment)});
    if (segment == 0) first = harness_.Only<StartSend>().send_id;
  }
  EXPECT_TRUE(harness_.All<StartSend>().empty()) << "the third waits";
  harness_.Step(SendEnded{first, true});
  EXPECT_EQ(harness_.Only<StartSend>().answer.request_id, RequestId{3});
}

TEST_F(DonorTest, WhoIsCancelledMakesRoomForTheNext) {
  harness_.Publish(1, 0);
  for (uint32_t segment = 0; segment < 3; ++segment) {
    harness_.Step(PullRequested{Newest(1 + segment, segment)});
  }
  harness_.Step(PullCancelled{CoreHarness::NodeOf(kName), RequestId{3}});
  harness_.Step(SendEnded{SendId{1}, false});
  EXPECT_TRUE(harness_.All<StartSend>().empty()) << "nobody waits any more";
}

TEST_F(DonorTest, HasNothingBeforeItsFirstPublish) {
  harness_.Step(PullRequested{Newest(1, 0)});
  EXPECT_EQ(harness_.Only<AnswerPull>().answer.verdict, Verdict::kWaiting);
  harness_.Publish(1, 0);
  EXPECT_EQ(harness_.Only<StartSend>().answer.round, Round{1});
}

TEST_F(DonorTest, ACatchUpIsNotTheSinksRead) {
  harness_.Publish(1, 0);  // lockstep: each segment is owed to its sink
  for (uint32_t segment = 0; segment < 3; ++segment) {
    harness_.Step(PullRequested{Newest(1 + segment, segment)});
    harness_.Step(SendEnded{harness_.Only<StartSend>().send_id, true});
  }
  EXPECT_FALSE(harness_.keeper.HasReleased(Round{1})) << "the slot is owed still";
}

}  // namespace
}  // namespace weightmesh
