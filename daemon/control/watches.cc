// From a request to a place in a feed, or a refusal.
#include "daemon/control/watches.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/control/mesh_service.h"
#include "proto/weightmesh/v1/mesh.pb.h"

namespace weightmesh {
namespace {

// A `done` for the source that hands the answer on as a WatchedState.
template <typename Report>
MeshSource::Done<Report> HandOn(WatchFeed::Answer answer) {
  return [answer = std::move(answer)](absl::StatusOr<Report> report) {
    if (!report.ok()) return answer(report.status());
    answer(MakeWatched(*std::move(report)));
  };
}

template <typename Request>
absl::StatusOr<Request> Parse(const grpc::ByteBuffer& bytes) {
  Request request;
  grpc::ByteBuffer consumed = bytes;
  if (!grpc::SerializationTraits<Request>::Deserialize(&consumed, &request).ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the request is no ", Request::descriptor()->full_name()));
  }
  return request;
}

// As the comments of the requests' interval_ms promise.
absl::StatusOr<int64_t> IntervalMs(uint64_t asked, uint64_t default_ms, int64_t tick_ms) {
  const auto tick = static_cast<uint64_t>(tick_ms);
  if (asked == 0) asked = default_ms;
  if (asked < tick || asked > kWatchIntervalMsMax) {
    return absl::InvalidArgumentError(absl::StrCat("interval_ms is ", asked, "; allowed: ", tick,
                                                   " to ", kWatchIntervalMsMax, ", or 0 for ",
                                                   default_ms));
  }
  return static_cast<int64_t>((asked + tick - 1) / tick * tick);
}

}  // namespace

Watches::Watches(MeshSource* source, const WatchOptions& options)
    : source_(source),
      options_(options),
      count_(std::make_shared<WatcherCount>(options.watchers_max)),
      topology_(std::make_shared<WatchFeed>(options,
                                            [source](bool, WatchFeed::Answer answer) {
                                              source->Topology(
                                                  "", HandOn<TopologySnapshot>(std::move(answer)));
                                            })),
      stats_(std::make_shared<WatchFeed>(
          options, [source](bool with_segments, WatchFeed::Answer answer) {
            source->Stats("", with_segments, HandOn<StatsReport>(std::move(answer)));
          })) {}

Watches::Reactor* Watches::WatchTopology(const grpc::ByteBuffer& bytes) {
  const std::shared_ptr<WatchCall> call = WatchCall::Make(topology_, count_);
  const auto request = Parse<v1::WatchTopologyRequest>(bytes);
  if (request.ok()) {
    Admit({request->run_id(), request->with_rounds(), 0}, request->interval_ms(),
          kTopologyIntervalMsDefault, topology_, call);
  } else {
    call->End(request.status());
  }
  return call.get();
}

Watches::Reactor* Watches::WatchStats(const grpc::ByteBuffer& bytes) {
  const std::shared_ptr<WatchCall> call = WatchCall::Make(stats_, count_);
  const auto request = Parse<v1::WatchStatsRequest>(bytes);
  if (request.ok()) {
    Admit({request->run_id(), request->with_segments(), 0}, request->interval_ms(),
          kStatsIntervalMsDefault, stats_, call);
  } else {
    call->End(request.status());
  }
  return call.get();
}

void Watches::Admit(WatchFilter filter, uint64_t interval_ms, uint64_t default_ms,
                    const std::shared_ptr<WatchFeed>& feed,
                    const std::shared_ptr<WatchCall>& call) {
  const absl::StatusOr<int64_t> interval = IntervalMs(interval_ms, default_ms, options_.tick_ms);
  if (!interval.ok()) return call->End(interval.status());
  filter.interval_ms = *interval;
  if (!call->TakePlace()) {
    call->End(
        absl::ResourceExhaustedError(absl::StrCat("this daemon has ", count_->max(),
                                                  " watchers already (limits.watchers_max); end "
                                                  "one, ask without watching, or raise the limit "
                                                  "in the daemon's configuration")));
    return;
  }
  if (filter.run_id.empty()) return feed->Join(filter, call);
  source_->Runs([filter, feed, call](absl::StatusOr<std::vector<RunSnapshot>> runs) {
    if (!runs.ok()) return call->End(runs.status());
    const bool known = std::any_of(runs->begin(), runs->end(), [&](const RunSnapshot& run) {
      return run.run_id == filter.run_id;
    });
    if (!known) return call->End(UnknownRun(filter.run_id, *runs));
    feed->Join(filter, call);
  });
}

void Watches::End() {
  const absl::Status stopping =
      absl::UnavailableError("the daemon is stopping; watch it again later");
  topology_->Close(stopping);
  stats_->Close(stopping);
}

}  // namespace weightmesh
