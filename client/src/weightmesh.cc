// The C ABI: the functions of weightmesh.h over Attachment. No exception crosses them.
#include "client/include/weightmesh/weightmesh.h"

#include <exception>
#include <new>
#include <string>

#include "client/src/attachment.h"
#include "client/src/status.h"
#include "client/src/version.h"
#include "proto/outcome.h"

namespace client = weightmesh::client;

static_assert(WEIGHTMESH_OUTCOME_COUNT == weightmesh::kOutcomeCount);
static_assert(WEIGHTMESH_CORRUPT == static_cast<int>(weightmesh::Outcome::kCorrupt));
static_assert(WEIGHTMESH_CANCELLED == static_cast<int>(weightmesh::Outcome::kCancelled));
static_assert(WEIGHTMESH_BF16 == static_cast<int>(weightmesh::WireFormat::kBf16));
static_assert(WEIGHTMESH_OVERLAP == static_cast<int>(weightmesh::attach::Mode::kOverlap));
static_assert(WEIGHTMESH_EXPONENTIAL ==
              static_cast<int>(weightmesh::attach::ScheduleKind::kExponential));

struct weightmesh_handle {
  client::Attachment attachment;
  std::string message;
};

namespace {

// Runs `call` on the handle; keeps its message, and turns exceptions into WEIGHTMESH_RESOURCES.
template <typename Call>
weightmesh_status Guarded(weightmesh_handle* handle, const Call& call) {
  if (handle == nullptr) return WEIGHTMESH_INVALID;
  try {
    client::Status status = call(handle->attachment);
    if (!status.ok()) handle->message.swap(status.message);
    return status.code;
  } catch (const std::bad_alloc&) {
    try {
      handle->message = "out of memory: raise the memory limit of the trainer";
    } catch (const std::bad_alloc&) {
      handle->message.clear();
    }
  } catch (const std::exception& error) {
    handle->message = std::string("unexpected: ") + error.what();
  }
  return WEIGHTMESH_RESOURCES;
}

}  // namespace

weightmesh_status weightmesh_attach(const weightmesh_options* options,
                                    const weightmesh_tensor* tensors, const float* const* weights,
                                    size_t tensor_count, weightmesh_handle** handle) {
  if (handle == nullptr) return WEIGHTMESH_INVALID;
  *handle = new (std::nothrow) weightmesh_handle;
  if (*handle == nullptr) return WEIGHTMESH_RESOURCES;
  return Guarded(*handle, [&](client::Attachment& attachment) {
    return attachment.Attach(options, tensors, weights, tensor_count);
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

void weightmesh_detach(weightmesh_handle* handle) { delete handle; }

const char* weightmesh_message(const weightmesh_handle* handle) {
  return handle != nullptr ? handle->message.c_str()
                           : "handle is null: pass what weightmesh_attach gave";
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
  }
  return "UNKNOWN";
}

const char* weightmesh_version(void) { return client::kClientVersion; }
