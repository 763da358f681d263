// The table of tickets, and its one atomic word for each handle.
#include "client/src/handle_table.h"

#include <atomic>
#include <new>

#include "client/src/fork_lock.h"

namespace weightmesh::client {
namespace {

static_assert(sizeof(weightmesh_handle*) == sizeof(uint64_t), "a ticket is 64 bits");

enum class SlotState : uint64_t {
  kFree = 0,
  kIdle = 1,
  kInCall = 2,
  kEnding = 3,  // detached; whoever is in the call, or the detaching thread, frees it
};

// (generation << 2) | state. A generation is given out once: the ticket of slot k in generation g
// is g · kHandlesMax + k, and g begins with 1, so that no ticket is null.
constexpr uint64_t Word(uint64_t generation, SlotState state) {
  return generation << 2 | static_cast<uint64_t>(state);
}
constexpr uint64_t GenerationOf(uint64_t word) { return word >> 2; }
constexpr SlotState StateOf(uint64_t word) { return static_cast<SlotState>(word & 3); }

struct Slot {
  std::atomic<uint64_t> word{0};
  std::atomic<uint64_t> forks{0};  // ForkLock::forks() of the process that opened it
  Handle* handle = nullptr;        // whoever brought the word out of kFree or kIdle may read it
};

// Tickets must be known to every function of the C ABI, so the table is process-wide; it is never
// destroyed, for handles may be used while the process ends.
constinit Slot slots[kHandlesMax];
constinit size_t slot_to_try = 0;  // guarded by the ForkLock

// The innermost call of this thread.
constinit thread_local HandleCall* innermost_call = nullptr;

constexpr char kNull[] = "handle is null: pass what weightmesh_attach gave";
constexpr char kForeign[] = "the handle is none that weightmesh_attach gave: pass what it gave";
constexpr char kDetached[] = "the handle was detached: attach anew, and use the new handle";
constexpr char kBusy[] =
    "another thread is in a call on this handle: use a handle on one thread at a time, or attach "
    "one handle for each thread";
constexpr char kNested[] =
    "this thread is in a call on this handle already: a progress callback may only detach it";
constexpr char kForked[] =
    "this process is a fork of the one that attached the handle: attach anew in the child, or "
    "leave "
    "the mesh to the parent";
constexpr char kNoMemory[] = "out of memory: raise the memory limit of the trainer";
constexpr char kTooMany[] =
    "this process holds 1024 handles, the most that there may be: detach those that are not used "
    "any more";
static_assert(kHandlesMax == 1024, "the message above names it");

Slot& SlotOf(uintptr_t ticket) { return slots[ticket % kHandlesMax]; }

// Null when `word`, of the ticket's slot, is of this very ticket and not detached.
const char* WhyNot(uintptr_t ticket, uint64_t word) {
  if (ticket == 0) return kNull;
  const uint64_t generation = ticket / kHandlesMax;
  if (generation == 0 || generation > GenerationOf(word)) return kForeign;
  const bool ended = StateOf(word) == SlotState::kFree || StateOf(word) == SlotState::kEnding;
  return generation < GenerationOf(word) || ended ? kDetached : nullptr;
}

// REQUIRES: the word is kEnding, and nobody else will free it.
void FreeSlot(Slot* slot) {
  delete slot->handle;
  ForkLock lock;
  slot->handle = nullptr;
  const uint64_t generation = GenerationOf(slot->word.load(std::memory_order_relaxed));
  slot->word.store(Word(generation, SlotState::kFree), std::memory_order_release);
  lock.NotifyAll();
}

}  // namespace

HandleCall::HandleCall(const weightmesh_handle* ticket)
    : ticket_(reinterpret_cast<uintptr_t>(ticket)) {
  Slot& slot = SlotOf(ticket_);
  uint64_t word = slot.word.load(std::memory_order_acquire);
  do {
    refusal_ = WhyNot(ticket_, word);
    if (refusal_ != nullptr) return;
    // Before anything else: what was in a call when the process forked is not here.
    if (slot.forks.load(std::memory_order_relaxed) != ForkLock::forks()) {
      refusal_ = kForked;
      return;
    }
    if (StateOf(word) == SlotState::kInCall) {
      refusal_ = kBusy;
      for (const HandleCall* call = innermost_call; call != nullptr; call = call->outer_) {
        if (call->ticket_ == ticket_) refusal_ = kNested;
      }
      return;
    }
  } while (!slot.word.compare_exchange_weak(word, Word(GenerationOf(word), SlotState::kInCall),
                                            std::memory_order_acquire));
  Enter();
}

HandleCall::HandleCall() {
  Handle* const opened = new (std::nothrow) Handle;
  if (opened == nullptr) {
    refusal_ = kNoMemory;
    return;
  }
  {
    const ForkLock lock;
    for (size_t tries = 0; tries < kHandlesMax && ticket_ == 0; ++tries) {
      const size_t index = slot_to_try++ % kHandlesMax;
      Slot& slot = slots[index];
      const uint64_t word = slot.word.load(std::memory_order_relaxed);
      if (StateOf(word) != SlotState::kFree) continue;
      const uint64_t generation = GenerationOf(word) + 1;
      slot.handle = opened;
      slot.forks.store(ForkLock::forks(), std::memory_order_relaxed);
      slot.word.store(Word(generation, SlotState::kInCall), std::memory_order_release);
      ticket_ = generation * kHandlesMax + index;
    }
  }
  if (ticket_ == 0) {
    delete opened;
    refusal_ = kTooMany;
    return;
  }
  Enter();
}

void HandleCall::Enter() {
  handle_ = SlotOf(ticket_).handle;
  outer_ = innermost_call;
  innermost_call = this;
}

bool HandleCall::End() {
  if (handle_ == nullptr) return true;
  handle_ = nullptr;
  innermost_call = outer_;
  Slot& slot = SlotOf(ticket_);
  const uint64_t generation = ticket_ / kHandlesMax;
  uint64_t in_call = Word(generation, SlotState::kInCall);
  if (slot.word.compare_exchange_strong(in_call, Word(generation, SlotState::kIdle),
                                        std::memory_order_release)) {
    return true;
  }
  { const ForkLock lock; }  // the detaching thread is done with the handle once it lets go of it
  FreeSlot(&slot);
  return false;
}

const char* DetachHandle(weightmesh_handle* handle) {
  const auto ticket = reinterpret_cast<uintptr_t>(handle);
  if (ticket == 0) return nullptr;
  Slot& slot = SlotOf(ticket);
  bool is_own_call = false;
  for (const HandleCall* call = innermost_call; call != nullptr; call = call->outer_) {
    is_own_call |= call->ticket_ == ticket;
  }
  const uint64_t ending = Word(ticket / kHandlesMax, SlotState::kEnding);
  {
    ForkLock lock;
    uint64_t word = slot.word.load(std::memory_order_acquire);
    do {
      if (const char* why_not = WhyNot(ticket, word); why_not != nullptr) return why_not;
    } while (!slot.word.compare_exchange_weak(word, ending, std::memory_order_acq_rel));
    if (StateOf(word) == SlotState::kInCall) {
      const bool forked = slot.forks.load(std::memory_order_relaxed) != ForkLock::forks();
      if (forked && !is_own_call) {
        // The thread in the call is not in this process, and what it was doing is half done: the
        // memory stays.
        slot.handle = nullptr;
        slot.word.store(Word(ticket / kHandlesMax, SlotState::kFree), std::memory_order_release);
        return nullptr;
      }
      slot.handle->attachment.Cut(lock);
      if (is_own_call) return nullptr;
      while (slot.word.load(std::memory_order_acquire) == ending) lock.Wait();
      return nullptr;
    }
  }
  FreeSlot(&slot);
  return nullptr;
}

}  // namespace weightmesh::client
