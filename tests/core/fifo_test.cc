// Fifo against std::deque.
#include "daemon/core/fifo.h"

#include <gtest/gtest.h>

#include <deque>
#include <vector>

#include "daemon/core/hash.h"

namespace weightmesh {
namespace {

TEST(Fifo, DoesWhatADequeDoes) {
  CounterRng rng(1);
  Fifo<uint64_t> fifo;
  std::deque<uint64_t> deque;
  for (uint64_t step = 0; step < 20'000; ++step) {
    const uint64_t draw = rng.Below(10);
    if (draw < 5 || deque.empty()) {
      fifo.push_back(step);
      deque.push_back(step);
    } else if (draw < 9) {
      fifo.pop_front();
      deque.pop_front();
    } else {
      const uint64_t place = rng.Below(deque.size());
      fifo.erase(fifo.begin() + static_cast<std::ptrdiff_t>(place));
      deque.erase(deque.begin() + static_cast<std::ptrdiff_t>(place));
    }
    if (step % 5'000 == 4'999) {
      fifo.clear();
      deque.clear();
    }
    ASSERT_EQ(fifo.empty(), deque.empty());
    ASSERT_EQ(fifo.size(), deque.size());
    if (!deque.empty()) {
      ASSERT_EQ(fifo.front(), deque.front());
    }
    ASSERT_TRUE(std::equal(fifo.begin(), fifo.end(), deque.begin(), deque.end()));
  }
}

}  // namespace
}  // namespace weightmesh
