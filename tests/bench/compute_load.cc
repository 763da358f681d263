// Multiplications and additions without end.
#include "tests/bench/compute_load.h"

#include <cstddef>

namespace weightmesh::bench {
namespace {

constexpr size_t kElements = 2048;  // 8 KiB

}  // namespace

ComputeLoad::ComputeLoad(unsigned threads) {
  for (unsigned k = 0; k < threads; ++k) {
    threads_.emplace_back([this] {
      std::vector<float> values(kElements, 1.0f);
      while (!stopped_.load(std::memory_order_relaxed)) {
        for (float& value : values) value = value * 0.999f + 0.001f;
        passes_.fetch_add(1, std::memory_order_relaxed);
      }
    });
  }
}

ComputeLoad::~ComputeLoad() {
  stopped_ = true;
  for (std::thread& thread : threads_) thread.join();
}

}  // namespace weightmesh::bench
