// memory_bench: publish and mix against loops that only read and write as much.
//
// 18 segments of a model beyond the caches, with one thread and with two of the client's pool; both
// sides take their segments from the same pool.
#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "client/src/mix_pool.h"
#include "client/src/segment_passes.h"
#include "tests/bench/best_of.h"
#include "tests/bench/options.h"
#include "tests/bench/report.h"
#include "tests/bench/stream_kernels.h"
#include "tests/client/test_model.h"

namespace weightmesh::bench {
namespace {

using client::BestKernels;
using client::DifferenceLanes;
using client::MixPool;
using client::MixRun;
using client::ModelLayout;
using client::TestModel;

constexpr uint64_t kSegments = 18;
constexpr SealKey KeyOf(uint64_t segment) { return {1, 2, 3, segment}; }

// One replica's model with its own slot and what it pulled, as they lie in an arena.
class Subject {
 public:
  Subject(uint64_t parameters, WireFormat wire)
      : model_({parameters}, 1),
        layout_(model_.Layout(EqualSegmentBounds(parameters, kSegments), wire)),
        own_(layout_.arena.snapshot_bytes),
        peer_(layout_.arena.snapshot_bytes),
        pointers_(model_.Pointers()) {
    for (uint64_t k = 0; k < kSegments; ++k) {
      client::PublishSegment(layout_, BestKernels(), KeyOf(k), pointers_.data(), peer_.data());
    }
  }

  // What the client does.
  void Publish(uint64_t segment) {
    client::PublishSegment(layout_, BestKernels(), KeyOf(segment), pointers_.data(), own_.data());
  }
  void Mix(uint64_t segment) {
    const client::SegmentMix mix = client::MixSegment(layout_, BestKernels(), KeyOf(segment), 0.5f,
                                                      peer_.data(), own_.data(), pointers_.data());
    if (mix.outcome != Outcome::kArrived) std::abort();
  }
  // The same without checksums.
  void Encode(uint64_t segment) {
    const SegmentPlace& place = layout_.arena.segments[segment];
    BestKernels().encode(layout_.wire, weights(place), place.parameters, &own_[place.offset]);
  }
  void MixUnverified(uint64_t segment) {
    const SegmentPlace& place = layout_.arena.segments[segment];
    DifferenceLanes lanes;
    const MixRun run = {weights(place), &own_[place.offset], &peer_[place.offset], place.parameters,
                        0};
    BestKernels().mix(layout_.wire, run, 0.5f, &lanes);
  }
  // As many reads and writes.
  void StreamPublish(uint64_t segment) {
    const SegmentPlace& place = layout_.arena.segments[segment];
    if (layout_.wire == WireFormat::kFp32) {
      StreamCopy(weights(place), place.parameters, At<float>(&own_, place));
    } else {
      StreamNarrow(weights(place), place.parameters, At<uint16_t>(&own_, place));
    }
  }
  void StreamMixed(uint64_t segment) {
    const SegmentPlace& place = layout_.arena.segments[segment];
    if (layout_.wire == WireFormat::kFp32) {
      StreamMix(At<float>(&peer_, place), At<float>(&own_, place), place.parameters,
                weights(place));
    } else {
      StreamMix16(At<uint16_t>(&peer_, place), At<uint16_t>(&own_, place), place.parameters,
                  weights(place));
    }
  }

  uint64_t wire_bytes() const { return layout_.arena.snapshot_bytes; }

 private:
  template <typename T>
  static T* At(std::vector<std::byte>* snapshot, const SegmentPlace& place) {
    return reinterpret_cast<T*>(snapshot->data() + place.offset);
  }
  float* weights(const SegmentPlace& place) { return pointers_[0] + place.first_parameter; }

  TestModel model_;
  ModelLayout layout_;
  std::vector<std::byte> own_;
  std::vector<std::byte> peer_;
  std::vector<float*> pointers_;
};

struct Pass {
  const char* name;
  const char* what;
  void (Subject::*ours)(uint64_t);
  void (Subject::*stream)(uint64_t);
  double bar;
};
constexpr Pass kPasses[] = {
    {"publish-bare", "publish without checksum", &Subject::Encode, &Subject::StreamPublish, 0.85},
    {"publish", "publish with checksum", &Subject::Publish, &Subject::StreamPublish, 0.6},
    {"mix-bare", "mix without verification", &Subject::MixUnverified, &Subject::StreamMixed, 0.85},
    {"mix", "mix with verification", &Subject::Mix, &Subject::StreamMixed, 0.6},
};

int Main(int argc, char** argv) {
  CLI::App app(
      "Publish and mix, from fp32 and bf16, against loops that read and write as much: time of "
      "the\n"
      "loop / time of the pass. The best of many tries of each, in turn.");
  Options options;
  uint64_t mebibytes = 256;
  Declare(&app, &options);
  app.add_option("--model-mib", mebibytes, "size of the model in MiB of fp32, beyond all caches")
      ->check(CLI::Range(1, 16384));
  CLI11_PARSE(app, argc, argv);
  if (options.smoke) mebibytes = 1;
  const int tries = options.smoke ? 1 : 9;

  Report report;
  for (const WireFormat wire : {WireFormat::kFp32, WireFormat::kBf16}) {
    Subject subject((mebibytes << 20) / sizeof(float), wire);
    for (const uint32_t threads : {1u, 2u}) {
      MixPool pool(threads);
      for (const Pass& pass : kPasses) {
        const char* const wire_name = wire == WireFormat::kFp32 ? "fp32" : "bf16";
        const std::string name = absl::StrFormat("%s-%s-%d", pass.name, wire_name, threads);
        if (!options.Wants(name)) continue;
        const auto all = [&](void (Subject::*step)(uint64_t)) {
          return [&pool, &subject, step] {
            auto one = [&](size_t segment) { (subject.*step)(segment); };
            pool.Run(kSegments, one);
          };
        };
        const std::vector<double> seconds = BestOf(tries, {all(pass.ours), all(pass.stream)});
        report.Add({.name = name,
                    .what = absl::StrFormat("%s, %s, %d thread%s", pass.what, wire_name, threads,
                                            threads == 1 ? "" : "s"),
                    .against = "a STREAM-like loop with as many reads and writes",
                    .figure = seconds[1] / seconds[0],
                    .kind = Bar::kAtLeast,
                    .bar = pass.bar,
                    .detail = absl::StrFormat("%.2f against %.2f GB/s of wire data",
                                              1e-9 * subject.wire_bytes() / seconds[0],
                                              1e-9 * subject.wire_bytes() / seconds[1])});
      }
    }
  }
  return report.Write(options.json) ? 0 : 1;
}

}  // namespace
}  // namespace weightmesh::bench

int main(int argc, char** argv) { return weightmesh::bench::Main(argc, argv); }
