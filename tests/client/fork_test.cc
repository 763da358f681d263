// A fork of an attached trainer: the child holds nothing of the mesh open and cannot use the
// handle.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "client/include/weightmesh/weightmesh.h"
#include "tests/client/fake_daemon.h"
#include "tests/client/test_model.h"

namespace weightmesh::client {
namespace {

// A child that hangs is killed, and its exit code says so.
constexpr unsigned kChildSecondsMax = 30;

class ForkTest : public testing::Test {
 protected:
  ForkTest() : model_({50}, 1) {
    options_.socket_path = daemon_.socket_path().c_str();
    options_.run_id = "run";
    options_.mix_threads = 2;
    daemon_.on_collect = [this](uint64_t) {
      for (uint32_t k = 0; k < daemon_.layout().segments.size(); ++k) daemon_.SetOutcome(k, 0);
      return true;
    };
  }

  void Attach() {
    ASSERT_EQ(weightmesh_attach(&options_, model_.described.data(), model_.Pointers().data(), 1,
                                &handle_),
              WEIGHTMESH_OK)
        << weightmesh_message(handle_);
  }

  FakeDaemon daemon_;
  TestModel model_;
  weightmesh_options options_ = WEIGHTMESH_INIT(weightmesh_options);
  weightmesh_handle* handle_ = nullptr;
};

// Exit code of `child`.
int Await(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(ForkTest, TheHandleIsUnusableInTheChildAndGoodInTheParent) {
  Attach();
  const pid_t child = fork();
  if (child == 0) {
    // No assertions of GoogleTest here: the exit code says which check failed.
    if (weightmesh_exchange(handle_, model_.Pointers().data(), 1, nullptr) != WEIGHTMESH_INVALID) {
      _exit(1);
    }
    if (std::string(weightmesh_message(handle_)).find("fork") == std::string::npos) _exit(2);
    if (weightmesh_report(handle_, "loss", 1) != WEIGHTMESH_INVALID) _exit(3);
    if (weightmesh_leave(handle_) != WEIGHTMESH_INVALID) _exit(4);
    weightmesh_detach(handle_);
    _exit(0);
  }
  EXPECT_EQ(Await(child), 0);
  weightmesh_round result = WEIGHTMESH_INIT(weightmesh_round);
  EXPECT_EQ(weightmesh_exchange(handle_, model_.Pointers().data(), 1, &result), WEIGHTMESH_OK);
  EXPECT_EQ(result.round, 1u);
  weightmesh_detach(handle_);
}

// A DataLoader worker that outlives its killed trainer must not hide the death.
TEST_F(ForkTest, TheDaemonSeesTheParentEndWhileAChildLives) {
  Attach();
  int until_told[2];
  ASSERT_EQ(pipe(until_told), 0);
  const pid_t child = fork();
  if (child == 0) {
    close(until_told[1]);
    char byte;
    _exit(read(until_told[0], &byte, 1) == 0 ? 0 : 1);
  }
  close(until_told[0]);
  weightmesh_detach(handle_);
  EXPECT_TRUE(daemon_.WaitForHangUp());
  close(until_told[1]);
  EXPECT_EQ(Await(child), 0);
}

// A thread that forks while another is in a call: in the child that call is no more, and the handle
// is neither used nor waited for.
TEST_F(ForkTest, AForkInTheMiddleOfAnotherThreadsCall) {
  std::promise<void> waits;
  daemon_.on_collect = [&](uint64_t) {
    for (uint32_t k = 0; k < daemon_.layout().segments.size(); ++k) daemon_.SetOutcome(k, 0);
    waits.set_value();
    return false;
  };
  options_.mix_threads = 1;
  Attach();
  std::thread in_call([&] {
    EXPECT_EQ(weightmesh_exchange(handle_, model_.Pointers().data(), 1, nullptr), WEIGHTMESH_OK)
        << weightmesh_message(handle_);
  });
  waits.get_future().wait();
  const pid_t child = fork();
  if (child == 0) {
    alarm(kChildSecondsMax);
    if (weightmesh_report(handle_, "loss", 1) != WEIGHTMESH_INVALID) _exit(1);
    if (std::string(weightmesh_message(handle_)).find("fork") == std::string::npos) _exit(2);
    if (weightmesh_detach(handle_) != WEIGHTMESH_OK) _exit(3);
    if (weightmesh_detach(handle_) != WEIGHTMESH_INVALID) _exit(4);
    _exit(0);
  }
  EXPECT_EQ(Await(child), 0);
  daemon_.Freeze(1);
  in_call.join();
  EXPECT_EQ(weightmesh_report(handle_, "loss", 1), WEIGHTMESH_OK);
  weightmesh_detach(handle_);
}

// What the message says: attach anew in the child.
TEST_F(ForkTest, TheChildMayAttachAnew) {
  FakeDaemon other;
  options_.mix_threads = 1;
  Attach();
  const pid_t child = fork();
  if (child == 0) {
    alarm(kChildSecondsMax);
    weightmesh_detach(handle_);
    options_.socket_path = other.socket_path().c_str();
    if (weightmesh_attach(&options_, model_.described.data(), model_.Pointers().data(), 1,
                          &handle_) != WEIGHTMESH_OK) {
      _exit(1);
    }
    if (weightmesh_exchange(handle_, model_.Pointers().data(), 1, nullptr) != WEIGHTMESH_OK) {
      _exit(2);
    }
    _exit(weightmesh_detach(handle_) == WEIGHTMESH_OK ? 0 : 3);
  }
  EXPECT_EQ(Await(child), 0);
  EXPECT_EQ(weightmesh_exchange(handle_, model_.Pointers().data(), 1, nullptr), WEIGHTMESH_OK);
  weightmesh_detach(handle_);
}

// Forks while other threads attach and detach: the child finds no lock of the library held.
TEST_F(ForkTest, ForksAmidAttachesAndDetaches) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "a fork does not wait for the locks of AddressSanitizer's own allocator";
#endif
  constexpr int kForks = 30;
  const std::string nowhere = daemon_.socket_path() + ".not";
  options_.socket_path = nowhere.c_str();
  options_.mix_threads = 1;
  const auto cycle = [&] {
    weightmesh_handle* handle = nullptr;
    const weightmesh_status status =
        weightmesh_attach(&options_, model_.described.data(), model_.Pointers().data(), 1, &handle);
    return status == WEIGHTMESH_ALONE && weightmesh_detach(handle) == WEIGHTMESH_OK;
  };
  std::atomic<bool> stop{false};
  std::atomic<int> failures{0};
  std::vector<std::thread> threads;
  for (int k = 0; k < 2; ++k) {
    threads.emplace_back([&] {
      while (!stop) failures += cycle() ? 0 : 1;
    });
  }
  for (int k = 0; k < kForks; ++k) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(kChildSecondsMax);
      _exit(cycle() ? 0 : 1);
    }
    EXPECT_EQ(Await(child), 0) << "fork " << k;
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
}

}  // namespace
}  // namespace weightmesh::client
