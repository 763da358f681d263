// Everybody once in a pass, in an order that no two nodes share.
#include "daemon/core/probe_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace weightmesh::swim {
namespace {

NodeId Node(uint64_t k) { return NodeId{1, k}; }

std::vector<NodeId> Pass(ProbeOrder* order) {
  std::vector<NodeId> pass;
  for (size_t k = order->size(); k > 0; --k) pass.push_back(order->Next());
  return pass;
}

TEST(ProbeOrder, EachOnceInEachPassAndEachPassInAnotherOrder) {
  ProbeOrder order(7);
  EXPECT_TRUE(order.Next().IsZero());
  for (uint64_t k = 0; k < 32; ++k) order.Insert(Node(k));
  const std::vector<NodeId> first = Pass(&order);
  const std::vector<NodeId> second = Pass(&order);
  EXPECT_EQ(std::set<NodeId>(first.begin(), first.end()).size(), 32u);
  EXPECT_EQ(std::set<NodeId>(second.begin(), second.end()).size(), 32u);
  EXPECT_NE(first, second);

  ProbeOrder same(7);
  ProbeOrder other(8);
  for (uint64_t k = 0; k < 32; ++k) {
    same.Insert(Node(k));
    other.Insert(Node(k));
  }
  EXPECT_EQ(Pass(&same), first);
  EXPECT_NE(Pass(&other), first);
}

TEST(ProbeOrder, NobodyIsSkippedOrProbedTwiceWhenOthersComeAndGo) {
  ProbeOrder order(7);
  for (uint64_t k = 0; k < 8; ++k) order.Insert(Node(k));
  std::set<NodeId> probed;
  for (int k = 0; k < 4; ++k) probed.insert(order.Next());
  order.Insert(Node(100));
  std::set<NodeId> left;
  for (uint64_t k = 0; k < 8; ++k) {
    if (!probed.contains(Node(k))) left.insert(Node(k));
  }
  const NodeId gone = *probed.begin();
  order.Erase(gone);
  order.Erase(Node(55));
  for (size_t k = 0; k < 4 || left.size() > 0; ++k) {
    ASSERT_LT(k, 6u) << "everybody's turn comes in this pass";
    const NodeId next = order.Next();
    EXPECT_FALSE(probed.contains(next)) << "twice in one pass";
    left.erase(next);
  }
}

// A newcomer is as likely to be probed first as last.
TEST(ProbeOrder, ANewcomerTakesARandomPlace) {
  int at[10] = {};
  for (uint64_t key = 0; key < 1000; ++key) {
    ProbeOrder order(Mix64(key));
    for (uint64_t k = 0; k < 10; ++k) order.Insert(Node(k));
    const std::vector<NodeId> pass = Pass(&order);
    ++at[std::find(pass.begin(), pass.end(), Node(9)) - pass.begin()];
  }
  for (int count : at) {
    EXPECT_GT(count, 60);
    EXPECT_LT(count, 140);
  }
}

TEST(ProbeOrder, SampleIsWithoutRepetitionAndFindsWhoFits) {
  ProbeOrder order(7);
  for (uint64_t k = 0; k < 100; ++k) order.Insert(Node(k));
  const auto anybody = [](NodeId) { return true; };
  const std::vector<NodeId> three = order.Sample(3, anybody);
  EXPECT_EQ(std::set<NodeId>(three.begin(), three.end()).size(), 3u);
  const auto only_one = [](NodeId node) { return node == Node(42); };
  EXPECT_EQ(order.Sample(3, only_one), std::vector<NodeId>{Node(42)});
  EXPECT_EQ(order.Sample(200, anybody).size(), 100u);
  EXPECT_TRUE(ProbeOrder(1).Sample(3, anybody).empty());
}

}  // namespace
}  // namespace weightmesh::swim
