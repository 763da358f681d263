// The handles of the process: what a weightmesh_handle* is, and who may use one when. Any thread.
//
// A weightmesh_handle* points to nothing. It is a ticket: a number that is given out once and never
// again, so that a handle that was detached, or never was one, is known as such whatever became of
// its memory. At most one thread is in a call on a handle; entering and leaving a call are one
// atomic step each, without a lock and without memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "client/include/weightmesh/weightmesh.h"
#include "client/src/attachment.h"

namespace weightmesh::client {

// Handles of a process that are not detached yet.
constexpr size_t kHandlesMax = 1024;

struct Handle {
  Attachment attachment;
  std::string message;  // of the last call that did not return WEIGHTMESH_OK
};

// A call of this thread on a handle, from the entry to End.
class HandleCall {
 public:
  // Enters a call on the handle, or is refused.
  explicit HandleCall(const weightmesh_handle* ticket);
  // Opens a new handle and enters its first call; refused when there is no room or no memory.
  static HandleCall Open() { return HandleCall(); }
  ~HandleCall() { End(); }
  HandleCall(const HandleCall&) = delete;
  HandleCall& operator=(const HandleCall&) = delete;

  // Why the call may not go on, for people, in static storage; null when it may.
  const char* refusal() const { return refusal_; }

  // REQUIRES of both: not refused.
  Handle& handle() const { return *handle_; }
  weightmesh_handle* ticket() const { return reinterpret_cast<weightmesh_handle*>(ticket_); }

  // Leaves the call. False when the handle was detached meanwhile; it is freed then.
  bool End();

 private:
  friend const char* DetachHandle(weightmesh_handle* ticket);

  HandleCall();
  void Enter();

  uintptr_t ticket_ = 0;
  Handle* handle_ = nullptr;
  const char* refusal_ = nullptr;
  HandleCall* outer_ = nullptr;  // the call within which this thread made this one
};

// Ends a handle and frees it. If a thread is in a call on it, wakes that call out of its wait and
// returns once it has left; from within the call itself (its progress callback), returns at once.
// Null when it is done, otherwise why it is not, in static storage.
const char* DetachHandle(weightmesh_handle* ticket);

}  // namespace weightmesh::client
