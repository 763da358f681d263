// Await: turns one asynchronous answer into a result, within a bounded time.
#pragma once

#include <chrono>
#include <functional>
#include <future>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace weightmesh::testing {

// Calls start(done) and returns what done is called with; DeadlineExceeded after 20 s.
template <typename T, typename Start>
absl::StatusOr<T> Await(const Start& start) {
  auto promise = std::make_shared<std::promise<absl::StatusOr<T>>>();
  std::future<absl::StatusOr<T>> answer = promise->get_future();
  start(std::function<void(absl::StatusOr<T>)>(
      [promise](absl::StatusOr<T> result) { promise->set_value(std::move(result)); }));
  if (answer.wait_for(std::chrono::seconds(20)) != std::future_status::ready) {
    return absl::DeadlineExceededError("the callback was not called within 20 s");
  }
  return answer.get();
}

}  // namespace weightmesh::testing
