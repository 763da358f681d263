// What MeshService shows: the statistics of replicas.
#include <algorithm>

#include "daemon/control/convert_mesh.h"
#include "daemon/control/convert_peer.h"
#include "daemon/core/clean_text.h"
#include "proto/control_page.h"

namespace weightmesh {
namespace {

static_assert(static_cast<int>(Outcome::kArrived) == v1::OUTCOME_ARRIVED);
static_assert(static_cast<int>(Outcome::kLate) == v1::OUTCOME_LATE);
static_assert(static_cast<int>(Outcome::kGone) == v1::OUTCOME_GONE);
static_assert(static_cast<int>(Outcome::kSkipped) == v1::OUTCOME_SKIPPED);
static_assert(static_cast<int>(Outcome::kBusy) == v1::OUTCOME_BUSY);
static_assert(static_cast<int>(Outcome::kDead) == v1::OUTCOME_DEAD);
static_assert(static_cast<int>(Outcome::kCorrupt) == v1::OUTCOME_CORRUPT);
static_assert(static_cast<int>(Outcome::kRefused) == v1::OUTCOME_REFUSED);
static_assert(static_cast<int>(Outcome::kCancelled) == v1::OUTCOME_CANCELLED);
static_assert(kOutcomeCount == v1::Outcome_ARRAYSIZE);
// Reasons of the core count from 0, those of the contract from 1.
static_assert(static_cast<int>(FrameRefusal::kMalformed) + 1 == v1::FRAME_REFUSAL_MALFORMED);
static_assert(static_cast<int>(FrameRefusal::kOverrun) + 1 == v1::FRAME_REFUSAL_OVERRUN);
static_assert(kFrameRefusalCount + 1 == v1::FrameRefusal_ARRAYSIZE);

// Every outcome but kNone, zeros too.
void AddOutcomes(const OutcomeCounts& counts,
                 google::protobuf::RepeatedPtrField<v1::OutcomeCount>* rows) {
  for (uint32_t outcome = 1; outcome < kOutcomeCount; ++outcome) {
    v1::OutcomeCount* row = rows->Add();
    row->set_outcome(static_cast<v1::Outcome>(outcome));
    row->set_count(counts[outcome]);
  }
}

void AddCounters(const ReplicaStatistics& statistics, v1::ReplicaStats* proto) {
  proto->set_rounds_published(statistics.rounds_published);
  proto->set_publishes_skipped(statistics.publishes_skipped);
  proto->set_rounds_collected(statistics.rounds_collected);
  AddOutcomes(statistics.pulls, proto->mutable_pulls());
  proto->set_redirects(statistics.redirects);
  proto->set_bytes_received(statistics.bytes_received);
  proto->set_bytes_sent(statistics.bytes_sent);
  proto->set_segments_read(statistics.segments_read);
  proto->set_requests_late(statistics.requests_late);
  proto->set_segments_published(statistics.segments_published);
  *proto->mutable_pull_time_us() = ToProto(statistics.pull_time_us);
  *proto->mutable_round_time_us() = ToProto(statistics.round_time_us);
  *proto->mutable_staleness() = ToProto(statistics.staleness);
  proto->set_consensus_distance(statistics.consensus_distance);
}

// Only the replicas that something was pulled from, by rank.
void AddSources(const ReplicaStatsSnapshot& snapshot, v1::ReplicaStats* proto) {
  const std::vector<SourceStatistics>& sources = snapshot.statistics.sources;
  const size_t count =
      std::min({sources.size(), snapshot.source_ids.size(), snapshot.source_names.size()});
  for (size_t rank = 0; rank < count; ++rank) {
    const SourceStatistics& source = sources[rank];
    if (source.arrived == 0 && source.failed == 0) continue;
    v1::SourceStats* row = proto->add_sources();
    *row->mutable_replica_id() = ToProto(snapshot.source_ids[rank]);
    row->set_name(snapshot.source_names[rank]);
    row->set_arrived(source.arrived);
    row->set_failed(source.failed);
    row->set_bytes(source.bytes);
  }
}

void AddSegments(const ReplicaStatistics& statistics, v1::ReplicaStats* proto) {
  for (size_t segment = 0; segment < statistics.segments.size(); ++segment) {
    v1::SegmentStats* row = proto->add_segments();
    row->set_segment(static_cast<uint32_t>(segment));
    AddOutcomes(statistics.segments[segment].pulls, row->mutable_pulls());
    row->set_bytes_received(statistics.segments[segment].bytes_received);
  }
}

void FillReplica(const ReplicaStatsReport& report, bool with_segments, v1::ReplicaStats* proto) {
  const ReplicaStatsSnapshot& snapshot = report.snapshot;
  proto->set_run_id(snapshot.run_id);
  *proto->mutable_replica_id() = ToProto(snapshot.info.replica_id);
  proto->set_name(snapshot.info.name);
  proto->set_state(static_cast<v1::ReplicaState>(snapshot.info.state));
  proto->set_round(Value(snapshot.info.published_round));
  AddCounters(snapshot.statistics, proto);
  proto->set_consensus_distance_is_bound(snapshot.consensus_distance_is_bound);
  proto->set_view_agreement(snapshot.view_agreement);
  for (const ReportedScalar& scalar : report.scalars) {
    v1::Scalar* row = proto->add_scalars();
    row->set_name(CleanText(scalar.name, control_page::kScalarNameBytesMax));
    row->set_value(scalar.value);
  }
  AddSources(snapshot, proto);
  if (with_segments) AddSegments(snapshot.statistics, proto);
}

}  // namespace

v1::Histogram ToProto(const Histogram& histogram) {
  v1::Histogram proto;
  size_t used = histogram.buckets.size();
  while (used > 0 && histogram.buckets[used - 1] == 0) --used;
  for (size_t bucket = 0; bucket < used; ++bucket) proto.add_buckets(histogram.buckets[bucket]);
  proto.set_count(histogram.count);
  proto.set_sum(histogram.sum);
  return proto;
}

v1::Stats ToProto(const StatsReport& report, bool with_segments) {
  v1::Stats proto;
  *proto.mutable_node_id() = ToProto(report.node);
  proto.set_uptime_ms(std::max<int64_t>(0, absl::ToInt64Milliseconds(report.uptime)));
  proto.set_answers_unasked(report.answers_unasked);
  for (uint32_t reason = 0; reason < kFrameRefusalCount; ++reason) {
    const uint64_t count = report.frames_refused[reason];
    if (count == 0) continue;
    v1::FrameRefusalCount* row = proto.add_frame_refusals();
    row->set_reason(static_cast<v1::FrameRefusal>(reason + 1));
    row->set_count(count);
    proto.set_frames_refused(proto.frames_refused() + count);
  }
  for (const ReplicaStatsReport& replica : report.replicas) {
    FillReplica(replica, with_segments, proto.add_replicas());
  }
  return proto;
}

}  // namespace weightmesh
