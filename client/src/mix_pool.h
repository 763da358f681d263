// MixPool: the threads that share the segments of a publish or a mix. Run is called by the handle's
// thread, which works along; 1 thread means no other thread at all.
//
// Each segment is worked on by one thread from its start to its end, so that the results do not
// depend on the number of threads.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace weightmesh::client {

class MixPool {
 public:
  // `threads` >= 1, the caller's included. Throws std::system_error when the system gives no
  // thread.
  explicit MixPool(uint32_t threads);
  ~MixPool();
  MixPool(const MixPool&) = delete;
  MixPool& operator=(const MixPool&) = delete;

  // Calls work(context, i) once for every i in [0, count), on any thread, and returns when all
  // calls have. `work` must not throw. Allocates nothing.
  void Run(size_t count, void (*work)(void* context, size_t index), void* context);

  // The same for a callable.
  template <typename Work>
  void Run(size_t count, Work& work) {
    Run(
        count, [](void* context, size_t index) { (*static_cast<Work*>(context))(index); }, &work);
  }

 private:
  void Stop();
  void ThreadMain();
  void TakeAll(size_t count, void (*work)(void*, size_t), void* context);

  std::mutex mutex_;
  std::condition_variable started_;
  std::condition_variable finished_;
  // Guarded by mutex_.
  uint64_t generation_ = 0;  // of the work below
  size_t count_ = 0;
  void (*work_)(void*, size_t) = nullptr;
  void* context_ = nullptr;
  size_t threads_busy_ = 0;
  bool stopping_ = false;

  std::atomic<size_t> next_{0};  // index that the next thread takes
  std::vector<std::thread> threads_;
};

}  // namespace weightmesh::client
