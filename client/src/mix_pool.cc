// The threads of MixPool.
#include "client/src/mix_pool.h"

#include <csignal>

namespace weightmesh::client {

MixPool::MixPool(uint32_t threads) {
  // The trainer's signals belong on the trainer's threads.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    threads_.reserve(threads - 1);
    while (threads_.size() + 1 < threads) threads_.emplace_back([this] { ThreadMain(); });
  } catch (...) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    Stop();
    throw;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

MixPool::~MixPool() { Stop(); }

void MixPool::Stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  started_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void MixPool::Run(size_t count, void (*work)(void*, size_t), void* context) {
  next_.store(0, std::memory_order_relaxed);
  if (threads_.empty() || count < 2) return TakeAll(count, work, context);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++generation_;
    count_ = count;
    work_ = work;
    context_ = context;
    threads_busy_ = threads_.size();
  }
  started_.notify_all();
  TakeAll(count, work, context);
  std::unique_lock<std::mutex> lock(mutex_);
  finished_.wait(lock, [this] { return threads_busy_ == 0; });
}

void MixPool::TakeAll(size_t count, void (*work)(void*, size_t), void* context) {
  for (;;) {
    const size_t index = next_.fetch_add(1, std::memory_order_relaxed);
    if (index >= count) return;
    work(context, index);
  }
}

void MixPool::ThreadMain() {
  uint64_t done = 0;
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    started_.wait(lock, [&] { return stopping_ || generation_ != done; });
    if (stopping_) return;
    done = generation_;
    const size_t count = count_;
    const auto work = work_;
    void* const context = context_;
    lock.unlock();
    TakeAll(count, work, context);
    lock.lock();
    if (--threads_busy_ == 0) finished_.notify_one();
  }
}

}  // namespace weightmesh::client
