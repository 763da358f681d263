// What is told first, how often, and what is dropped.
#include "daemon/core/broadcast_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weightmesh::swim {
namespace {

using testing::ElementsAre;

NodeId Node(uint64_t k) { return NodeId{1, k}; }
size_t TenBytes(NodeId) { return 10; }

TEST(BroadcastQueue, NewsComesFirstAndEachIsToldSoOften) {
  BroadcastQueue queue(8);
  queue.Push(Node(1));
  queue.Push(Node(2));
  EXPECT_THAT(queue.Take(10, 2, TenBytes), ElementsAre(Node(2))) << "the newest";
  EXPECT_THAT(queue.Take(10, 2, TenBytes), ElementsAre(Node(1))) << "told least often";
  queue.Push(Node(3));
  EXPECT_THAT(queue.Take(100, 2, TenBytes), ElementsAre(Node(3), Node(2), Node(1)));
  EXPECT_THAT(queue.Take(100, 2, TenBytes), ElementsAre(Node(3)));
  EXPECT_TRUE(queue.empty());
  EXPECT_THAT(queue.Take(100, 2, TenBytes), ElementsAre());
}

TEST(BroadcastQueue, NewerNewsOfOneSubjectReplacesTheOlder) {
  BroadcastQueue queue(8);
  queue.Push(Node(1));
  EXPECT_THAT(queue.Take(10, 2, TenBytes), ElementsAre(Node(1)));
  queue.Push(Node(1));
  EXPECT_EQ(queue.size(), 1u);
  EXPECT_THAT(queue.Take(10, 2, TenBytes), ElementsAre(Node(1)));
  EXPECT_THAT(queue.Take(10, 2, TenBytes), ElementsAre(Node(1))) << "counted anew";
  EXPECT_TRUE(queue.empty());
}

TEST(BroadcastQueue, AsMuchAsFits) {
  BroadcastQueue queue(8);
  for (uint64_t k = 1; k <= 4; ++k) queue.Push(Node(k));
  const auto bytes_of = [](NodeId node) -> size_t { return node == Node(3) ? 100 : 10; };
  EXPECT_THAT(queue.Take(25, 1, bytes_of), ElementsAre(Node(4), Node(2)));
  EXPECT_THAT(queue.Take(110, 1, bytes_of), ElementsAre(Node(3), Node(1)));
}

TEST(BroadcastQueue, WhatIsKnownIsNeitherGivenNorCounted) {
  BroadcastQueue queue(32);
  for (uint64_t k = 1; k <= 20; ++k) queue.Push(Node(k));
  const auto knows_most = [](NodeId node) -> size_t {
    return node == Node(1) ? 10 : BroadcastQueue::kKnown;
  };
  EXPECT_THAT(queue.Take(100, 2, knows_most), ElementsAre(Node(1)));
  EXPECT_EQ(queue.Take(1000, 2, TenBytes).size(), 20u);
  EXPECT_EQ(queue.Take(1000, 2, TenBytes).size(), 19u);
}

TEST(BroadcastQueue, OfTooManyTheMostToldIsDropped) {
  BroadcastQueue queue(2);
  queue.Push(Node(1));
  queue.Push(Node(2));
  EXPECT_THAT(queue.Take(10, 5, TenBytes), ElementsAre(Node(2)));
  queue.Push(Node(3));
  EXPECT_EQ(queue.size(), 2u);
  EXPECT_THAT(queue.Take(100, 5, TenBytes), ElementsAre(Node(3), Node(1)));
}

TEST(BroadcastQueue, WhatIsErasedIsNotTold) {
  BroadcastQueue queue(8);
  queue.Push(Node(1));
  queue.Push(Node(2));
  queue.Erase(Node(2));
  queue.Erase(Node(7));
  EXPECT_THAT(queue.Take(100, 5, TenBytes), ElementsAre(Node(1)));
  queue.Clear();
  EXPECT_TRUE(queue.empty());
}

}  // namespace
}  // namespace weightmesh::swim
