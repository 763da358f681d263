// MixPool: every index once, whatever the number of threads, run after run.
#include "client/src/mix_pool.h"

#include <gtest/gtest.h>

#include <vector>

namespace weightmesh::client {
namespace {

TEST(MixPool, RunsEveryIndexOnce) {
  for (const uint32_t threads : {1u, 2u, 5u}) {
    MixPool pool(threads);
    for (const size_t count : {0u, 1u, 2u, 3u, 100u}) {
      for (int repeat = 0; repeat < 50; ++repeat) {
        std::vector<int> calls(count);
        auto work = [&](size_t index) { ++calls[index]; };
        pool.Run(count, work);
        ASSERT_EQ(calls, std::vector<int>(count, 1)) << threads << " threads";
      }
    }
  }
}

}  // namespace
}  // namespace weightmesh::client
