// Limits on what peers may send over the control plane; plain constants.
#pragma once

#include <cstddef>
#include <cstdint>

#include "daemon/core/run_config.h"

namespace weightmesh {

// The upper ends of Limits in proto/weightmesh/v1/daemon_config.proto: what any daemon can know.
constexpr size_t kUpdatesMax = 4096;
constexpr size_t kRunsPerSyncMax = 1024;
constexpr size_t kFoundersMax = kReplicasPerRunMax;
constexpr size_t kReplicasPerSenderMax = kReplicasPerRunMax;
constexpr uint32_t kSegmentsPerRunMax = 65536;

// Texts, in bytes. The first two are what a trainer may attach with (daemon/mem/founding.h).
constexpr size_t kRunIdInSyncBytesMax = 255;
constexpr size_t kReplicaNameInSyncBytesMax = 255;
constexpr size_t kControlAddressBytesMax = 270;  // a DNS name of 253, brackets, ":65535" and spare
constexpr size_t kVersionBytesMax = 128;
constexpr size_t kTransportKindBytesMax = 32;
constexpr size_t kReasonBytesMax = 1024;  // of a failure, for people
constexpr size_t kRecordBytesMax = 4000;  // swim::SwimOptions::record_bytes_max
constexpr size_t kTransportAddressBytesMax = 64 * 1024;

// One gRPC message between daemons, or to a daemon, in bytes.
constexpr int kControlMessageBytesMax = 16 * 1024 * 1024;

// Calls under way at once on one connection to a daemon; more wait in the caller.
constexpr int kCallsPerConnectionMax = 128;

// Threads that gRPC may start for its own synchronous services (reflection).
constexpr int kGrpcThreadsMax = 8;

}  // namespace weightmesh
