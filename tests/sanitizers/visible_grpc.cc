// Under ThreadSanitizer: shows it what orders gRPC's threads, so that reports are about our code.
//
// Debian's gRPC and Abseil are not built for ThreadSanitizer. It follows our code, that of their
// headers and the C library, but sees neither Abseil's locks nor the queues by which gRPC hands a
// started batch to the thread that ends it. The functions here take the place of the libraries'
// own for the whole program, do the same, and tell it. What they cannot reach is in thread.txt.
#include <dlfcn.h>
#include <grpc/grpc.h>
#include <sanitizer/tsan_interface.h>

#include <cstdio>
#include <cstdlib>

#include "absl/base/config.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace {

// The library's function that ours stands in for.
template <typename Function>
Function Next(const char* symbol) {
  void* next = dlsym(RTLD_NEXT, symbol);
  if (next == nullptr) {
    std::fprintf(stderr, "visible_grpc.cc: no %s; bring its names up to this Abseil's\n", symbol);
    std::abort();
  }
  return reinterpret_cast<Function>(next);
}

}  // namespace

namespace absl {
ABSL_NAMESPACE_BEGIN

void Mutex::Lock() {
  static const auto next = Next<void (*)(Mutex*)>("_ZN4absl7debian35Mutex4LockEv");
  next(this);
  __tsan_acquire(this);
}

bool Mutex::TryLock() {
  static const auto next = Next<bool (*)(Mutex*)>("_ZN4absl7debian35Mutex7TryLockEv");
  const bool locked = next(this);
  if (locked) __tsan_acquire(this);
  return locked;
}

void Mutex::Unlock() {
  static const auto next = Next<void (*)(Mutex*)>("_ZN4absl7debian35Mutex6UnlockEv");
  __tsan_release(this);
  next(this);
}

void CondVar::Wait(Mutex* mutex) {
  static const auto next =
      Next<void (*)(CondVar*, Mutex*)>("_ZN4absl7debian37CondVar4WaitEPNS0_5MutexE");
  __tsan_release(mutex);
  next(this, mutex);
  __tsan_acquire(mutex);
}

bool CondVar::WaitWithTimeout(Mutex* mutex, Duration timeout) {
  static const auto next = Next<bool (*)(CondVar*, Mutex*, Duration)>(
      "_ZN4absl7debian37CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE");
  __tsan_release(mutex);
  const bool timed_out = next(this, mutex, timeout);
  __tsan_acquire(mutex);
  return timed_out;
}

ABSL_NAMESPACE_END
}  // namespace absl

extern "C" {

// CallbackWithStatusTag::StaticRun and CallbackWithSuccessTag::StaticRun, which are private: what
// gRPC calls when the batch of a unary call, and any other batch of the callback API, has ended.
void RunWithStatus(grpc_completion_queue_functor* tag, int ok) asm(
    "_ZN4grpc8internal21CallbackWithStatusTag9StaticRunEP29grpc_completion_queue_functori");
void RunWithSuccess(grpc_completion_queue_functor* tag, int ok) asm(
    "_ZN4grpc8internal22CallbackWithSuccessTag9StaticRunEP29grpc_completion_queue_functori");

// What was done before a batch starts comes before what its end runs.
grpc_call_error grpc_call_start_batch(grpc_call* call, const grpc_op* ops, size_t ops_count,
                                      void* tag, void* reserved) {
  static const auto next = Next<decltype(&grpc_call_start_batch)>("grpc_call_start_batch");
  auto* functor = static_cast<grpc_completion_queue_functor*>(tag);
  if (functor->functor_run == &RunWithStatus) {
    functor->functor_run = [](grpc_completion_queue_functor* ended, int ok) {
      __tsan_acquire(ended);
      ended->functor_run = &RunWithStatus;
      RunWithStatus(ended, ok);
    };
  } else if (functor->functor_run == &RunWithSuccess) {
    functor->functor_run = [](grpc_completion_queue_functor* ended, int ok) {
      __tsan_acquire(ended);
      ended->functor_run = &RunWithSuccess;
      RunWithSuccess(ended, ok);
    };
  }
  __tsan_release(tag);
  return next(call, ops, ops_count, tag, reserved);
}

}  // extern "C"
