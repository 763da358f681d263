// However the daemons start, all at once or a seed after those that it is to introduce to each
// other, they are one mesh.
#include <algorithm>
#include <cstdio>

#include "absl/time/clock.h"
#include "daemon/core/hash.h"
#include "tests/netns/network_test.h"
#include "tests/testing/environment.h"

namespace weightmesh {
namespace {

using Start = NetworkTest;

TEST_F(Start, ASeedThatComesLaterJoinsThoseThatWaitForIt) {
  MeshOptions options = MeshOf(3);
  options.seeds_of = {{}, {0}, {0}};
  options.absent = {0};
  Mesh mesh(3, options);
  // They have tried, more than once, and know nobody.
  for (int k : {1, 2}) {
    EXPECT_TRUE(Mesh::Await([&] { return mesh.Stats(k, "").uptime_ms() > 2500; }, kLimit));
    EXPECT_EQ(Reachable(mesh, k), 1);
  }
  mesh.Restart(0);
  EXPECT_TRUE(AwaitOneMesh(mesh, {0, 1, 2}));
}

// Each is told of one or two others, so that together they could find all: the first may hear of
// nobody who is there already.
TEST_F(Start, AllAtOnceTheyAreAlwaysOneMesh) {
  const uint64_t starts = FromEnvironment("WEIGHTMESH_NETNS_STARTS", 4);
  CounterRng rng(1);
  double longest = 0;
  for (uint64_t start = 0; start < starts && !HasFailure(); ++start) {
    MeshOptions options = MeshOf(kNodes);
    options.seeds_of.resize(kNodes);
    for (int k = 0; k < kNodes; ++k) {
      // Of one before it, and perhaps of one after it.
      const auto before = static_cast<int>(rng.Below(std::max(k, 1)));
      const auto after = static_cast<int>(k + rng.Below(kNodes - k));
      if (before != k) options.seeds_of[k].push_back(before);
      if (after != k) options.seeds_of[k].push_back(after);
    }
    Mesh mesh(kNodes, options);
    const absl::Time begin = absl::Now();
    EXPECT_TRUE(AwaitOneMesh(mesh, {0, 1, 2, 3})) << "start " << start;
    longest = std::max(longest, absl::ToDoubleSeconds(absl::Now() - begin));
  }
  std::printf("%llu starts: one mesh within %.2f s of the last one's start\n",
              static_cast<unsigned long long>(starts), longest);
}

}  // namespace
}  // namespace weightmesh
