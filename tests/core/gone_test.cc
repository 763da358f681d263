// Members for whom no daemon speaks any more, where the schedule keeps the dead in the view.
#include <gtest/gtest.h>

#include <vector>

#include "tests/testing/core_harness.h"

namespace weightmesh {
namespace {

using testing_support::CoreHarness;

constexpr uint32_t kGone = 9;

class GoneTest : public testing::Test {
 protected:
  explicit GoneTest(ScheduleKind schedule = ScheduleKind::kExponential) {
    harness_.founding.config.schedule = schedule;
    harness_.StartRun(2);
  }

  static ReplicaInfo Info(uint32_t replica, uint64_t active_from, uint64_t left_at = 0) {
    ReplicaInfo info;
    info.replica_id = CoreHarness::ReplicaOf(replica);
    info.name = CoreHarness::NameOf(replica);
    info.state = left_at == 0 ? ReplicaState::kDead : ReplicaState::kLeft;
    info.active_from = Round{active_from};
    info.left_at = Round{left_at};
    return info;
  }
  // Node 1 answers a sync, and knows those who are gone.
  void Tell(const std::vector<ReplicaInfo>& gone) {
    SyncMessage message = harness_.MessageOf(1, ReplicaState::kActive, {0, 1, 2}, true);
    message.runs[0].gone = gone;
    harness_.Step(SyncAnswered{CoreHarness::AddressOf(1), message});
  }
  size_t TakingPart(uint64_t round) {
    return harness_.core().ScheduleOf("run", Round{round}, SegmentId{0})->assignments.size();
  }
  // What is told to one with that digest of the view.
  std::vector<ReplicaInfo> Told(uint64_t view_digest) {
    SyncMessage asked = harness_.MessageOf(1, ReplicaState::kActive, {0, 1, 2}, true);
    asked.runs[0].view_digest = view_digest;
    return harness_.core().MakeSync(&asked).runs[0].gone;
  }
  uint64_t ViewDigestHere() { return harness_.core().MakeSync().runs[0].view_digest; }

  CoreHarness harness_;
};

TEST_F(GoneTest, AJoinerThatDiedBeforeThisDaemonCameIsInItsView) {
  Tell({Info(kGone, 5)});
  EXPECT_EQ(TakingPart(4), 3u);
  EXPECT_EQ(TakingPart(5), 4u);
  EXPECT_EQ(ViewDigestHere(), ViewDigest({CoreHarness::ReplicaOf(0), CoreHarness::ReplicaOf(1),
                                          CoreHarness::ReplicaOf(2)}))
      << "of the round that comes next";
}

TEST_F(GoneTest, SoIsOneThatHasLeft) {
  Tell({Info(kGone, 5, 8)});
  EXPECT_EQ(TakingPart(20), 4u) << "as where its end was not heard of";
}

TEST_F(GoneTest, AnEndBeforeItsFirstRoundThatWasMissedIsHeardOf) {
  Tell({Info(kGone, 5)});
  Tell({Info(kGone, 5, 5)});
  EXPECT_EQ(TakingPart(8), 3u);
  Tell({Info(kGone, 5)});
  EXPECT_EQ(TakingPart(8), 3u) << "who has left, has left";
  Tell({Info(kGone, 12)});
  EXPECT_EQ(TakingPart(12), 4u) << "it had come again, and died";
}

TEST_F(GoneTest, WhoLivesSaysSoItself) {
  Tell({Info(2, 0, 8), Info(0, 0, 8)});
  EXPECT_EQ(TakingPart(8), 3u);
}

TEST_F(GoneTest, AndIsBelieved) {
  Tell({Info(kGone, 5)});
  SyncMessage returned = harness_.MessageOf(kGone, ReplicaState::kActive, {0, 1, 2}, true);
  returned.runs[0].replicas[0].active_from = Round{20};
  harness_.Step(SyncReceived{returned});
  EXPECT_EQ(TakingPart(19), 3u);
  EXPECT_EQ(TakingPart(20), 4u);
}

TEST_F(GoneTest, IsToldToWhoHasAnotherView) {
  EXPECT_TRUE(Told(1).empty()) << "all speak for themselves";
  harness_.Step(LinkDown{CoreHarness::NodeOf(2), "reset"});
  const std::vector<ReplicaInfo> told = Told(1);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].replica_id, CoreHarness::ReplicaOf(2));
  EXPECT_EQ(told[0].state, ReplicaState::kDead);
  EXPECT_TRUE(Told(ViewDigestHere()).empty());
  EXPECT_TRUE(harness_.core().MakeSync().runs[0].gone.empty()) << "nobody asked";
}

// A message that names them would be refused as a whole.
TEST_F(GoneTest, FoundersThatWereNeverHeardOfAreNotTold) {
  CoreHarness late;
  late.founding.config.schedule = ScheduleKind::kExponential;
  SyncMessage known = late.MessageOf(1, ReplicaState::kActive, {0, 1, 2}, true);
  known.runs[0].gone = {Info(kGone, 1)};
  late.Step(SyncAnswered{CoreHarness::AddressOf(1), known});  // the founders
  known = late.MessageOf(1, ReplicaState::kActive, {0, 1, 2}, true);
  known.runs[0].gone = {Info(kGone, 1)};
  late.Step(SyncAnswered{CoreHarness::AddressOf(1), known});
  known.runs[0].view_digest = 1;
  const std::vector<ReplicaInfo> told = late.core().MakeSync(&known).runs[0].gone;
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].name, CoreHarness::NameOf(kGone));
}

// It is in no view of those who know it.
TEST_F(GoneTest, AJoinerThatWasNeverAnnouncedIsInNoView) {
  SyncMessage joining = harness_.MessageOf(kGone, ReplicaState::kJoining, {0, 1, 2}, true);
  harness_.Step(SyncReceived{joining});
  ASSERT_EQ(harness_.core().Topology(harness_.now, "run").replicas.size(), 4u);
  harness_.Step(LinkDown{CoreHarness::NodeOf(kGone), "reset"});
  EXPECT_TRUE(Told(1).empty());
  joining.self.session = 5;
  ++joining.sequence;
  joining.runs[0].replicas.clear();
  harness_.Step(SyncReceived{joining});  // another process of its daemon
  EXPECT_EQ(TakingPart(9), 3u);
}

class HashCycleGoneTest : public GoneTest {
 protected:
  HashCycleGoneTest() : GoneTest(ScheduleKind::kHashCycle) {}
};

TEST_F(HashCycleGoneTest, NobodyNeedsToKnow) {
  harness_.Step(LinkDown{CoreHarness::NodeOf(2), "reset"});
  EXPECT_TRUE(Told(1).empty());
  Tell({Info(kGone, 5)});
  EXPECT_EQ(harness_.core().Topology(harness_.now, "run").replicas.size(), 3u);
}

}  // namespace
}  // namespace weightmesh
