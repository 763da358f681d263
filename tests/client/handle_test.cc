// Misuse of handles: stale ones, foreign ones, two threads in one, detach in the middle of a call.
// Whatever is done, the outcome is a status and a message, and nobody else is disturbed.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <functional>
#include <future>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "client/include/weightmesh/weightmesh.h"
#include "client/src/handle_table.h"
#include "tests/client/fake_daemon.h"
#include "tests/client/test_model.h"

namespace weightmesh::client {
namespace {

#define EXPECT_HAS(text, part) EXPECT_NE(std::string(text).find(part), std::string::npos) << (text)

// Longer than any test: a wait that nothing but a detach may end.
constexpr uint64_t kForeverUs = 3'600'000'000;

class HandleTest : public testing::Test {
 public:
  HandleTest() : model_({50}, 1), pointers_(model_.Pointers()) {
    options_.socket_path = daemon_.socket_path().c_str();
    options_.run_id = "run";
    daemon_.collect_wait_us = kForeverUs;
    daemon_.publish_wait_us = kForeverUs;
    daemon_.on_collect = [this](uint64_t) {
      for (uint32_t k = 0; k < daemon_.layout().segments.size(); ++k) daemon_.SetOutcome(k, 0);
      return true;
    };
  }
  ~HandleTest() override { weightmesh_detach(handle_); }

  weightmesh_status Attach(weightmesh_handle** handle) {
    return weightmesh_attach(&options_, model_.described.data(), pointers_.data(), 1, handle);
  }
  // A handle of a replica that is alone.
  weightmesh_handle* Alone() {
    const std::string nowhere = daemon_.socket_path() + ".not";
    weightmesh_options options = options_;
    options.socket_path = nowhere.c_str();
    weightmesh_handle* handle = nullptr;
    EXPECT_EQ(weightmesh_attach(&options, model_.described.data(), pointers_.data(), 1, &handle),
              WEIGHTMESH_ALONE);
    return handle;
  }

  // Every function that takes a handle, but detach.
  std::vector<std::function<weightmesh_status(weightmesh_handle*)>> Calls() {
    return {
        [this](auto* h) { return weightmesh_exchange(h, pointers_.data(), 1, nullptr); },
        [this](auto* h) { return weightmesh_step(h, pointers_.data(), 1, nullptr); },
        [this](auto* h) { return weightmesh_publish(h, pointers_.data(), 1, nullptr); },
        [this](auto* h) { return weightmesh_mix(h, pointers_.data(), 1, nullptr); },
        [](auto* h) { return weightmesh_report(h, "loss", 1); },
        [](auto* h) {
          weightmesh_totals totals = WEIGHTMESH_INIT(weightmesh_totals);
          return weightmesh_stats(h, &totals);
        },
        [](auto* h) { return weightmesh_leave(h); },
    };
  }
  void ExpectAllInvalid(weightmesh_handle* handle, const char* why) {
    for (const auto& call : Calls()) {
      EXPECT_EQ(call(handle), WEIGHTMESH_INVALID);
      EXPECT_HAS(weightmesh_message(handle), why);
    }
  }

  FakeDaemon daemon_;
  TestModel model_;
  std::vector<float*> pointers_;
  weightmesh_options options_ = WEIGHTMESH_INIT(weightmesh_options);
  weightmesh_handle* handle_ = nullptr;
};

TEST_F(HandleTest, ANullHandleIsInvalid) {
  ExpectAllInvalid(nullptr, "handle is null");
  EXPECT_EQ(weightmesh_detach(nullptr), WEIGHTMESH_OK);
  EXPECT_HAS(weightmesh_message(nullptr), "handle is null");
  EXPECT_EQ(Attach(nullptr), WEIGHTMESH_INVALID);
  EXPECT_HAS(weightmesh_message(nullptr), "place for the handle");
}

TEST_F(HandleTest, ADetachedHandleIsInvalidForEver) {
  weightmesh_handle* stale = nullptr;
  ASSERT_EQ(Attach(&stale), WEIGHTMESH_OK) << weightmesh_message(stale);
  ASSERT_EQ(weightmesh_detach(stale), WEIGHTMESH_OK);
  ExpectAllInvalid(stale, "was detached");
  // The table's places are used again; the handle is not.
  for (size_t k = 0; k < 2 * kHandlesMax; ++k) weightmesh_detach(Alone());
  std::vector<weightmesh_handle*> others;
  for (size_t k = 0; k < kHandlesMax; ++k) others.push_back(Alone());
  ExpectAllInvalid(stale, "was detached");
  EXPECT_EQ(weightmesh_detach(stale), WEIGHTMESH_INVALID);
  for (weightmesh_handle* other : others) {
    EXPECT_EQ(weightmesh_report(other, "loss", 1), WEIGHTMESH_ALONE);
    EXPECT_EQ(weightmesh_detach(other), WEIGHTMESH_OK);
  }
}

TEST_F(HandleTest, ADoubleDetachIsInvalidAndDisturbsNobody) {
  ASSERT_EQ(Attach(&handle_), WEIGHTMESH_OK) << weightmesh_message(handle_);
  weightmesh_handle* other = Alone();
  EXPECT_EQ(weightmesh_detach(other), WEIGHTMESH_OK);
  EXPECT_EQ(weightmesh_detach(other), WEIGHTMESH_INVALID);
  EXPECT_HAS(weightmesh_message(other), "was detached");
  EXPECT_EQ(weightmesh_exchange(handle_, pointers_.data(), 1, nullptr), WEIGHTMESH_OK);
}

TEST_F(HandleTest, WhatIsNoHandleIsInvalid) {
  ASSERT_EQ(Attach(&handle_), WEIGHTMESH_OK) << weightmesh_message(handle_);
  int on_the_stack = 0;
  std::vector<int> on_the_heap(8);
  const uintptr_t rubbish[] = {1,
                               kHandlesMax - 1,
                               reinterpret_cast<uintptr_t>(handle_) + 1,
                               reinterpret_cast<uintptr_t>(handle_) + 1000 * kHandlesMax,
                               reinterpret_cast<uintptr_t>(&on_the_stack),
                               reinterpret_cast<uintptr_t>(on_the_heap.data()),
                               ~uintptr_t{0}};
  for (const uintptr_t number : rubbish) {
    auto* const handle = reinterpret_cast<weightmesh_handle*>(number);
    ExpectAllInvalid(handle, "the handle");
    EXPECT_EQ(weightmesh_detach(handle), WEIGHTMESH_INVALID) << number;
  }
  EXPECT_EQ(weightmesh_exchange(handle_, pointers_.data(), 1, nullptr), WEIGHTMESH_OK);
}

TEST_F(HandleTest, HandlesBeyondTheLimitAreRefused) {
  std::vector<weightmesh_handle*> handles;
  for (size_t k = 0; k < kHandlesMax; ++k) handles.push_back(Alone());
  weightmesh_handle* one_more = handles[0];
  EXPECT_EQ(Attach(&one_more), WEIGHTMESH_RESOURCES);
  EXPECT_EQ(one_more, nullptr);
  EXPECT_HAS(weightmesh_message(one_more), "1024 handles");
  EXPECT_EQ(weightmesh_detach(handles.back()), WEIGHTMESH_OK);
  handles.pop_back();
  EXPECT_EQ(Attach(&one_more), WEIGHTMESH_OK) << weightmesh_message(one_more);
  handles.push_back(one_more);
  for (weightmesh_handle* handle : handles) EXPECT_EQ(weightmesh_detach(handle), WEIGHTMESH_OK);
}

TEST_F(HandleTest, ASecondThreadIsRefusedAtOnceAndTheFirstGoesOn) {
  std::promise<void> waits;
  daemon_.on_collect = [&](uint64_t) {
    for (uint32_t k = 0; k < daemon_.layout().segments.size(); ++k) daemon_.SetOutcome(k, 0);
    waits.set_value();
    return false;
  };
  ASSERT_EQ(Attach(&handle_), WEIGHTMESH_OK) << weightmesh_message(handle_);
  weightmesh_round result = WEIGHTMESH_INIT(weightmesh_round);
  weightmesh_status status = WEIGHTMESH_INVALID;
  std::thread first([&] {
    status = weightmesh_exchange(handle_, pointers_.data(), 1, &result);
    EXPECT_EQ(status, WEIGHTMESH_OK) << weightmesh_message(handle_);
  });
  waits.get_future().wait();
  EXPECT_HAS(weightmesh_message(handle_), "another thread");
  ExpectAllInvalid(handle_, "another thread");
  daemon_.Freeze(1);
  first.join();
  EXPECT_EQ(result.round, 1u);
  EXPECT_HAS(weightmesh_message(handle_), "another thread");  // of this thread's last call
  EXPECT_EQ(weightmesh_report(handle_, "loss", 1), WEIGHTMESH_OK);
  EXPECT_STREQ(weightmesh_message(handle_), "");
}

// Each call that waits, ended by a detach on another thread.
class DetachInACallTest : public HandleTest {
 protected:
  // `until_it_waits` returns once the call is under way.
  void ExpectWoken(const std::function<weightmesh_status()>& call,
                   const std::function<void()>& until_it_waits) {
    std::thread waiting([&] {
      EXPECT_EQ(call(), WEIGHTMESH_INVALID);
      EXPECT_HAS(weightmesh_message(handle_), "detached while this call was under way");
    });
    until_it_waits();
    EXPECT_EQ(weightmesh_detach(handle_), WEIGHTMESH_OK);
    EXPECT_LE(ArenasMapped(), 1) << "the trainer's is there still; the fake daemon's may be";
    // Nothing touches the weights any more.
    for (std::vector<float>& tensor : model_.tensors) std::fill(tensor.begin(), tensor.end(), 0);
    waiting.join();
    ExpectAllInvalid(handle_, "was detached");
    EXPECT_TRUE(daemon_.WaitForHangUp());
  }

  static int ArenasMapped() {
    std::ifstream maps("/proc/self/maps");
    int arenas = 0;
    for (std::string line; std::getline(maps, line);) {
      arenas += line.find("memfd:arena") != std::string::npos;
    }
    return arenas;
  }
  void AwaitWaits() { waits_.get_future().wait(); }

  std::promise<void> waits_;
};

TEST_F(DetachInACallTest, ExchangeWaitsForPulls) {
  daemon_.on_collect = [&](uint64_t) {
    waits_.set_value();
    return false;
  };
  options_.mix_threads = 3;
  ASSERT_EQ(Attach(&handle_), WEIGHTMESH_OK) << weightmesh_message(handle_);
  ExpectWoken([&] { return weightmesh_exchange(handle_, pointers_.data(), 1, nullptr); },
              [&] { AwaitWaits(); });
}

TEST_F(DetachInACallTest, PublishWaitsForASlot) {
  daemon_.frees_slots = false;
  ASSERT_EQ(Attach(&handle_), WEIGHTMESH_OK) << weightmesh_message(handle_);
  for (int round = 1; round <= 3; ++round) {
    ASSERT_EQ(weightmesh_exchange(handle_, pointers_.data(), 1, nullptr), WEIGHTMESH_OK);
  }
  ExpectWoken([&] { return weightmesh_publish(handle_, pointers_.data(), 1, nullptr); },
              [&] {
                while (daemon_.page().slot_wanted.load() == 0) std::this_thread::yield();
              });
}

TEST_F(DetachInACallTest, LeaveWaitsForTheFarewell) {
  daemon_.on_leave = [&] { waits_.set_value(); };
  ASSERT_EQ(Attach(&handle_), WEIGHTMESH_OK) << weightmesh_message(handle_);
  ExpectWoken([&] { return weightmesh_leave(handle_); }, [&] { AwaitWaits(); });
}

TEST_F(DetachInACallTest, AttachWaitsForTheFounders) {
  daemon_.on_request = [&](const attach::AttachRequest&) {
    daemon_.Send(attach::MessageType::kAttachProgress, "1 of 2 replicas");
  };
  options_.progress = [](const char*, void* waits) {
    static_cast<std::promise<void>*>(waits)->set_value();
  };
  options_.progress_context = &waits_;
  ExpectWoken([&] { return Attach(&handle_); }, [&] { AwaitWaits(); });
}

TEST_F(HandleTest, ProgressMayDetachItsHandleAndNothingElse) {
  daemon_.on_request = [&](const attach::AttachRequest&) {
    daemon_.Send(attach::MessageType::kAttachProgress, "1 of 2 replicas");
  };
  options_.progress = [](const char*, void* context) {
    auto* const test = static_cast<HandleTest*>(context);
    EXPECT_EQ(weightmesh_report(test->handle_, "loss", 1), WEIGHTMESH_INVALID);
    EXPECT_HAS(weightmesh_message(test->handle_), "this thread is in a call");
    weightmesh_detach(test->Alone());  // another handle is no concern of this one's call
    EXPECT_EQ(weightmesh_detach(test->handle_), WEIGHTMESH_OK);
    EXPECT_EQ(weightmesh_detach(test->handle_), WEIGHTMESH_INVALID);
  };
  options_.progress_context = this;
  EXPECT_EQ(Attach(&handle_), WEIGHTMESH_INVALID);
  EXPECT_HAS(weightmesh_message(handle_), "detached while this call was under way");
  EXPECT_TRUE(daemon_.WaitForHangUp());
  ExpectAllInvalid(handle_, "was detached");
}

// Any mixture of calls and detaches on the same few handles: every call ends with a status that
// fits, every handle is detached once, and the sanitizers see no access that is not allowed.
TEST_F(HandleTest, ManyThreadsMayDoAnythingToAFewHandles) {
  constexpr int kThreads = 4;
  constexpr int kCallsOfEach = 3000;
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  ASSERT_EQ(Attach(&handle_), WEIGHTMESH_OK) << weightmesh_message(handle_);
  std::vector<std::atomic<weightmesh_handle*>> shared(3);
  for (auto& handle : shared) handle = Alone();
  std::atomic<int> opened{static_cast<int>(shared.size())};
  std::atomic<int> detached{0};
  std::vector<std::thread> threads;
  for (int k = 0; k < kThreads; ++k) {
    threads.emplace_back([&, k] {
      std::mt19937_64 random(seed + static_cast<uint64_t>(k));
      const auto calls = Calls();
      for (int n = 0; n < kCallsOfEach; ++n) {
        auto& place = shared[random() % shared.size()];
        weightmesh_handle* const handle = place.load();
        const size_t choice = random() % (calls.size() + 2);
        if (choice < calls.size()) {
          const weightmesh_status status = calls[choice](handle);
          EXPECT_TRUE(status == WEIGHTMESH_ALONE || status == WEIGHTMESH_INVALID) << status;
        } else if (choice == calls.size()) {
          EXPECT_NE(weightmesh_message(handle), nullptr);
        } else if (weightmesh_detach(handle) == WEIGHTMESH_OK) {
          ++detached;
          place = Alone();
          ++opened;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (auto& handle : shared) detached += weightmesh_detach(handle) == WEIGHTMESH_OK;
  EXPECT_EQ(detached, opened);
  EXPECT_EQ(weightmesh_exchange(handle_, pointers_.data(), 1, nullptr), WEIGHTMESH_OK);
}

}  // namespace
}  // namespace weightmesh::client
