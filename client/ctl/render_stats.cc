// Statistics as text.
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "client/ctl/render.h"
#include "client/ctl/table.h"
#include "client/ctl/units.h"

namespace weightmesh::ctl {
namespace {

using Outcomes = google::protobuf::RepeatedPtrField<v1::OutcomeCount>;

uint64_t Arrived(const Outcomes& outcomes) {
  uint64_t arrived = 0;
  for (const v1::OutcomeCount& row : outcomes) {
    if (row.outcome() == v1::OUTCOME_ARRIVED) arrived += row.count();
  }
  return arrived;
}

uint64_t All(const Outcomes& outcomes) {
  uint64_t all = 0;
  for (const v1::OutcomeCount& row : outcomes) all += row.count();
  return all;
}

// "6 late, 4 dead"; "-" when all arrived.
std::string NotArrived(const Outcomes& outcomes) {
  std::vector<std::string> words;
  for (const v1::OutcomeCount& row : outcomes) {
    if (row.outcome() == v1::OUTCOME_ARRIVED || row.count() == 0) continue;
    words.push_back(
        absl::StrCat(row.count(), " ", EnumWord(v1::Outcome_Name(row.outcome()), "OUTCOME_")));
  }
  return words.empty() ? "-" : absl::StrJoin(words, ", ");
}

std::string MedianTime(const v1::Histogram& histogram) {
  return histogram.count() == 0 ? "-" : absl::StrCat("~", FormatMicroseconds(Median(histogram)));
}

std::string Distance(const v1::ReplicaStats& replica) {
  return absl::StrCat(replica.consensus_distance_is_bound() ? "<= " : "",
                      FormatNumber(replica.consensus_distance()));
}

std::string Scalars(const v1::ReplicaStats& replica) {
  return absl::StrJoin(replica.scalars(), " ", [](std::string* out, const v1::Scalar& scalar) {
    absl::StrAppend(out, scalar.name(), "=", FormatNumber(scalar.value()));
  });
}

std::string RoundsTable(const v1::Stats& stats) {
  Table table({{"RUN"},
               {"REPLICA"},
               {"STATE"},
               {"ROUND", Align::kRight},
               {"SKIPPED", Align::kRight},
               {"ROUND TIME", Align::kRight},
               {"STALENESS", Align::kRight},
               {"DISTANCE", Align::kRight},
               {"VIEW", Align::kRight},
               {"READ", Align::kRight},
               {"REPORTED"}});
  for (const v1::ReplicaStats& replica : stats.replicas()) {
    table.AddRow(
        {replica.run_id(), replica.name(),
         EnumWord(v1::ReplicaState_Name(replica.state()), "REPLICA_STATE_"),
         absl::StrCat(replica.round()), absl::StrCat(replica.publishes_skipped()),
         MedianTime(replica.round_time_us()),
         replica.staleness().count() == 0 ? "-" : FormatNumber(Mean(replica.staleness())),
         Distance(replica), absl::StrCat(FormatNumber(100 * replica.view_agreement()), " %"),
         FormatShare(replica.segments_read(), replica.segments_published()), Scalars(replica)});
  }
  return table.ToText();
}

std::string PullsTable(const v1::Stats& stats) {
  Table table({{"RUN"},
               {"REPLICA"},
               {"ARRIVED", Align::kRight},
               {"SHARE", Align::kRight},
               {"NOT ARRIVED"},
               {"REDIRECTS", Align::kRight},
               {"PULL TIME", Align::kRight},
               {"RECEIVED", Align::kRight},
               {"SENT", Align::kRight}});
  for (const v1::ReplicaStats& replica : stats.replicas()) {
    table.AddRow({replica.run_id(), replica.name(), absl::StrCat(Arrived(replica.pulls())),
                  FormatShare(Arrived(replica.pulls()), All(replica.pulls())),
                  NotArrived(replica.pulls()), absl::StrCat(replica.redirects()),
                  MedianTime(replica.pull_time_us()),
                  FormatBytes(static_cast<double>(replica.bytes_received())),
                  FormatBytes(static_cast<double>(replica.bytes_sent()))});
  }
  return table.ToText();
}

std::string SourcesTable(const v1::Stats& stats) {
  Table table({{"RUN"},
               {"REPLICA"},
               {"PULLED FROM"},
               {"ARRIVED", Align::kRight},
               {"FAILED", Align::kRight},
               {"RECEIVED", Align::kRight}});
  for (const v1::ReplicaStats& replica : stats.replicas()) {
    for (const v1::SourceStats& source : replica.sources()) {
      table.AddRow({replica.run_id(), replica.name(), source.name(), absl::StrCat(source.arrived()),
                    absl::StrCat(source.failed()),
                    FormatBytes(static_cast<double>(source.bytes()))});
    }
  }
  return table.ToText();
}

std::string SegmentsTable(const v1::Stats& stats) {
  Table table({{"RUN"},
               {"REPLICA"},
               {"SEGMENT", Align::kRight},
               {"ARRIVED", Align::kRight},
               {"NOT ARRIVED"},
               {"RECEIVED", Align::kRight}});
  for (const v1::ReplicaStats& replica : stats.replicas()) {
    for (const v1::SegmentStats& segment : replica.segments()) {
      table.AddRow({replica.run_id(), replica.name(), absl::StrCat(segment.segment()),
                    absl::StrCat(Arrived(segment.pulls())), NotArrived(segment.pulls()),
                    FormatBytes(static_cast<double>(segment.bytes_received()))});
    }
  }
  return table.ToText();
}

// "3 frames refused (2 malformed, 1 unknown token)"
std::string Refused(const v1::Stats& stats) {
  std::vector<std::string> reasons;
  for (const v1::FrameRefusalCount& row : stats.frame_refusals()) {
    const std::string word = EnumWord(v1::FrameRefusal_Name(row.reason()), "FRAME_REFUSAL_");
    reasons.push_back(absl::StrCat(row.count(), " ", absl::StrReplaceAll(word, {{"_", " "}})));
  }
  return absl::StrCat(stats.frames_refused(), stats.frames_refused() == 1 ? " frame" : " frames",
                      " refused",
                      reasons.empty() ? "" : absl::StrCat(" (", absl::StrJoin(reasons, ", "), ")"));
}

}  // namespace

std::string RenderStats(const v1::Stats& stats, const StatsParts& parts) {
  std::string text = absl::StrCat("daemon ", ShortId(stats.node_id()), ", up ",
                                  FormatMicroseconds(1e3 * static_cast<double>(stats.uptime_ms())),
                                  ", ", Refused(stats), "; ~ marks a median\n\n",
                                  RoundsTable(stats), "\n", PullsTable(stats));
  if (parts.sources) absl::StrAppend(&text, "\n", SourcesTable(stats));
  if (parts.segments) absl::StrAppend(&text, "\n", SegmentsTable(stats));
  return text;
}

}  // namespace weightmesh::ctl
