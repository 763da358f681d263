// What process_bench measures: real daemons on loopback, with trainers in the benchmark's process.
//
// Each benchmark starts daemons of its own, adds its rows to the report, and returns why it could
// not run, if so; a trainer that is refused throws Error. They are called on the main thread, one
// after the other.
#pragma once

#include "absl/status/status.h"
#include "tests/bench/report.h"

namespace weightmesh::bench {

// kSmoke: only that it runs; its figures say nothing.
enum class Length { kFull, kSmoke };

// round_latency.cc: a lockstep round of small segments, against a gRPC call on the same machine.
absl::Status MeasureRoundLatency(Length length, Report* report);

// step_overhead.cc: a step in overlap, against the publish pass and the mix pass alone.
absl::Status MeasureStepOverhead(Length length, Report* report);

// idle_daemon.cc: what a daemon takes that has a peer and nothing to do.
absl::Status MeasureIdleDaemon(Length length, Report* report);

// replica_memory.cc: what a replica takes of memory beyond the trainer's own.
absl::Status MeasureReplicaMemory(Length length, Report* report);

}  // namespace weightmesh::bench
