// MeshService over gRPC's callback API.
#include "daemon/control/mesh_service.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/control/convert_mesh.h"
#include "daemon/control/unary_reply.h"
#include "daemon/control/watches.h"
#include "proto/weightmesh/v1/mesh.grpc.pb.h"

namespace weightmesh {
namespace {

constexpr size_t kRunsNamedMax = 16;
constexpr uint64_t kDrainDeadlineMaxMs = 3'600'000;

template <typename Response>
using Reply = std::shared_ptr<UnaryReply<Response>>;

template <typename Response>
Reply<Response> MakeReply(Response* response) {
  return std::make_shared<UnaryReply<Response>>(response);
}

// A `done` that answers with the report as it is.
template <typename Response>
auto SendTo(const Reply<Response>& reply) {
  return [reply](auto report) {
    if (!report.ok()) return reply->Fail(report.status());
    reply->Send(ToProto(*report));
  };
}

// Watches write bytes, which they share; all other methods write messages.
using Service = v1::MeshService::WithRawCallbackMethod_WatchTopology<
    v1::MeshService::WithRawCallbackMethod_WatchStats<v1::MeshService::CallbackService>>;

class MeshServiceImpl final : public Service {
 public:
  MeshServiceImpl(MeshSource* source, Watches* watches) : source_(source), watches_(watches) {}

  grpc::ServerUnaryReactor* GetTopology(grpc::CallbackServerContext*,
                                        const v1::GetTopologyRequest* request,
                                        v1::Topology* response) override {
    const Reply<v1::Topology> reply = MakeReply(response);
    source_->Topology(request->run_id(), [this, reply, run_id = request->run_id()](
                                             absl::StatusOr<TopologySnapshot> topology) {
      if (!topology.ok()) return Fail(reply, run_id, topology.status());
      reply->Send(ToProto(*topology));
    });
    return reply->reactor();
  }

  grpc::ServerUnaryReactor* GetStats(grpc::CallbackServerContext*,
                                     const v1::GetStatsRequest* request,
                                     v1::Stats* response) override {
    const Reply<v1::Stats> reply = MakeReply(response);
    const bool with_segments = request->with_segments();
    source_->Stats(request->run_id(), with_segments,
                   [this, reply, with_segments,
                    run_id = request->run_id()](absl::StatusOr<StatsReport> report) {
                     if (!report.ok()) return Fail(reply, run_id, report.status());
                     reply->Send(ToProto(*report, with_segments));
                   });
    return reply->reactor();
  }

  grpc::ServerUnaryReactor* GetSchedule(grpc::CallbackServerContext*,
                                        const v1::GetScheduleRequest* request,
                                        v1::ScheduleTable* response) override {
    const Reply<v1::ScheduleTable> reply = MakeReply(response);
    const SegmentId segment{request->segment()};
    source_->Schedule(
        request->run_id(), Round{request->round()}, segment,
        [this, reply, segment, run_id = request->run_id()](absl::StatusOr<ScheduleSnapshot> table) {
          if (!table.ok()) return Fail(reply, run_id, table.status());
          reply->Send(ToProto(*table, run_id, segment));
        });
    return reply->reactor();
  }

  grpc::ServerUnaryReactor* GetConfig(grpc::CallbackServerContext*, const v1::GetConfigRequest*,
                                      v1::EffectiveConfig* response) override {
    const Reply<v1::EffectiveConfig> reply = MakeReply(response);
    source_->Config(SendTo(reply));
    return reply->reactor();
  }

  grpc::ServerUnaryReactor* ListRuns(grpc::CallbackServerContext*, const v1::ListRunsRequest*,
                                     v1::RunList* response) override {
    const Reply<v1::RunList> reply = MakeReply(response);
    source_->Runs(SendTo(reply));
    return reply->reactor();
  }

  grpc::ServerUnaryReactor* ListLinks(grpc::CallbackServerContext*, const v1::ListLinksRequest*,
                                      v1::LinkList* response) override {
    const Reply<v1::LinkList> reply = MakeReply(response);
    source_->Links(SendTo(reply));
    return reply->reactor();
  }

  grpc::ServerUnaryReactor* ListEvents(grpc::CallbackServerContext*,
                                       const v1::ListEventsRequest* request,
                                       v1::EventList* response) override {
    const Reply<v1::EventList> reply = MakeReply(response);
    source_->Events(request->after(), SendTo(reply));
    return reply->reactor();
  }

  grpc::ServerUnaryReactor* Drain(grpc::CallbackServerContext*, const v1::DrainRequest* request,
                                  v1::DrainReply* response) override {
    const Reply<v1::DrainReply> reply = MakeReply(response);
    if (request->deadline_ms() > kDrainDeadlineMaxMs) {
      reply->Fail(absl::InvalidArgumentError(
          absl::StrCat("DrainRequest.deadline_ms is ", request->deadline_ms(),
                       "; it must be at most ", kDrainDeadlineMaxMs)));
    } else {
      source_->Drain(absl::Milliseconds(static_cast<int64_t>(request->deadline_ms())),
                     [reply](absl::StatusOr<std::vector<ReplicaSnapshot>> leaving) {
                       if (!leaving.ok()) return reply->Fail(leaving.status());
                       reply->Send(ToDrainReply(*leaving));
                     });
    }
    return reply->reactor();
  }

  using Service::WatchStats;
  using Service::WatchTopology;

  Watches::Reactor* WatchTopology(grpc::CallbackServerContext*,
                                  const grpc::ByteBuffer* request) override {
    return watches_->WatchTopology(*request);
  }

  Watches::Reactor* WatchStats(grpc::CallbackServerContext*,
                               const grpc::ByteBuffer* request) override {
    return watches_->WatchStats(*request);
  }

 private:
  // Adds the known runs to a NotFound; without them when the source does not tell.
  template <typename Response>
  void Fail(const Reply<Response>& reply, const std::string& run_id, const absl::Status& status) {
    if (status.code() != absl::StatusCode::kNotFound) return reply->Fail(status);
    source_->Runs([reply, run_id, status](absl::StatusOr<std::vector<RunSnapshot>> known) {
      reply->Fail(known.ok() ? UnknownRun(run_id, *known) : status);
    });
  }

  MeshSource* const source_;
  Watches* const watches_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeMeshService(MeshSource* source, Watches* watches) {
  return std::make_unique<MeshServiceImpl>(source, watches);
}

absl::Status UnknownRun(absl::string_view run_id, const std::vector<RunSnapshot>& known) {
  std::string text = absl::StrCat("run \"", run_id, "\" is not known to this daemon; ");
  if (known.empty()) {
    absl::StrAppend(&text,
                    "it knows no run yet: none of its trainers or peers has attached to one");
    return absl::NotFoundError(text);
  }
  absl::StrAppend(&text, "it knows ");
  const size_t named = std::min(known.size(), kRunsNamedMax);
  for (size_t k = 0; k < named; ++k) {
    absl::StrAppend(&text, k == 0 ? "\"" : ", \"", known[k].run_id, "\"");
  }
  if (named < known.size()) absl::StrAppend(&text, " and ", known.size() - named, " more");
  return absl::NotFoundError(text);
}

}  // namespace weightmesh
