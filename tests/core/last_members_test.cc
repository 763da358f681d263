// The members that a node last knew: looked for at the start, and kept for the next one.
#include "daemon/core/last_members.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/testing/core_harness.h"

namespace weightmesh {
namespace {

using testing_support::CoreHarness;

class LastMembersTest : public testing::Test {
 protected:
  LastMembersTest() { harness_.peers_answer_syncs = false; }

  static LastMember MemberOf(uint32_t k) {
    return LastMember{CoreHarness::NodeOf(k), CoreHarness::AddressOf(k)};
  }
  void Hear(uint32_t k, SessionId session = 0) {
    SyncMessage hello;
    hello.sequence = ++sequence_;
    hello.self = harness_.InfoOf(k);
    if (session != 0) hello.self.session = session;
    harness_.Step(SyncReceived{hello});
  }
  // Lets time go on; what was told to be kept last, and the nodes that were probed at their kept
  // addresses.
  void Advance(absl::Duration time) {
    harness_.Advance(time);
    for (const KeepMembers& keep : harness_.All<KeepMembers>()) {
      kept_ = keep.members;
      ++times_kept_;
    }
    probed_.clear();
    for (const Probe& probe : harness_.All<Probe>()) probed_.push_back(probe.address);
    synced_.clear();
    for (const Sync& sync : harness_.All<Sync>()) synced_.push_back(sync.address);
  }
  bool Synced(uint32_t k) const {
    return std::count(synced_.begin(), synced_.end(), CoreHarness::AddressOf(k)) > 0;
  }

  CoreHarness harness_;
  uint64_t sequence_ = 0;
  std::vector<LastMember> kept_;
  int times_kept_ = 0;
  std::vector<std::string> probed_;
  std::vector<std::string> synced_;
};

using Addresses = std::vector<std::string>;

TEST_F(LastMembersTest, WhoIsStillThereIsMet) {
  harness_.options.last_members = {MemberOf(1), MemberOf(2)};
  Advance(absl::Milliseconds(10));
  EXPECT_EQ(probed_, (Addresses{CoreHarness::AddressOf(1), CoreHarness::AddressOf(2)}));
  EXPECT_FALSE(Synced(1)) << "it is only asked who it is";
  harness_.Step(ProbeAnswered{CoreHarness::NodeOf(1), 55});
  EXPECT_TRUE(harness_.core().Knows(CoreHarness::NodeOf(1)));
  Advance(absl::Milliseconds(10));
  EXPECT_TRUE(Synced(1));
  EXPECT_TRUE(probed_.empty());
  EXPECT_FALSE(harness_.core().Knows(CoreHarness::NodeOf(2)));
}

TEST_F(LastMembersTest, AStrangerAtAKeptAddressHearsOfNothing) {
  harness_.options.last_members = {MemberOf(1)};
  for (int second = 0; second < 20; ++second) {
    Advance(absl::Seconds(1));
    EXPECT_EQ(probed_, Addresses{CoreHarness::AddressOf(1)}) << second;
    EXPECT_FALSE(Synced(1));
    harness_.Step(ProbeFailed{CoreHarness::NodeOf(1), "another daemon answers at its address"});
  }
  harness_.Step(ProbeAnswered{CoreHarness::NodeOf(3), 7});
  EXPECT_FALSE(harness_.core().Knows(CoreHarness::NodeOf(3))) << "nobody looks for it";
}

TEST_F(LastMembersTest, TheyAreLookedForForALimitedTime) {
  harness_.options.last_members = {MemberOf(1)};
  Advance(absl::Milliseconds(10));
  EXPECT_EQ(probed_.size(), 1u);
  harness_.Step(ProbeFailed{CoreHarness::NodeOf(1), "refused"});
  Advance(kLastMembersSought - absl::Seconds(1));
  EXPECT_EQ(probed_.size(), 1u) << "the second is not answered: one at a time";
  harness_.Step(ProbeFailed{CoreHarness::NodeOf(1), "refused"});
  Advance(absl::Seconds(2));
  ASSERT_EQ(harness_.All<ForgetNode>().size(), 1u);
  EXPECT_EQ(harness_.Only<ForgetNode>().address, CoreHarness::AddressOf(1));
  harness_.Step(ProbeFailed{CoreHarness::NodeOf(1), "refused"});
  Advance(absl::Minutes(1));
  EXPECT_TRUE(probed_.empty());
  harness_.Step(ProbeAnswered{CoreHarness::NodeOf(1), 7});
  EXPECT_FALSE(harness_.core().Knows(CoreHarness::NodeOf(1)));
  EXPECT_EQ(times_kept_, 0) << "nobody was known: what the disk holds stays";
}

TEST_F(LastMembersTest, WhoComesOtherwiseIsNotLookedFor) {
  harness_.options.last_members = {MemberOf(0), MemberOf(1)};
  Hear(1);
  Advance(absl::Seconds(3));
  EXPECT_TRUE(probed_.empty());
}

TEST_F(LastMembersTest, WhoHasSpokenIsKept) {
  Advance(absl::Seconds(10));
  EXPECT_EQ(times_kept_, 0) << "nobody is known";
  Hear(2);
  SyncMessage hearsay;  // of node 9, which nobody has heard
  harness_.Step(LinkOffered{harness_.InfoOf(9)});
  Advance(absl::Seconds(2));
  EXPECT_EQ(times_kept_, 1);
  EXPECT_EQ(kept_, std::vector<LastMember>{MemberOf(2)});
  Hear(1);
  Advance(absl::Seconds(3));
  EXPECT_EQ(times_kept_, 1) << "not more often than each " << kKeepInterval;
  Advance(kKeepInterval);
  EXPECT_EQ(times_kept_, 2);
  EXPECT_EQ(kept_, (std::vector<LastMember>{MemberOf(1), MemberOf(2)}));
  Advance(absl::Minutes(1));
  EXPECT_EQ(times_kept_, 2) << "the silent are kept as long as they are remembered";
  Advance(absl::Minutes(20));
  EXPECT_EQ(times_kept_, 2) << "nobody is no news";
}

TEST_F(LastMembersTest, WhoIsLookedForStaysKept) {
  harness_.options.last_members = {MemberOf(1), MemberOf(2)};
  Advance(absl::Seconds(6));
  EXPECT_EQ(times_kept_, 0) << "it is what is kept already";
  Hear(3);
  Advance(absl::Seconds(6));
  EXPECT_EQ(kept_, (std::vector<LastMember>{MemberOf(1), MemberOf(2), MemberOf(3)}));
}

TEST_F(LastMembersTest, AsManyAreKeptAsTheLimitSaysAndThoseThatAnswerFirst) {
  constexpr uint32_t kPeers = kLastMembersMax + 20;
  for (uint32_t k = 1; k <= kPeers; ++k) Hear(k);
  for (uint32_t k = 1; k <= 20; ++k) harness_.Step(LinkDown{CoreHarness::NodeOf(k), "killed"});
  Advance(absl::Seconds(1));
  std::vector<LastMember> answering;
  for (uint32_t k = 21; k <= kPeers; ++k) answering.push_back(MemberOf(k));
  EXPECT_EQ(kept_, answering);
}

}  // namespace
}  // namespace weightmesh
