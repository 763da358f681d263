// Identities as text, those derived from names, and the digest of a view.
#include "daemon/core/ids.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/core/view.h"

namespace weightmesh {
namespace {

TEST(Ids, Vectors) {
  EXPECT_EQ(MakeReplicaId("run", "host/0").ToString(), "1197b753edd0911584e23c1469303835");
  EXPECT_EQ(MakeReplicaId("", "").ToString(), "2c0a8a99dc147d5445c3b49d035665b2");
  EXPECT_EQ(MakeRunKey("run"), 0xafc3b56278c6744eu);
}

TEST(Ids, WhereTheRunEndsAndTheNameBeginsMatters) {
  EXPECT_NE(MakeReplicaId("run1", "0"), MakeReplicaId("run", "10"));
}

TEST(Ids, TextGoesThereAndBack) {
  const NodeId id{0x0123456789abcdef, 0xfedcba9876543210};
  EXPECT_EQ(id.ToString(), "0123456789abcdeffedcba9876543210");
  const auto parsed = ParseNodeId(id.ToString());
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(*parsed, id);
}

TEST(Ids, WhatIsNoIdIsRefused) {
  for (const char* text :
       {"", "12", "0123456789abcdeffedcba987654321", "0x23456789abcdeffedcba98765432100",
        "0123456789abcdefgedcba9876543210", " 123456789abcdeffedcba9876543210",
        "0x23456789abcdeffedcba9876543210"}) {
    EXPECT_FALSE(ParseReplicaId(text).ok()) << text;
  }
}

TEST(View, DigestDoesNotDependOnTheOrder) {
  std::vector<ReplicaId> ids;
  for (int k = 0; k < 8; ++k) ids.push_back(MakeReplicaId("run", absl::StrCat("host/", k)));
  const View view(ids);
  EXPECT_EQ(view.digest(), 0xdc54180b00955e15u);
  EXPECT_EQ(view.replica_hash(0), 0x8d9b8f276f766d51u);
  std::reverse(ids.begin(), ids.end());
  EXPECT_EQ(View(ids).digest(), view.digest());
  std::rotate(ids.begin(), ids.begin() + 3, ids.end());
  ids.push_back(ids[1]);  // told twice
  EXPECT_EQ(View(ids).digest(), view.digest());
  EXPECT_EQ(ViewDigest(ids), view.digest());
  ids.resize(7);
  EXPECT_NE(ViewDigest(ids), view.digest());
}

TEST(View, RankIsThePositionInTheOrderOfIds) {
  const View view({ReplicaId{3, 0}, ReplicaId{1, 5}, ReplicaId{1, 2}});
  ASSERT_EQ(view.size(), 3u);
  EXPECT_EQ(view.replica(0), (ReplicaId{1, 2}));
  EXPECT_EQ(view.replica(2), (ReplicaId{3, 0}));
  EXPECT_EQ(view.RankOf(ReplicaId{1, 5}), 1u);
  EXPECT_EQ(view.RankOf(ReplicaId{1, 3}), std::nullopt);
  EXPECT_EQ(view.RankOf(ReplicaId{9, 9}), std::nullopt);
}

TEST(View, AnEmptyOneHasADigestThatIsNotZero) { EXPECT_NE(View().digest(), 0u); }

}  // namespace
}  // namespace weightmesh
