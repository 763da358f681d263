// AttachPlan: what one attach asks for, checked, with the defaults filled in. Pure but for the
// environment (WEIGHTMESH_SOCKET, LOCAL_RANK) and the hostname, which are read here only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "client/include/weightmesh/weightmesh.h"
#include "client/src/status.h"
#include "proto/attach.h"

namespace weightmesh::client {

inline constexpr char kSocketPathDefault[] = "/run/weightmesh/attach.sock";
constexpr uint64_t kSegmentsDefault = 18;
constexpr uint64_t kRoundDeadlineDefaultMs = 5000;
constexpr uint64_t kRoundDeadlineMinMs = 10;
constexpr uint64_t kRoundDeadlineMaxMs = 3'600'000;
constexpr uint64_t kStartTimeoutDefaultMs = 600'000;
constexpr uint64_t kStartTimeoutMaxMs = 30ull * 24 * 3'600'000;
constexpr uint32_t kReplicasMinMax = 4096;
constexpr uint32_t kStalenessRoundsDefault = 8;
constexpr uint32_t kStalenessRoundsMax = 1024;
constexpr uint32_t kRejoinTimeoutDefaultMs = 30'000;
constexpr uint32_t kRejoinTimeoutMaxMs = 3'600'000;
constexpr uint32_t kSlotsMin = 2;
constexpr uint32_t kMixThreadsMax = 64;
constexpr size_t kNameBytesMax = 255;  // of run_id, replica_name and a tensor's name
constexpr size_t kTensorRankMax = 64;
constexpr uint64_t kParametersMax = 1ull << 44;  // so that no size of an arena overflows

struct AttachPlan {
  std::string socket_path;
  attach::AttachRequest request;
  std::vector<uint64_t> tensor_parameters;  // of each tensor
  uint32_t mix_threads = 1;
  uint32_t rejoin_timeout_ms = kRejoinTimeoutDefaultMs;  // WEIGHTMESH_NEVER_REJOIN: never
  void (*progress)(const char* message, void* progress_context) = nullptr;
  void* progress_context = nullptr;
};

// Fills `plan` from what the caller of weightmesh_attach gave; reads all weights once, for their
// digest. WEIGHTMESH_INVALID names the first wrong field, its value and its range.
Status MakeAttachPlan(const weightmesh_options* options, const weightmesh_tensor* tensors,
                      const float* const* weights, size_t tensor_count, AttachPlan* plan);

// OK when `weights` holds `tensor_count` pointers to fp32 values, and the model has as many
// tensors.
Status CheckWeights(const float* const* weights, size_t tensor_count, size_t tensors_of_model);

}  // namespace weightmesh::client
