// replica-memory: what a replica takes of memory beyond the trainer's own weights.
#include <algorithm>
#include <future>

#include "absl/strings/str_format.h"
#include "tests/bench/process_bench.h"
#include "tests/bench/process_usage.h"
#include "tests/bench/replica_pair.h"

namespace weightmesh::bench {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint32_t kInboxBuffers = 2;

// What a daemon holds, its arenas included, which are shared with the trainers.
struct Held {
  uint64_t own_bytes = 0;
  uint64_t arena_bytes = 0;
};

Held HeldBy(pid_t pid) { return {StatusBytes(pid, "RssAnon"), MemoryFileBytes(pid)}; }

}  // namespace

absl::Status MeasureReplicaMemory(Length length, Report* report) {
  const uint64_t model_bytes = (length == Length::kSmoke ? 4 : 100) * kMiB;
  const uint32_t slots = 3;
  const int rounds = slots + 1;  // each slot is used
  Mesh mesh(2);
  const Held before = HeldBy(mesh.daemon(0).pid());
  Options options;
  options.run_id = "replica-memory";
  options.slots = slots;
  options.round_deadline_ms = 30'000;
  ReplicaPair pair(mesh, options, model_bytes / sizeof(float));
  std::future<void> other = std::async(std::launch::async, [&pair] {
    for (int k = 0; k < rounds; ++k) pair.replica(1).Exchange(pair.model(1));
  });
  uint64_t arrived = 0;
  for (int k = 0; k < rounds; ++k) {
    arrived += pair.replica(0).Exchange(pair.model(0)).pulls[WEIGHTMESH_ARRIVED];
  }
  other.get();
  const Held after = HeldBy(mesh.daemon(0).pid());
  pair.Leave();
  if (arrived == 0) return absl::InternalError("no segment arrived");
  if (after.arena_bytes < model_bytes) return absl::InternalError("the daemon holds no arena");

  const uint64_t arena = after.arena_bytes - before.arena_bytes;
  const uint64_t own = after.own_bytes - std::min(before.own_bytes, after.own_bytes);
  const double wanted = static_cast<double>(model_bytes) * (slots + kInboxBuffers);
  report->Add({.name = "replica-memory",
               .what = "memory of a replica's arena and its daemon's growth, less 1 MiB",
               .against = "model bytes x (3 slots + 2 inbox buffers)",
               .figure = (static_cast<double>(arena + own) - kMiB) / wanted,
               .kind = Bar::kAtMost,
               .bar = 1.02,
               .detail = absl::StrFormat("arena %.2f MiB, daemon %.2f MiB, against %.0f MiB",
                                         static_cast<double>(arena) / kMiB,
                                         static_cast<double>(own) / kMiB, wanted / kMiB)});
  return absl::OkStatus();
}

}  // namespace weightmesh::bench
