// The C ABI: the functions of weightmesh.h over Attachment. No exception crosses them.
#include "client/include/weightmesh/weightmesh.h"

#include <exception>
#include <new>
#include <string>

#include "client/src/attachment.h"
#include "client/src/handle_table.h"
#include "client/src/status.h"
#include "client/src/version.h"
#include "proto/outcome.h"

namespace client = weightmesh::client;

static_assert(WEIGHTMESH_BLOB_BYTES_MAX == weightmesh::attach::kBlobBytesMax);
static_assert(WEIGHTMESH_OUTCOME_COUNT == weightmesh::kOutcomeCount);
static_assert(WEIGHTMESH_CORRUPT == static_cast<int>(weightmesh::Outcome::kCorrupt));
static_assert(WEIGHTMESH_CANCELLED == static_cast<int>(weightmesh::Outcome::kCancelled));
static_assert(WEIGHTMESH_BF16 == static_cast<int>(weightmesh::WireFormat::kBf16));
static_assert(WEIGHTMESH_OVERLAP == static_cast<int>(weightmesh::attach::Mode::kOverlap));
static_assert(WEIGHTMESH_ASYNC == static_cast<int>(weightmesh::attach::Mode::kAsync));
static_assert(WEIGHTMESH_EXPONENTIAL ==
              static_cast<int>(weightmesh::attach::ScheduleKind::kExponential));

namespace {

constexpr char kDetachedMeanwhile[] =
    "the handle was detached while this call was under way: attach anew, and use the new handle";

// The refusal that this thread met last: of no use in the handle, which another thread may hold, or
// which is gone. Empty once a call of this thread is let in.
struct Refusal {
  const weightmesh_handle* handle = nullptr;
  const char* message = nullptr;
};
constinit thread_local Refusal last_refusal;

// What weightmesh_message gave this thread.
thread_local std::string shown_message;

weightmesh_status Refuse(weightmesh_status status, const weightmesh_handle* handle,
                         const char* message) {
  last_refusal = {handle, message};
  return status;
}

// Runs `call` on the handle and leaves it; keeps its message, and turns exceptions into
// WEIGHTMESH_RESOURCES.
template <typename Call>
weightmesh_status Run(client::HandleCall* entered, const Call& call) {
  last_refusal = {};
  client::Handle& handle = entered->handle();
  weightmesh_status code = WEIGHTMESH_RESOURCES;
  try {
    client::Status status = call(handle.attachment);
    if (!status.ok()) handle.message.swap(status.message);
    code = status.code;
  } catch (const std::bad_alloc&) {
    try {
      handle.message = "out of memory: raise the memory limit of the trainer";
    } catch (const std::bad_alloc&) {
      handle.message.clear();
    }
  } catch (const std::exception& error) {
    handle.message = std::string("unexpected: ") + error.what();
  }
  if (entered->End()) return code;
  return Refuse(WEIGHTMESH_INVALID, entered->ticket(), kDetachedMeanwhile);
}

template <typename Call>
weightmesh_status Guarded(weightmesh_handle* handle, const Call& call) {
  client::HandleCall entered(handle);
  if (entered.refusal() != nullptr) {
    return Refuse(WEIGHTMESH_INVALID, handle, entered.refusal());
  }
  return Run(&entered, call);
}

// The first call of a new handle.
template <typename Call>
weightmesh_status Open(weightmesh_handle** handle, const Call& call) {
  if (handle == nullptr) {
    return Refuse(WEIGHTMESH_INVALID, nullptr,
                  "the place for the handle is null: pass a pointer to one");
  }
  *handle = nullptr;
  client::HandleCall opened = client::HandleCall::Open();
  if (opened.refusal() != nullptr) return Refuse(WEIGHTMESH_RESOURCES, nullptr, opened.refusal());
  *handle = opened.ticket();
  return Run(&opened, call);
}

}  // namespace

weightmesh_status weightmesh_attach(const weightmesh_options* options,
                                    const weightmesh_tensor* tensors, const float* const* weights,
                                    size_t tensor_count, weightmesh_handle** handle) {
  return Open(handle, [&](client::Attachment& attachment) {
    return attachment.Attach(options, tensors, weights, tensor_count);
  });
}

weightmesh_status weightmesh_join(const weightmesh_options* options,
                                  const weightmesh_tensor* tensors, float* const* weights,
                                  size_t tensor_count, weightmesh_joined* joined,
                                  weightmesh_handle** handle) {
  return Open(handle, [&](client::Attachment& attachment) {
    return attachment.Join(options, tensors, weights, tensor_count, joined);
  });
}

weightmesh_status weightmesh_exchange(weightmesh_handle* handle, float* const* weights,
                                      size_t tensor_count, weightmesh_round* result) {
  return Guarded(handle, [&](client::Attachment& attachment) {
    return attachment.Exchange(weights, tensor_count, result);
  });
}

weightmesh_status weightmesh_step(weightmesh_handle* handle, float* const* weights,
                                  size_t tensor_count, weightmesh_round* result) {
  return Guarded(handle, [&](client::Attachment& attachment) {
    return attachment.Step(weights, tensor_count, result);
  });
}

weightmesh_status weightmesh_publish(weightmesh_handle* handle, const float* const* weights,
                                     size_t tensor_count, weightmesh_round* result) {
  return Guarded(handle, [&](client::Attachment& attachment) {
    return attachment.Publish(weights, tensor_count, result);
  });
}

weightmesh_status weightmesh_mix(weightmesh_handle* handle, float* const* weights,
                                 size_t tensor_count, weightmesh_round* result) {
  return Guarded(handle, [&](client::Attachment& attachment) {
    return attachment.Mix(weights, tensor_count, result);
  });
}

weightmesh_status weightmesh_set_blob(weightmesh_handle* handle, const void* blob, size_t bytes) {
  return Guarded(handle,
                 [&](client::Attachment& attachment) { return attachment.SetBlob(blob, bytes); });
}

weightmesh_status weightmesh_consensus(weightmesh_handle* handle, float* const* weights,
                                       size_t tensor_count, double epsilon, uint64_t timeout_ms,
                                       weightmesh_agreement* result) {
  return Guarded(handle, [&](client::Attachment& attachment) {
    return attachment.Consensus(weights, tensor_count, epsilon, timeout_ms, result);
  });
}

weightmesh_status weightmesh_report(weightmesh_handle* handle, const char* name, double value) {
  return Guarded(handle,
                 [&](client::Attachment& attachment) { return attachment.Report(name, value); });
}

weightmesh_status weightmesh_stats(weightmesh_handle* handle, weightmesh_totals* totals) {
  return Guarded(handle, [&](client::Attachment& attachment) { return attachment.Stats(totals); });
}

weightmesh_status weightmesh_leave(weightmesh_handle* handle) {
  return Guarded(handle, [](client::Attachment& attachment) { return attachment.Leave(); });
}

weightmesh_status weightmesh_detach(weightmesh_handle* handle) {
  const char* const why_not = client::DetachHandle(handle);
  return why_not == nullptr ? WEIGHTMESH_OK : Refuse(WEIGHTMESH_INVALID, handle, why_not);
}

const char* weightmesh_message(const weightmesh_handle* handle) {
  if (last_refusal.message != nullptr && last_refusal.handle == handle) return last_refusal.message;
  client::HandleCall entered(handle);
  if (entered.refusal() != nullptr) return entered.refusal();
  try {
    shown_message = entered.handle().message;
  } catch (const std::bad_alloc&) {
    return "out of memory: raise the memory limit of the trainer";
  }
  return shown_message.c_str();
}

const char* weightmesh_status_name(weightmesh_status status) {
  switch (status) {
    case WEIGHTMESH_OK:
      return "OK";
    case WEIGHTMESH_ALONE:
      return "ALONE";
    case WEIGHTMESH_INVALID:
      return "INVALID";
    case WEIGHTMESH_REFUSED:
      return "REFUSED";
    case WEIGHTMESH_START_TIMEOUT:
      return "START_TIMEOUT";
    case WEIGHTMESH_RESOURCES:
      return "RESOURCES";
    case WEIGHTMESH_DRAINED:
      return "DRAINED";
    case WEIGHTMESH_NO_CONSENSUS:
      return "NO_CONSENSUS";
  }
  return "UNKNOWN";
}

const char* weightmesh_version(void) { return client::kClientVersion; }
