// The two sides of a pull.
#include "tests/bench/pull_peers.h"

#include <algorithm>
#include <cstdlib>

#include "tests/bench/best_of.h"

namespace weightmesh::bench {
namespace {

constexpr SealKey KeyOf(uint64_t segment) { return {1, 1, 1, segment}; }

absl::Span<std::byte> PlaceOf(Segments* segments, uint64_t segment) {
  const SegmentPlace& place = segments->layout.arena.segments[segment];
  return absl::MakeSpan(segments->snapshot).subspan(place.offset, place.total_bytes);
}

}  // namespace

Segments::Segments(uint64_t segments, uint64_t segment_bytes)
    : model({segments * segment_bytes / sizeof(float)}, 1),
      layout(model.Layout(EqualSegmentBounds(model.Parameters(), segments), WireFormat::kFp32)),
      snapshot(layout.arena.snapshot_bytes) {
  const std::vector<float*> weights = model.Pointers();
  for (uint64_t k = 0; k < segments; ++k) {
    client::PublishSegment(layout, client::BestKernels(), KeyOf(k), weights.data(),
                           snapshot.data());
  }
}

void QueuedSink::Push(const Event& event) {
  {
    const std::lock_guard lock(mutex_);
    events_.push_back(event);
  }
  pushed_.notify_one();
}

QueuedSink::Event QueuedSink::Next() {
  std::unique_lock lock(mutex_);
  pushed_.wait(lock, [this] { return !events_.empty(); });
  const Event event = events_.front();
  events_.pop_front();
  return event;
}

void ServeSegments(const Segments& segments, Transport* transport, QueuedSink* sink) {
  for (uint64_t send = 1;; ++send) {
    const QueuedSink::Event event = sink->Next();
    if (event.ended) continue;
    const PullRequest& request = event.request;
    if (request.peer.IsZero()) return;
    PullAnswer answer;
    answer.peer = request.peer;
    answer.request_id = request.request_id;
    answer.run_key = request.run_key;
    answer.verdict = wire::Verdict::kData;
    answer.segment = request.segment;
    answer.round = answer.newest_round = request.round;
    const SegmentPlace& place = segments.layout.arena.segments[Value(request.segment)];
    transport->Send(answer,
                    absl::MakeConstSpan(segments.snapshot).subspan(place.offset, place.total_bytes),
                    SendId{send});
  }
}

double PullSegments(Segments* segments, Transport* transport, QueuedSink* sink, uint64_t count,
                    uint64_t in_flight, bool mixes) {
  const uint64_t segments_count = segments->layout.arena.segments.size();
  in_flight = std::min(in_flight, segments_count);
  const std::vector<float*> weights = segments->model.Pointers();
  // The own snapshot of the mix: that its values are a pulled one's matters to no instruction.
  const std::vector<std::byte> own = segments->snapshot;
  std::vector<uint64_t> segment_of(count + 1);
  uint64_t begun = 0;
  const auto mix = [&](uint64_t segment) {
    const client::SegmentMix mixed =
        client::MixSegment(segments->layout, client::BestKernels(), KeyOf(segment), 0.5f,
                           segments->snapshot.data(), own.data(), weights.data());
    if (mixed.outcome != Outcome::kArrived) std::abort();
  };
  const auto pull = [&](uint64_t segment) {
    PullRequest request;
    request.peer = kSourceNode;
    request.request_id = RequestId{++begun};
    request.round = request.newest_round = Round{1};
    request.segment = SegmentId{static_cast<uint32_t>(segment)};
    request.remaining_ms = 60'000;
    segment_of[begun] = segment;
    transport->Pull(request, PlaceOf(segments, segment));
  };
  std::fill(segments->snapshot.begin(), segments->snapshot.end(), std::byte{0});
  const double seconds = SecondsOf([&] {
    while (begun < std::min(in_flight, count)) pull(begun);
    for (uint64_t landed = 0; landed < count; ++landed) {
      const QueuedSink::Event event = sink->Next();
      if (!event.ended || event.end != PullEnd::kLanded) std::abort();
      const uint64_t segment = segment_of[Value(event.request_id)];
      if (mixes) mix(segment);
      if (begun < count) pull((segment + in_flight) % segments_count);
    }
  });
  for (uint64_t k = 0; k < std::min(count, segments_count); ++k) mix(k);
  return seconds;
}

}  // namespace weightmesh::bench
