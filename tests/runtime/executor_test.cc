// The executor: order, limits, wake-ups, and watches that change while they are served.
#include "daemon/runtime/executor.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <future>
#include <thread>
#include <vector>

namespace weightmesh {
namespace {

// A pipe whose ends do not block.
struct Pipe {
  Pipe() {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    read = FileDescriptor(ends[0]);
    write = FileDescriptor(ends[1]);
  }
  void Fill() { EXPECT_EQ(::write(write.get(), "x", 1), 1); }
  void Empty() {
    char byte;
    EXPECT_EQ(::read(read.get(), &byte, 1), 1);
  }
  FileDescriptor read;
  FileDescriptor write;
};

class ExecutorTest : public testing::Test {
 protected:
  std::unique_ptr<Executor> executor_ = *Executor::Create();
};

TEST_F(ExecutorTest, RunsEachThreadsTasksInTheirOrder) {
  constexpr int kThreads = 4;
  constexpr int kTasks = 5000;
  std::vector<std::vector<int>> ran(kThreads);
  std::atomic<int> left{kThreads * kTasks};
  std::vector<std::thread> posters;
  for (int thread = 0; thread < kThreads; ++thread) {
    posters.emplace_back([&, thread] {
      for (int i = 0; i < kTasks; ++i) {
        EXPECT_TRUE(executor_->Post([&, thread, i] {
          EXPECT_TRUE(executor_->OnThread());
          ran[thread].push_back(i);
          if (--left == 0) executor_->Stop();
        }));
      }
    });
  }
  executor_->RunUntilStopped();
  for (std::thread& poster : posters) poster.join();
  for (const std::vector<int>& tasks : ran) {
    ASSERT_EQ(tasks.size(), size_t{kTasks});
    for (int i = 0; i < kTasks; ++i) EXPECT_EQ(tasks[i], i);
  }
}

TEST_F(ExecutorTest, RefusesPostsBeyondItsLimitAndPaysForOneWakeUp) {
  size_t ran = 0;
  for (size_t i = 0; i < Executor::kPostsMax; ++i) {
    ASSERT_TRUE(executor_->Post([&] { ++ran; }));
  }
  EXPECT_FALSE(executor_->Post([&] { ADD_FAILURE() << "a refused task ran"; }));
  EXPECT_EQ(executor_->wake_ups(), 1u);
  executor_->Stop();
  executor_->RunUntilStopped();
  EXPECT_EQ(ran, Executor::kPostsMax);
}

TEST_F(ExecutorTest, HasRoomAgainOnceTasksHaveRun) {
  std::promise<void> emptied;
  for (size_t i = 0; i + 1 < Executor::kPostsMax; ++i) ASSERT_TRUE(executor_->Post([] {}));
  ASSERT_TRUE(executor_->Post([&] { emptied.set_value(); }));
  std::thread loop([&] { executor_->RunUntilStopped(); });
  emptied.get_future().wait();
  EXPECT_TRUE(executor_->Post([&] { executor_->Stop(); }));
  loop.join();
}

TEST_F(ExecutorTest, RunsWhatWasPostedBeforeItEndsAndNothingLater) {
  bool first = false;
  bool posted_by_first = true;
  executor_->Stop();
  EXPECT_TRUE(executor_->Post([&] {
    first = true;
    posted_by_first = executor_->Post([] { ADD_FAILURE() << "ran after the end"; });
  }));
  executor_->RunUntilStopped();
  EXPECT_TRUE(first);
  EXPECT_FALSE(posted_by_first);
  EXPECT_FALSE(executor_->Post([] {}));
}

TEST_F(ExecutorTest, ServesWatchesAndPostsInTurn) {
  Pipe pipe;
  int seen = 0;
  ASSERT_TRUE(executor_
                  ->Watch(pipe.read.get(), EPOLLIN,
                          [&](uint32_t events) {
                            EXPECT_NE(events & EPOLLIN, 0u);
                            pipe.Empty();
                            if (++seen == 3) {
                              executor_->Stop();
                            } else {
                              EXPECT_TRUE(executor_->Post([&] { pipe.Fill(); }));
                            }
                          })
                  .ok());
  EXPECT_TRUE(executor_->Post([&] { pipe.Fill(); }));
  executor_->RunUntilStopped();
  EXPECT_EQ(seen, 3);
  executor_->Unwatch(pipe.read.get());
}

TEST_F(ExecutorTest, AWatchMayEndItself) {
  Pipe pipe;
  int seen = 0;
  // Owned by the callback alone: it must live until the callback returns.
  auto alive = std::make_shared<int>(7);
  std::weak_ptr<int> watch = alive;
  ASSERT_TRUE(executor_
                  ->Watch(pipe.read.get(), EPOLLIN,
                          [&, alive](uint32_t) {
                            ++seen;
                            executor_->Unwatch(pipe.read.get());
                            EXPECT_FALSE(watch.expired());
                            EXPECT_EQ(*alive, 7);
                            // Still readable: a second call would show.
                            EXPECT_TRUE(executor_->Post(
                                [&] { EXPECT_TRUE(executor_->Post([&] { executor_->Stop(); })); }));
                          })
                  .ok());
  alive.reset();
  pipe.Fill();
  executor_->RunUntilStopped();
  EXPECT_EQ(seen, 1);
  EXPECT_TRUE(watch.expired());
}

TEST_F(ExecutorTest, AWatchEndedByAnotherOfTheSameBatchIsNotServed) {
  Pipe first;
  Pipe second;
  int served = 0;
  const auto end_both = [&](uint32_t) {
    ++served;
    executor_->Unwatch(first.read.get());
    executor_->Unwatch(second.read.get());
    executor_->Stop();
  };
  ASSERT_TRUE(executor_->Watch(first.read.get(), EPOLLIN, end_both).ok());
  ASSERT_TRUE(executor_->Watch(second.read.get(), EPOLLIN, end_both).ok());
  first.Fill();
  second.Fill();
  executor_->RunUntilStopped();
  EXPECT_EQ(served, 1);
}

TEST_F(ExecutorTest, ADescriptorThatIsUsedAgainGetsNoOldEvents) {
  Pipe pipe;
  auto reused = std::make_unique<Pipe>();
  const int number = reused->read.get();
  reused->Fill();
  pipe.Fill();
  ASSERT_TRUE(executor_
                  ->Watch(pipe.read.get(), EPOLLIN,
                          [&](uint32_t) {
                            pipe.Empty();
                            executor_->Unwatch(number);
                            reused.reset();
                            // Empty, and of the same number.
                            reused = std::make_unique<Pipe>();
                            EXPECT_EQ(reused->read.get(), number);
                            EXPECT_TRUE(executor_
                                            ->Watch(number, EPOLLIN,
                                                    [](uint32_t) {
                                                      ADD_FAILURE() << "an event of the former one";
                                                    })
                                            .ok());
                            EXPECT_TRUE(executor_->Post([&] { executor_->Stop(); }));
                          })
                  .ok());
  ASSERT_TRUE(executor_->Watch(number, EPOLLIN, [](uint32_t) {}).ok());
  executor_->RunUntilStopped();
  executor_->Unwatch(pipe.read.get());
  executor_->Unwatch(number);
}

TEST_F(ExecutorTest, ChangesWhatItWatchesFor) {
  Pipe pipe;
  bool silent = true;
  ASSERT_TRUE(executor_
                  ->Watch(pipe.write.get(), 0,
                          [&](uint32_t events) {
                            EXPECT_FALSE(silent);
                            EXPECT_NE(events & EPOLLOUT, 0u);
                            executor_->Stop();
                          })
                  .ok());
  EXPECT_TRUE(executor_->Post([&] {
    silent = false;
    executor_->ChangeEvents(pipe.write.get(), EPOLLOUT);
  }));
  executor_->RunUntilStopped();
  executor_->Unwatch(pipe.write.get());
  executor_->Unwatch(pipe.write.get());  // nothing happens
}

TEST_F(ExecutorTest, RefusesWhatCannotBeWatched) {
  EXPECT_FALSE(executor_->Watch(-1, EPOLLIN, [](uint32_t) {}).ok());
}

Executor* stopped_by_signal = nullptr;

TEST_F(ExecutorTest, StopsFromASignalHandler) {
  stopped_by_signal = executor_.get();
  struct sigaction action {};
  action.sa_handler = [](int) { stopped_by_signal->Stop(); };
  struct sigaction before {};
  ASSERT_EQ(::sigaction(SIGUSR1, &action, &before), 0);
  EXPECT_TRUE(executor_->Post([] { ::raise(SIGUSR1); }));
  executor_->RunUntilStopped();
  ::sigaction(SIGUSR1, &before, nullptr);
}

TEST_F(ExecutorTest, StopsFromAnotherThread) {
  std::thread loop([&] { executor_->RunUntilStopped(); });
  executor_->Stop();
  loop.join();
}

TEST(ExecutorTimeTest, NeverGoesBack) {
  absl::Time last = Executor::Now();
  for (int i = 0; i < 1000; ++i) {
    const absl::Time now = Executor::Now();
    ASSERT_GE(now, last);
    last = now;
  }
}

}  // namespace
}  // namespace weightmesh
