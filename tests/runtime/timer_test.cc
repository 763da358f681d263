// Timers: never early, once for each Set, in the order of their times.
#include "daemon/runtime/timer.h"

#include <gtest/gtest.h>

#include <vector>

namespace weightmesh {
namespace {

class TimerTest : public testing::Test {
 protected:
  std::unique_ptr<Timer> MakeTimer(std::function<void()> callback) {
    return *Timer::Create(executor_.get(), std::move(callback));
  }

  std::unique_ptr<Executor> executor_ = *Executor::Create();
};

TEST_F(TimerTest, IsNeverEarly) {
  const absl::Time when = Executor::Now() + absl::Milliseconds(5);
  const auto timer = MakeTimer([&] {
    EXPECT_GE(Executor::Now(), when);
    executor_->Stop();
  });
  timer->Set(when);
  executor_->RunUntilStopped();
}

TEST_F(TimerTest, FiresForATimeThatHasPassed) {
  for (const absl::Time when : {absl::InfinitePast(), absl::UnixEpoch(), Executor::Now()}) {
    auto executor = *Executor::Create();
    const auto timer = *Timer::Create(executor.get(), [&] { executor->Stop(); });
    timer->Set(when);
    executor->RunUntilStopped();
  }
}

TEST_F(TimerTest, MayBeMovedBothWays) {
  const absl::Time start = Executor::Now();
  absl::Time due = start + absl::Milliseconds(4);
  int fired = 0;
  std::unique_ptr<Timer> timer = MakeTimer([&] {
    EXPECT_GE(Executor::Now(), due);
    if (++fired == 2) return executor_->Stop();
    due = Executor::Now() + absl::Milliseconds(1);
    timer->Set(due);
  });
  timer->Set(start + absl::Hours(1));
  timer->Set(start + absl::Milliseconds(1));  // earlier
  timer->Set(due);                            // later again
  executor_->RunUntilStopped();
  EXPECT_EQ(fired, 2);
}

TEST_F(TimerTest, FiresOnceAndNotWhenUnset) {
  int fired = 0;
  const auto once = MakeTimer([&] { ++fired; });
  const auto never = MakeTimer([&] { ADD_FAILURE() << "it was unset"; });
  const auto last = MakeTimer([&] { executor_->Stop(); });
  const absl::Time now = Executor::Now();
  once->Set(now);
  never->Set(now + absl::Milliseconds(1));
  never->Set(absl::InfiniteFuture());
  last->Set(now + absl::Milliseconds(10));
  executor_->RunUntilStopped();
  EXPECT_EQ(fired, 1);
}

TEST_F(TimerTest, MayBeDestroyedByItsCallback) {
  std::unique_ptr<Timer> timer;
  std::vector<int> alive(3, 7);
  timer = MakeTimer([&, alive] {
    timer.reset();
    EXPECT_EQ(alive.size(), 3u);
    executor_->Stop();
  });
  timer->Set(Executor::Now());
  executor_->RunUntilStopped();
  EXPECT_EQ(timer, nullptr);
}

}  // namespace
}  // namespace weightmesh
