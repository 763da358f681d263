// step-overhead: time inside the library of a step in overlap, against its two passes alone.
//
// Two replicas step one after the other, in one thread, and then wait until every pull has landed,
// as trainers do that compute for long enough: so a step is timed while nothing else runs. The
// passes alone work on as much memory of the same kind, in turns with the steps and after as long a
// pause: a core that has slept begins slowly.
#include <sys/mman.h>

#include <chrono>
#include <string>
#include <thread>

#include "absl/strings/str_format.h"
#include "client/src/segment_passes.h"
#include "daemon/mem/file_descriptor.h"
#include "proto/control_page.h"
#include "tests/bench/best_of.h"
#include "tests/bench/median.h"
#include "tests/bench/process_bench.h"
#include "tests/bench/replica_pair.h"

namespace weightmesh::bench {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kSegments = 18;
constexpr uint32_t kSlots = 3;
constexpr float kAlpha = 0.5f;

// The two passes over a model of one tensor, with slots and inbox buffers that take turns.
class Passes {
 public:
  explicit Passes(uint64_t parameters) : weights_(parameters, 1.0f) {
    layout_.arena = MakeArenaLayout(EqualSegmentBounds(parameters, kSegments), layout_.wire, kSlots,
                                    control_page::ControlPageBytes(kSegments));
    layout_.pieces = client::PieceMap({parameters}, layout_.arena, layout_.wire);
    const FileDescriptor file(memfd_create("weightmesh-bench", MFD_CLOEXEC));
    if (ftruncate(file.get(), static_cast<off_t>(layout_.arena.arena_bytes)) != 0) return;
    void* const mapped =
        mmap(nullptr, layout_.arena.arena_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
    if (mapped == MAP_FAILED) return;
    arena_ = static_cast<std::byte*>(mapped);
    const std::vector<float> peer(parameters, 2.0f);
    for (uint32_t buffer = 0; buffer < 2; ++buffer) {
      Publish(kPeer, peer.data(), arena_ + layout_.arena.InboxOffset(buffer));
    }
  }
  ~Passes() {
    if (arena_ != nullptr) munmap(arena_, layout_.arena.arena_bytes);
  }
  Passes(const Passes&) = delete;
  Passes& operator=(const Passes&) = delete;

  // False when the system gives no memory.
  bool IsReady() const { return arena_ != nullptr; }

  // What a step is made of: the mix of what was pulled, and a publish. Whether all of it was mixed.
  bool MixAndPublish() {
    ++turn_;
    const std::byte* const inbox = arena_ + layout_.arena.InboxOffset(turn_ % 2);
    float* const weights = weights_.data();
    bool mixed = true;
    for (uint64_t segment = 0; segment < kSegments; ++segment) {
      const client::SegmentMix mix =
          client::MixSegment(layout_, client::BestKernels(), KeyOf(kPeer, segment), kAlpha, inbox,
                             Slot(turn_ - 1), &weights);
      mixed &= mix.outcome == Outcome::kArrived;
    }
    Publish(kOwn, weights, Slot(turn_));
    return mixed;
  }

 private:
  static constexpr uint64_t kOwn = 1;
  static constexpr uint64_t kPeer = 2;

  static SealKey KeyOf(uint64_t replica, uint64_t segment) { return {replica, 0, 1, segment}; }
  std::byte* Slot(uint32_t turn) { return arena_ + layout_.arena.SlotOffset(turn % kSlots); }

  void Publish(uint64_t replica, const float* weights, std::byte* to) {
    for (uint64_t segment = 0; segment < kSegments; ++segment) {
      client::PublishSegment(layout_, client::BestKernels(), KeyOf(replica, segment), &weights, to);
    }
  }

  client::ModelLayout layout_;
  std::vector<float> weights_;
  std::byte* arena_ = nullptr;
  uint32_t turn_ = 0;
};

// Waits until all that both replicas pull in `rounds` rounds has landed.
bool AwaitPulls(const Mesh& mesh, const std::string& run_id, uint64_t rounds) {
  const auto landed = [&](int k) {
    const v1::Stats stats = mesh.Stats(k, run_id);
    return stats.replicas_size() == 1 &&
           stats.replicas(0).pull_time_us().count() >= rounds * kSegments;
  };
  return Mesh::Await([&] { return landed(0) && landed(1); }, absl::Seconds(60));
}

struct Times {
  std::vector<double> step_seconds;
  std::vector<double> wait_seconds;  // of those
  std::vector<double> passes_seconds;
};

// `steps` steps of both replicas, and as often the passes alone; the first ones, which touch new
// memory, are not kept.
absl::Status TakeSteps(int steps, const Mesh& mesh, const std::string& run_id, ReplicaPair* pair,
                       Passes (&passes)[2], Times* times) {
  const int kept_from = kSlots + 1;
  for (int step = 0; step < kept_from + steps; ++step) {
    for (int k = 0; k < 2; ++k) {
      RoundResult round;
      const double seconds = SecondsOf([&] { round = pair->replica(k).Step(pair->model(k)); });
      if (step == 0) continue;  // mixes nothing yet
      if (!round.published || round.pulls[WEIGHTMESH_ARRIVED] != kSegments) {
        return absl::InternalError(absl::StrFormat("step %d: %d of %d segments arrived", step,
                                                   round.pulls[WEIGHTMESH_ARRIVED], kSegments));
      }
      if (step < kept_from) continue;
      times->step_seconds.push_back(seconds);
      times->wait_seconds.push_back(round.wait_seconds);
    }
    bool ended = false;
    const double pause =
        SecondsOf([&] { ended = AwaitPulls(mesh, run_id, static_cast<uint64_t>(step) + 1); });
    if (!ended) return absl::InternalError("the pulls of a step do not end");
    std::this_thread::sleep_for(std::chrono::duration<double>(pause));
    for (int k = 0; k < 2; ++k) {
      bool mixed = false;
      const double seconds = SecondsOf([&] { mixed = passes[k].MixAndPublish(); });
      if (!mixed) return absl::InternalError("the mix pass mixes nothing");
      if (step >= kept_from) times->passes_seconds.push_back(seconds);
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status MeasureStepOverhead(Length length, Report* report) {
  const bool smoke = length == Length::kSmoke;
  const uint64_t model_bytes = (smoke ? 1 : 100) * kMiB;
  const int steps = smoke ? 2 : 20;
  const uint64_t parameters = model_bytes / sizeof(float);
  Mesh mesh(2);
  Options options;
  options.run_id = "step-overhead";
  options.mode = WEIGHTMESH_OVERLAP;
  options.segments = kSegments;
  options.slots = kSlots;
  options.round_deadline_ms = 30'000;
  ReplicaPair pair(mesh, options, parameters);
  Passes passes[] = {Passes(parameters), Passes(parameters)};
  if (!passes[0].IsReady() || !passes[1].IsReady())
    return absl::ResourceExhaustedError("no memory for the passes alone");
  Times times;
  const absl::Status taken = TakeSteps(steps, mesh, options.run_id, &pair, passes, &times);
  if (!taken.ok()) return taken;
  pair.Leave();

  const double step = Best(times.step_seconds);
  const double alone = Best(times.passes_seconds);
  report->Add({.name = "step-overhead",
               .what = "time in the library of an overlap step, 100 MiB, pulls done, the best",
               .against = "publish and mix passes alone, the best",
               .figure = step / alone,
               .kind = Bar::kAtMost,
               .bar = 1.1,
               .detail = absl::StrFormat(
                   "%.1f ms against %.1f ms; medians %.1f ms, %.2f ms of it waiting, and %.1f ms",
                   1e3 * step, 1e3 * alone, 1e3 * Median(times.step_seconds),
                   1e3 * Median(times.wait_seconds), 1e3 * Median(times.passes_seconds))});
  return absl::OkStatus();
}

}  // namespace weightmesh::bench
