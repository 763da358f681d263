// Adding up counts.
#include "deploy/demo/replica_lives.h"

#include <algorithm>

namespace weightmesh::demo {
namespace {

void AddPulls(const v1::ReplicaStats& added, v1::ReplicaStats* sum) {
  for (const v1::OutcomeCount& pulls : added.pulls()) {
    const auto same =
        std::find_if(sum->mutable_pulls()->begin(), sum->mutable_pulls()->end(),
                     [&](const v1::OutcomeCount& p) { return p.outcome() == pulls.outcome(); });
    if (same == sum->mutable_pulls()->end()) {
      *sum->add_pulls() = pulls;
    } else {
      same->set_count(same->count() + pulls.count());
    }
  }
}

void AddSources(const v1::ReplicaStats& added, v1::ReplicaStats* sum) {
  for (const v1::SourceStats& source : added.sources()) {
    const auto same =
        std::find_if(sum->mutable_sources()->begin(), sum->mutable_sources()->end(),
                     [&](const v1::SourceStats& s) { return s.name() == source.name(); });
    if (same == sum->mutable_sources()->end()) {
      *sum->add_sources() = source;
    } else {
      same->set_arrived(same->arrived() + source.arrived());
      same->set_failed(same->failed() + source.failed());
      same->set_bytes(same->bytes() + source.bytes());
    }
  }
}

void Add(const v1::ReplicaStats& added, v1::ReplicaStats* sum) {
  sum->set_rounds_published(sum->rounds_published() + added.rounds_published());
  sum->set_publishes_skipped(sum->publishes_skipped() + added.publishes_skipped());
  sum->set_rounds_collected(sum->rounds_collected() + added.rounds_collected());
  sum->set_redirects(sum->redirects() + added.redirects());
  sum->set_bytes_received(sum->bytes_received() + added.bytes_received());
  sum->set_bytes_sent(sum->bytes_sent() + added.bytes_sent());
  AddPulls(added, sum);
  AddSources(added, sum);
}

}  // namespace

void ReplicaLives::Update(const v1::ReplicaStats& stats) {
  const bool another =
      newest_.has_value() && (stats.rounds_published() < newest_->rounds_published() ||
                              stats.bytes_received() < newest_->bytes_received());
  if (another) Add(*newest_, &former_);
  newest_ = stats;
  total_ = stats;
  Add(former_, &*total_);
}

}  // namespace weightmesh::demo
