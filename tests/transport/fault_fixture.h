// FaultTest: a reader and a source over the loopback, each with faults of its own.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <thread>
#include <utility>

#include "daemon/transport/fault.h"
#include "daemon/transport/loopback.h"
#include "tests/transport/transport_node.h"

namespace weightmesh {

// Polls, for what changes without a call of a sink.
inline bool Await(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

class FaultTest : public testing::Test {
 protected:
  void Make(const FaultOptions& reader_faults, const FaultOptions& source_faults) {
    auto reader =
        std::make_unique<FaultTransport>(std::make_unique<LoopbackTransport>(hub_), reader_faults);
    auto source =
        std::make_unique<FaultTransport>(std::make_unique<LoopbackTransport>(hub_), source_faults);
    reader_faults_ = reader.get();
    source_faults_ = source.get();
    reader_ = std::make_unique<TransportNode>(1, std::move(reader), kMemoryBytes);
    source_ = std::make_unique<TransportNode>(2, std::move(source), kMemoryBytes);
    Link(*reader_, *source_);
  }

  static constexpr size_t kMemoryBytes = 256 * 1024;

  LoopbackHub hub_;
  std::unique_ptr<TransportNode> reader_;
  std::unique_ptr<TransportNode> source_;
  FaultTransport* reader_faults_ = nullptr;
  FaultTransport* source_faults_ = nullptr;
};

}  // namespace weightmesh
