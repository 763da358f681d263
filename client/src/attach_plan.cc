// Checks what the caller of weightmesh_attach gave, and fills in the defaults.
#include "client/src/attach_plan.h"

#include <unistd.h>

#include <climits>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <unordered_set>

#include "client/src/version.h"
#include "proto/control_page.h"
#include "proto/segment_seal.h"

namespace weightmesh::client {
namespace {

std::string OutOfRange(const char* field, uint64_t value, uint64_t first, uint64_t last) {
  return std::string("options.") + field + " is " + std::to_string(value) + ": give " +
         std::to_string(first) + " to " + std::to_string(last) + ", or 0 for the default";
}

// Sets `*to` to `value`, or to `fallback` when it is 0.
template <typename To>
Status Choose(const char* field, uint64_t value, uint64_t first, uint64_t last, uint64_t fallback,
              To* to) {
  if (value == 0) value = fallback;
  if (value < first || value > last) return Invalid(OutOfRange(field, value, first, last));
  *to = static_cast<To>(value);
  return {};
}

Status CheckName(const std::string& what, const char* name) {
  if (name == nullptr || *name == '\0') return Invalid(what + " is empty: give it a name");
  const size_t bytes = strnlen(name, kNameBytesMax + 1);
  if (bytes > kNameBytesMax) {
    return Invalid(what + " is longer than " + std::to_string(kNameBytesMax) +
                   " bytes: shorten it");
  }
  for (size_t i = 0; i < bytes; ++i) {
    const auto byte = static_cast<unsigned char>(name[i]);
    if (byte < 0x20 || byte == 0x7f) {
      return Invalid(what + " holds a control character at byte " + std::to_string(i) +
                     ": use printable text");
    }
  }
  return {};
}

std::string DefaultReplicaName() {
  char hostname[HOST_NAME_MAX + 1] = {};
  if (gethostname(hostname, sizeof hostname - 1) != 0 || *hostname == '\0') {
    std::strcpy(hostname, "localhost");
  }
  const char* local_rank = std::getenv("LOCAL_RANK");
  const bool given = local_rank != nullptr && *local_rank != '\0';
  return std::string(hostname) + "/" + (given ? local_rank : "0");
}

std::string SocketPath(const char* given) {
  if (given != nullptr && *given != '\0') return given;
  const char* from_environment = std::getenv("WEIGHTMESH_SOCKET");
  if (from_environment != nullptr && *from_environment != '\0') return from_environment;
  return kSocketPathDefault;
}

Status PlanNames(const weightmesh_options& options, AttachPlan* plan) {
  if (options.run_id == nullptr || *options.run_id == '\0') {
    return Invalid("options.run_id is empty: give all trainers of one job the same run_id");
  }
  if (Status status = CheckName("options.run_id", options.run_id); !status.ok()) return status;
  plan->request.run_id = options.run_id;
  const bool named = options.replica_name != nullptr && *options.replica_name != '\0';
  const std::string name = named ? options.replica_name : DefaultReplicaName();
  const std::string what =
      named ? "options.replica_name" : "the default replica_name (<hostname>/<LOCAL_RANK>)";
  if (Status status = CheckName(what, name.c_str()); !status.ok()) return status;
  plan->request.replica_name = name;
  plan->socket_path = SocketPath(options.socket_path);
  plan->request.client_version = kClientVersion;
  return {};
}

// Only async has a limit on staleness: elsewhere a value is a mistake that would go unnoticed.
Status PlanStaleness(const weightmesh_options& options, attach::AttachRequest* request) {
  if (request->mode == attach::Mode::kAsync) {
    return Choose("staleness_rounds_max", options.staleness_rounds_max, 1, kStalenessRoundsMax,
                  kStalenessRoundsDefault, &request->staleness_rounds_max);
  }
  if (options.staleness_rounds_max == 0) return {};
  return Invalid("options.staleness_rounds_max is " + std::to_string(options.staleness_rounds_max) +
                 " and options.mode is not WEIGHTMESH_ASYNC: choose that mode, or leave it 0");
}

Status PlanRejoin(const weightmesh_options& options, AttachPlan* plan) {
  plan->rejoin_timeout_ms = options.rejoin_timeout_ms;
  if (options.rejoin_timeout_ms == WEIGHTMESH_NEVER_REJOIN) return {};
  return Choose("rejoin_timeout_ms", options.rejoin_timeout_ms, 1, kRejoinTimeoutMaxMs,
                kRejoinTimeoutDefaultMs, &plan->rejoin_timeout_ms);
}

Status PlanNumbers(const weightmesh_options& options, AttachPlan* plan) {
  attach::AttachRequest& request = plan->request;
  request.seed = options.seed;
  request.start_round = options.start_round;
  const auto bad = [](const Status& status) { return !status.ok(); };
  Status status;
  if (bad(status = Choose("schedule", options.schedule, WEIGHTMESH_HASH_CYCLE,
                          WEIGHTMESH_EXPONENTIAL, WEIGHTMESH_HASH_CYCLE, &request.schedule)) ||
      bad(status = Choose("mode", options.mode, WEIGHTMESH_LOCKSTEP, WEIGHTMESH_ASYNC,
                          WEIGHTMESH_LOCKSTEP, &request.mode)) ||
      bad(status = Choose("wire", options.wire, WEIGHTMESH_FP32, WEIGHTMESH_BF16, WEIGHTMESH_FP32,
                          &request.wire)) ||
      bad(status = Choose("replicas_min", options.replicas_min, 1, kReplicasMinMax, 1,
                          &request.replicas_min)) ||
      bad(status =
              Choose("round_deadline_ms", options.round_deadline_ms, kRoundDeadlineMinMs,
                     kRoundDeadlineMaxMs, kRoundDeadlineDefaultMs, &request.round_deadline_ms)) ||
      bad(status = PlanRejoin(options, plan)) ||
      bad(status = Choose("slots", options.slots, kSlotsMin, control_page::kSlotsMax,
                          control_page::kSlotsDefault, &request.slots)) ||
      bad(status = Choose("mix_threads", options.mix_threads, 1, kMixThreadsMax, 1,
                          &plan->mix_threads)) ||
      bad(status = Choose("start_timeout_ms", options.start_timeout_ms, 1, kStartTimeoutMaxMs,
                          kStartTimeoutDefaultMs, &request.start_timeout_ms)) ||
      bad(status = PlanStaleness(options, &request))) {
    return status;
  }
  if (options.alpha != 0) request.alpha = options.alpha;
  if (!(request.alpha > 0 && request.alpha <= 1)) {
    return Invalid("options.alpha is " + std::to_string(options.alpha) +
                   ": give a number above 0 and at most 1, or 0 for the default 0.5");
  }
  if (options.allow_different_init > 1) {
    return Invalid("options.allow_different_init is " +
                   std::to_string(options.allow_different_init) + ": give 0 or 1");
  }
  request.allow_different_init = options.allow_different_init;
  // A slot word keeps 62 bits of the round.
  if (request.start_round >= uint64_t{1} << 61) {
    return Invalid("options.start_round is " + std::to_string(request.start_round) +
                   ": give the round of the checkpoint, below 2^61");
  }
  return {};
}

Status PlanTensor(const weightmesh_tensor& tensor, size_t index, AttachPlan* plan) {
  std::string what = "tensors[" + std::to_string(index) + "]";
  if (Status status = CheckName(what + ".name", tensor.name); !status.ok()) return status;
  what += " ('" + std::string(tensor.name) + "')";
  if (tensor.rank > kTensorRankMax) {
    return Invalid(what + " has rank " + std::to_string(tensor.rank) + ": at most " +
                   std::to_string(kTensorRankMax));
  }
  if (tensor.rank > 0 && tensor.shape == nullptr) {
    return Invalid(what + " has rank " + std::to_string(tensor.rank) +
                   " and a null shape: point shape to its extents");
  }
  uint64_t parameters = 1;
  for (size_t axis = 0; axis < tensor.rank; ++axis) {
    const uint64_t extent = tensor.shape[axis];
    if (extent == 0) {
      return Invalid(what + " has extent 0 on axis " + std::to_string(axis) +
                     ": leave empty tensors out");
    }
    if (__builtin_mul_overflow(parameters, extent, &parameters) || parameters > kParametersMax) {
      return Invalid(what + " has more than 2^44 parameters: check its shape");
    }
  }
  plan->tensor_parameters.push_back(parameters);
  attach::Tensor described;
  described.name = tensor.name;
  described.shape.assign(tensor.shape, tensor.shape + tensor.rank);
  plan->request.tensors.push_back(std::move(described));
  return {};
}

Status PlanModel(const weightmesh_tensor* tensors, size_t tensor_count, AttachPlan* plan,
                 uint64_t* parameters) {
  if (tensors == nullptr || tensor_count == 0) {
    return Invalid("tensors is empty: describe at least one tensor of the model");
  }
  if (tensor_count > attach::kPayloadBytesMax / 16) {
    return Invalid("tensor_count is " + std::to_string(tensor_count) + ": at most " +
                   std::to_string(attach::kPayloadBytesMax / 16));
  }
  std::unordered_set<std::string_view> names;
  *parameters = 0;
  for (size_t i = 0; i < tensor_count; ++i) {
    if (Status status = PlanTensor(tensors[i], i, plan); !status.ok()) return status;
    if (!names.insert(tensors[i].name).second) {
      return Invalid("tensors[" + std::to_string(i) + "] has the name '" + tensors[i].name +
                     "' of an earlier tensor: give every tensor its own name");
    }
    *parameters += plan->tensor_parameters.back();
    if (*parameters > kParametersMax) {
      return Invalid("the model has more than 2^44 parameters: check the shapes");
    }
  }
  return {};
}

Status PlanSegments(const weightmesh_options& options, uint64_t parameters, AttachPlan* plan) {
  std::vector<uint64_t>& bounds = plan->request.segment_bounds;
  uint64_t segments = options.segments;
  if (options.segment_bounds != nullptr && segments == 0) {
    return Invalid(
        "options.segment_bounds is given and options.segments is 0: set segments to the "
        "number of bounds less one");
  }
  if (segments == 0) segments = parameters < kSegmentsDefault ? parameters : kSegmentsDefault;
  if (segments > parameters) {
    return Invalid("options.segments is " + std::to_string(segments) + " and the model has " +
                   std::to_string(parameters) + " parameters: give at most one segment for each");
  }
  if (segments > attach::kPayloadBytesMax / 8) {
    return Invalid("options.segments is " + std::to_string(segments) + ": at most " +
                   std::to_string(attach::kPayloadBytesMax / 8));
  }
  if (options.segment_bounds == nullptr) {
    bounds = EqualSegmentBounds(parameters, segments);
    return {};
  }
  bounds.assign(options.segment_bounds, options.segment_bounds + segments + 1);
  if (bounds.front() != 0 || bounds.back() != parameters) {
    return Invalid("options.segment_bounds runs from " + std::to_string(bounds.front()) + " to " +
                   std::to_string(bounds.back()) + ": it must run from 0 to the model's " +
                   std::to_string(parameters) + " parameters");
  }
  for (size_t k = 0; k < segments; ++k) {
    if (bounds[k] >= bounds[k + 1]) {
      return Invalid("options.segment_bounds[" + std::to_string(k + 1) + "] is " +
                     std::to_string(bounds[k + 1]) + ", not above the bound before it (" +
                     std::to_string(bounds[k]) + "): bounds must ascend");
    }
  }
  return {};
}

void DigestWeights(const float* const* weights, AttachPlan* plan) {
  XXH3_state_t state;
  XXH3_128bits_reset(&state);
  for (size_t i = 0; i < plan->tensor_parameters.size(); ++i) {
    XXH3_128bits_update(&state, weights[i], plan->tensor_parameters[i] * sizeof(float));
  }
  const XXH128_hash_t digest = XXH3_128bits_digest(&state);
  plan->request.weights_digest_high = digest.high64;
  plan->request.weights_digest_low = digest.low64;
}

}  // namespace

Status CheckWeights(const float* const* weights, size_t tensor_count, size_t tensors_of_model) {
  if (tensor_count != tensors_of_model) {
    return Invalid("tensor_count is " + std::to_string(tensor_count) + " and the model has " +
                   std::to_string(tensors_of_model) +
                   " tensors: pass one pointer for each tensor of weightmesh_attach");
  }
  if (weights == nullptr) return Invalid("weights is null: pass one pointer for each tensor");
  for (size_t i = 0; i < tensor_count; ++i) {
    if (weights[i] == nullptr) {
      return Invalid("weights[" + std::to_string(i) + "] is null: point it to the tensor's values");
    }
    if (reinterpret_cast<uintptr_t>(weights[i]) % alignof(float) != 0) {
      return Invalid("weights[" + std::to_string(i) +
                     "] is not aligned to 4 bytes: pass fp32 memory");
    }
  }
  return {};
}

Status MakeAttachPlan(const weightmesh_options* options, const weightmesh_tensor* tensors,
                      const float* const* weights, size_t tensor_count, AttachPlan* plan) {
  if (options == nullptr) return Invalid("options is null: pass options with at least run_id set");
  if (options->struct_size < sizeof(weightmesh_options)) {
    return Invalid("options.struct_size is " + std::to_string(options->struct_size) +
                   ": set it to sizeof(weightmesh_options), which is " +
                   std::to_string(sizeof(weightmesh_options)) + " (WEIGHTMESH_INIT does)");
  }
  uint64_t parameters = 0;
  Status status = PlanNames(*options, plan);
  if (status.ok()) status = PlanNumbers(*options, plan);
  if (status.ok()) status = PlanModel(tensors, tensor_count, plan, &parameters);
  if (status.ok()) status = PlanSegments(*options, parameters, plan);
  if (status.ok()) status = CheckWeights(weights, tensor_count, plan->tensor_parameters.size());
  if (!status.ok()) return status;
  plan->progress = options->progress;
  plan->progress_context = options->progress_context;
  DigestWeights(weights, plan);
  return {};
}

}  // namespace weightmesh::client
