// Daemons' numbers in place of ids.
#include "deploy/demo/node_names.h"

#include <gtest/gtest.h>

namespace weightmesh::demo {
namespace {

v1::Id Id(uint64_t high, uint64_t low) {
  v1::Id id;
  id.set_high(high);
  id.set_low(low);
  return id;
}

TEST(NodeNames, ReplacesTheIdsAndAddressesThatItKnows) {
  NodeNames names;
  names.Learn(3, Id(0x0123456789abcdef, 1));
  names.Learn(5, Id(2, 3));
  const std::string three = "node 0123456789abcdef0000000000000001";
  const std::string five = "node 00000000000000020000000000000003";
  EXPECT_EQ(names.Apply(three + " at 127.0.0.1:4711 is suspected: it did not answer " + five +
                        " at 127.0.0.1:12"),
            "daemon 3 is suspected: it did not answer daemon 5");
  EXPECT_EQ(names.Apply(three + " answers again"), "daemon 3 answers again");
  const std::string unknown = "node 00000000000000020000000000000004 at 127.0.0.1:1 is dead";
  EXPECT_EQ(names.Apply(unknown), unknown);
  EXPECT_EQ(names.Apply(unknown + ", says " + five), unknown + ", says daemon 5");
  EXPECT_EQ(names.Apply("replica replica-0 joins run letter"),
            "replica replica-0 joins run letter");
  EXPECT_EQ(names.Apply("node "), "node ");
}

}  // namespace
}  // namespace weightmesh::demo
