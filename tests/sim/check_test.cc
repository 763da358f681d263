// The checks themselves: each finds what it is there for, told of a history in which that happens,
// and nothing in one in which it does not.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/sim/check/contraction.h"
#include "tests/sim/check/hull.h"
#include "tests/sim/check/limits.h"
#include "tests/sim/check/one_reader.h"
#include "tests/sim/check/patience.h"
#include "tests/sim/check/pulls.h"
#include "tests/sim/check/resurrection.h"
#include "tests/sim/check/slots.h"
#include "tests/sim/check/views.h"
#include "tests/sim/check/waits.h"

namespace weightmesh::sim {
namespace {

constexpr AttachId kAttach{1};
const absl::Time kNow = absl::UnixEpoch() + absl::Seconds(1);

StartPull PullOf(uint64_t request, uint32_t segment = 0, Round round = Round{5}) {
  StartPull pull;
  pull.attach = kAttach;
  pull.request.request_id = RequestId{request};
  pull.request.segment = SegmentId{segment};
  pull.request.round = round;
  pull.request.source = ReplicaId{1, 2};
  return pull;
}

StartSend SendOf(uint64_t send, uint32_t slot) {
  StartSend action;
  action.attach = kAttach;
  action.send_id = SendId{send};
  action.slot = SlotId{slot};
  return action;
}

class Checks : public testing::Test {
 protected:
  void Step(Observer* check, const Event& event, const std::vector<Action>& actions,
            absl::Time now = kNow) {
    check->OnStep(now, 0, event, actions);
  }
  // What was found since the last call.
  std::string Found() {
    std::string found;
    for (; seen_ < ledger_.violations().size(); ++seen_) found += ledger_.violations()[seen_];
    return found;
  }

  Ledger ledger_{3, 1};
  size_t seen_ = 0;
};

TEST_F(Checks, ASlotIsNotWrittenUnderALease) {
  LeasedSlots check(&ledger_);
  Step(&check, TimerFired{}, {SendOf(1, 0), SendOf(2, 0)});
  check.OnSlotTaken(kNow, 0, kAttach, SlotId{1});
  check.OnSlotTaken(kNow, 1, kAttach, SlotId{0});
  EXPECT_EQ(Found(), "") << "another slot, and another node's";
  Step(&check, SendEnded{SendId{1}, true}, {});
  check.OnSlotTaken(kNow, 0, kAttach, SlotId{0});
  EXPECT_NE(Found(), "") << "one of the two sends goes on";
  Step(&check, SendEnded{SendId{2}, false}, {});
  check.OnSlotTaken(kNow, 0, kAttach, SlotId{0});
  EXPECT_EQ(Found(), "");
}

TEST_F(Checks, APullEndsOnce) {
  PullsEndOnce check(&ledger_);
  Step(&check, TimerFired{}, {PullOf(1), PullOf(2, 1)});
  Step(&check, PullEnded{RequestId{1}, PullEnd::kLanded}, {});
  EXPECT_EQ(Found(), "");
  Step(&check, PullEnded{RequestId{1}, PullEnd::kFailed}, {});
  EXPECT_NE(Found(), "") << "it has ended before";
  Step(&check, TimerFired{}, {PullOf(2)});
  EXPECT_NE(Found(), "") << "a name that is used again";
  Step(&check, TimerFired{}, {FreeArena{kAttach}});
  EXPECT_NE(Found(), "") << "its memory goes while it is open";
  Step(&check, TimerFired{}, {Deliver{kAttach, Round{5}, {}}});
  EXPECT_EQ(Found(), "");
  Step(&check, TimerFired{}, {Deliver{kAttach, Round{5}, {}}});
  EXPECT_NE(Found(), "") << "a round that is delivered twice";
}

TEST_F(Checks, AnOutcomeIsCountedAsTheTrainerSawIt) {
  ReplicaStatistics counted;
  counted.segments_published = 3;
  counted.pulls[static_cast<size_t>(Outcome::kArrived)] = 2;
  OutcomeCounts seen{};
  seen[static_cast<size_t>(Outcome::kArrived)] = 2;
  EXPECT_NE(CheckOutcomes(counted, seen, true), "") << "one pull has no outcome";
  counted.pulls[static_cast<size_t>(Outcome::kLate)] = 1;
  EXPECT_EQ(CheckOutcomes(counted, seen, true), "");
  seen[static_cast<size_t>(Outcome::kArrived)] = 1;
  EXPECT_NE(CheckOutcomes(counted, seen, true), "") << "the trainer mixed one only";
  EXPECT_EQ(CheckOutcomes(counted, seen, false), "") << "it did not come to its end";
}

TEST_F(Checks, WhatIsOpenHasALimit) {
  Limits check({1, 2}, &ledger_);
  const NodeId node{3, 4};
  const Probe probe{node, "a", absl::Seconds(1)};
  Step(&check, TimerFired{}, {probe, Probe{node, "b", absl::Seconds(1)}, PullOf(1), PullOf(2)});
  EXPECT_EQ(Found(), "");
  Step(&check, TimerFired{}, {probe});
  EXPECT_NE(Found(), "") << "three probes of one node";
  Step(&check, TimerFired{}, {PullOf(3)});
  EXPECT_NE(Found(), "") << "three pulls into two buffers";
  for (uint64_t send = 0; send < 64; ++send) Step(&check, TimerFired{}, {SendOf(send, 0)});
  EXPECT_EQ(Found(), "");
  Step(&check, TimerFired{}, {SendOf(64, 0)});
  EXPECT_NE(Found(), "") << "65 sends to one peer";
  Step(&check, SendEnded{SendId{64}, true}, {});
  Step(&check, SendEnded{SendId{63}, true}, {SendOf(65, 0)});
  EXPECT_EQ(Found(), "");
}

TEST_F(Checks, AMessageHasALimit) {
  Limits check({1, 2}, &ledger_);
  Gossip gossip;
  gossip.message.updates.resize(3);
  gossip.message.updates[0].record.assign(3000, 'x');
  gossip.message.updates[1].record.assign(3000, 'x');
  Step(&check, TimerFired{}, {gossip});
  EXPECT_EQ(Found(), "");
  gossip.message.updates[2].record.assign(3000, 'x');
  Step(&check, TimerFired{}, {gossip});
  EXPECT_NE(Found(), "") << "9 kB of news";
  gossip.message.whole = true;
  Step(&check, TimerFired{}, {gossip});
  EXPECT_EQ(Found(), "") << "all that it knows may be long";
  gossip.message.updates[2].accusers.resize(5);
  Step(&check, TimerFired{}, {gossip});
  EXPECT_NE(Found(), "");
  Step(&check, TimerFired{}, {Deliver{kAttach, Round{5}, {}}});
  EXPECT_NE(Found(), "") << "no row for its segment";
}

TEST_F(Checks, AWaitHasADeadline) {
  Waits check(&ledger_);
  const auto begin = [&] {
    check.OnWait(kNow, 0, kAttach, WaitKind::kCollect, absl::Seconds(1), absl::Seconds(2));
  };
  begin();
  EXPECT_EQ(check.Check(kNow + absl::Seconds(1)), "");
  EXPECT_NE(check.Check(kNow + absl::Milliseconds(1200)), "") << "it waits on";
  check.OnWaitOver(kNow + absl::Seconds(1), 0, kAttach);
  EXPECT_EQ(Found(), "");
  begin();
  check.OnWaitOver(kNow + absl::Milliseconds(1200), 0, kAttach);
  EXPECT_NE(Found(), "") << "200 ms too long";

  begin();
  check.OnNode(kNow, 0, ProcessChange::kStopped);
  check.OnWaitOver(kNow + absl::Seconds(2), 0, kAttach);
  EXPECT_EQ(Found(), "") << "its daemon stands still";
  begin();
  check.OnWaitOver(kNow + absl::Milliseconds(2200), 0, kAttach);
  EXPECT_NE(Found(), "") << "it should have given up by itself";
  check.OnNode(kNow, 0, ProcessChange::kResumed);

  begin();
  check.OnTrainer(kNow, 0, kAttach, ProcessChange::kStopped);
  EXPECT_EQ(check.Check(kNow + absl::Minutes(1)), "");
  check.OnTrainer(kNow + absl::Minutes(1), 0, kAttach, ProcessChange::kResumed);
  EXPECT_NE(check.Check(kNow + absl::Minutes(2)), "");
}

TEST_F(Checks, NobodyDeadComesBack) {
  Resurrection check(&ledger_);
  TopologySnapshot topology;
  topology.nodes.resize(1);
  topology.replicas.resize(1);
  ReplicaInfo& replica = topology.replicas[0].info;
  replica.life = 1;
  const auto believe = [&](bool is_over) {
    check.Believes(1, topology, [is_over](NodeId, SessionId) { return is_over; });
    return Found();
  };
  for (ReplicaState state : {ReplicaState::kActive, ReplicaState::kLeft, ReplicaState::kDead}) {
    replica.state = state;
    EXPECT_EQ(believe(false), "");
  }
  replica.state = ReplicaState::kActive;
  EXPECT_NE(believe(false), "");
  replica.life = 2;
  EXPECT_EQ(believe(false), "") << "another trainer of that name";

  topology.nodes[0].reachable = false;
  EXPECT_EQ(believe(false), "");
  topology.nodes[0].reachable = true;
  EXPECT_EQ(believe(false), "") << "it was there all the time";
  topology.nodes[0].reachable = false;
  EXPECT_EQ(believe(true), "");
  topology.nodes[0].reachable = true;
  EXPECT_NE(believe(true), "");
  topology.nodes[0].info.session = 5;
  EXPECT_EQ(believe(false), "") << "another process";
}

TEST_F(Checks, APullIsNotGivenUpThatCouldHaveCome) {
  Patience check(absl::Milliseconds(5), &ledger_);
  const double value[] = {1.0};
  const auto give_up = [&](uint64_t request, Round round, absl::Duration after) {
    Step(&check, TimerFired{}, {PullOf(request, 0, round)});
    Step(&check, TimerFired{}, {CancelPull{RequestId{request}}}, kNow + after);
    return Found();
  };
  ledger_.Published(kNow + absl::Milliseconds(10), ReplicaId{1, 2}, Round{5}, value);
  EXPECT_EQ(give_up(1, Round{5}, absl::Seconds(1)), "") << "nobody looks yet";
  check.Begin();
  EXPECT_EQ(give_up(2, Round{5}, absl::Milliseconds(15)), "");
  EXPECT_NE(give_up(3, Round{5}, absl::Milliseconds(16)), "");
  EXPECT_EQ(give_up(4, Round{6}, absl::Seconds(1)), "") << "it was never published";
  EXPECT_EQ(check.given_up(), 3u);
}

// Three replicas with one segment, who read each other in a ring in each round; `change` may edit
// what replica 0 saw in round 3.
Ledger Rounds(const std::function<void(MixedRow*, double*)>& change) {
  Ledger ledger(4, 1);
  double values[] = {0, 0.25, 1};
  for (uint64_t round = 1; round <= 5; ++round) {
    const double before[] = {values[0], values[1], values[2]};
    for (uint32_t k = 0; k < 3; ++k) {
      MixedRow row{Outcome::kArrived, (k + 1) % 3, 0};
      values[k] = (before[k] + before[(k + 1) % 3]) / 2;
      if (round == 3 && k == 0 && change) change(&row, &values[k]);
      const double value[] = {values[k]};
      const long double unmixed[] = {0};
      ledger.Mixed(k, Round{round}, absl::MakeConstSpan(&row, 1), value, unmixed);
    }
  }
  return ledger;
}

TEST_F(Checks, EachIsReadOnce) {
  const uint32_t rows[] = {0, 1, 2};
  EXPECT_EQ(CheckOneReader(Rounds(nullptr), rows, Round{1}, Round{5}), "");
  EXPECT_NE(CheckOneReader(Rounds(nullptr), rows, Round{1}, Round{6}), "") << "no such round";
  EXPECT_NE(CheckOneReader(Rounds(nullptr), absl::MakeConstSpan(rows, 2), Round{1}, Round{5}), "")
      << "a third one mixes";
  const Ledger twice = Rounds([](MixedRow* row, double*) { row->source = 2; });
  EXPECT_NE(CheckOneReader(twice, rows, Round{1}, Round{5}), "");
  EXPECT_EQ(CheckOneReader(twice, rows, Round{4}, Round{5}), "") << "before it did not matter";
  EXPECT_EQ(CheckAroundTheDead(twice, rows, Round{1}, Round{5}), "");
  for (Outcome outcome : {Outcome::kLate, Outcome::kDead, Outcome::kGone, Outcome::kSkipped}) {
    const Ledger failed = Rounds([&](MixedRow* row, double*) { row->outcome = outcome; });
    EXPECT_NE(CheckOneReader(failed, rows, Round{1}, Round{5}), "");
    EXPECT_EQ(CheckAroundTheDead(failed, rows, Round{1}, Round{5}) == "",
              outcome != Outcome::kLate);
  }
  const uint32_t many[] = {0, 1, 2, 3};  // the last of whom mixes nothing
  EXPECT_NE(CheckOneReader(Rounds(nullptr), many, Round{1}, Round{5}), "");
  EXPECT_EQ(CheckAroundTheDead(Rounds(nullptr), many, Round{1}, Round{5}), "");
  const uint32_t most[] = {0, 1, 2, 3, 4, 5, 6};
  EXPECT_NE(CheckAroundTheDead(Rounds(nullptr), most, Round{1}, Round{5}), "");
}

TEST_F(Checks, TheHullIsExact) {
  Hull hull;
  for (double value : {0.0, 0.25, 1.0}) hull.Add(absl::MakeConstSpan(&value, 1));
  EXPECT_EQ(hull.Check(Rounds(nullptr)), "");
  EXPECT_NE(hull.Check(Rounds([](MixedRow*, double* value) { *value = 0x1.0000000000001p0; })), "");
  EXPECT_NE(hull.Check(Rounds([](MixedRow*, double* value) { *value = -0x1p-1074; })), "");
}

TEST_F(Checks, ReplicasComeTogetherAsTheLawSays) {
  const uint32_t rows[] = {0, 1, 2};
  Contraction contraction;
  EXPECT_EQ(contraction.Check(), "");
  // A ring of three shrinks the spread by (3 − 2) / (2 · (3 − 1)) = 1/4 in every round.
  for (int k = 0; k < 1000; ++k) {
    ASSERT_EQ(contraction.Add(Rounds(nullptr), rows, Round{1}, Round{5}, true), "");
  }
  EXPECT_EQ(contraction.ratios(), 4000u);
  EXPECT_EQ(contraction.Check(), "");
  EXPECT_NE(contraction.Add(Rounds([](MixedRow*, double* value) { *value = 1; }), rows, Round{1},
                            Round{5}, true),
            "")
      << "they drift apart";
  // In round 3 the spread is 0.63 of what it was, not a quarter.
  Contraction slow;
  for (int k = 0; k < 1000; ++k) {
    const Ledger ledger = Rounds([](MixedRow*, double* value) { *value = 0.55; });
    ASSERT_EQ(slow.Add(ledger, rows, Round{1}, Round{5}, true), "");
  }
  EXPECT_NE(slow.Check(), "");
}

SimOptions ThreeNodes() {
  SimOptions options;
  options.nodes = 3;
  options.segments = 1;
  options.rounds = 1'000'000;
  options.run.replicas_min = 0;
  return options;
}

TEST_F(Checks, ViewsMustBeTrueAndOne) {
  Simulator simulator(ThreeNodes());
  simulator.StartAll();
  simulator.RunFor(absl::Seconds(1));
  EXPECT_EQ(CheckViews(simulator, "run"), "");
  EXPECT_NE(CheckViews(simulator, "another"), "") << "nobody has a view of it";
  simulator.trainer(1).Kill();
  EXPECT_NE(CheckViews(simulator, "run"), "") << "nobody has heard of it yet";
  simulator.RunFor(absl::Seconds(2));
  EXPECT_EQ(CheckViews(simulator, "run"), "");
  simulator.control().Block([](uint32_t from, uint32_t) { return from == 2; });
  simulator.node(0).Kill();
  simulator.RunFor(absl::Milliseconds(10));
  simulator.node(0).Start();
  simulator.RunFor(absl::Seconds(1));
  EXPECT_NE(CheckViews(simulator, "run"), "") << "node 2 cannot tell it anything";
}

// The whole way: a world in which something is broken on purpose fails its audit.
TEST_F(Checks, TheAuditFindsABrokenWorld) {
  Simulator simulator(ThreeNodes());
  simulator.StartAll();
  simulator.RunFor(absl::Milliseconds(500));
  EXPECT_EQ(simulator.Audit(), "");
  // A pull that the transport ends behind the back of its books.
  simulator.node(1).Step(PullEnded{RequestId{1'000'000}, PullEnd::kLanded});
  EXPECT_NE(simulator.Audit().find("ends that is not open"), std::string::npos);
}

}  // namespace
}  // namespace weightmesh::sim
